"""Where this process looks: environment, a local stack's note of itself, configuration, database."""

from __future__ import annotations

import asyncio
import getpass
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from libs.runtime.configuration.model import Configuration, Connection
from libs.runtime.configuration.reading import read_configuration
from libs.runtime.database.pool import DATABASE_AWAY, Pool, open_pool
from libs.runtime.settings import ProcessSettings, read_settings
from services.ops.speaking import USAGE, DatabaseAway, Failure

# Written by `make up` and `make demo`, one KEY=VALUE a line.
LOCAL_STACK = Path(".local/stack/till.env")
_NEEDED = ("TILLSTREAM_KAFKA", "TILLSTREAM_POSTGRES")
_CONNECT_SECONDS = 10


def adopt_local_stack() -> None:
    """Take from a local stack's note what the environment does not say."""
    if all(os.environ.get(name) or os.environ.get(f"{name}_FILE") for name in _NEEDED):
        return
    try:
        lines = LOCAL_STACK.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        name, separator, value = line.strip().removeprefix("export ").partition("=")
        if separator and name and not name.startswith("#"):
            os.environ.setdefault(name, value.strip("'\""))


def settings() -> ProcessSettings:
    """The settings of this process; raises SettingMissing."""
    adopt_local_stack()
    return read_settings()


def configuration(path: Path | None = None) -> Configuration:
    """The configuration, from `path` or from where the environment says; raises ConfigurationInvalid."""
    adopt_local_stack()
    return read_configuration(path or Path(os.environ.get("TILLSTREAM_CONFIG", "tillstream.yaml")))


def connection_of(known: Configuration, connection_id: str, role: str | None = None) -> Connection:
    """The connection of that id and role; a wrong id is a usage fault that lists the right ones."""
    fitting = [c for c in known.connections if role in (None, c.role)]
    for candidate in fitting:
        if candidate.id == connection_id:
            return candidate
    names = ", ".join(c.id for c in fitting) or "none"
    raise Failure(f"no {role or 'connection'} is called {connection_id!r}; there are: {names}", USAGE)


@asynccontextmanager
async def database(dsn: str, *, size: int = 3) -> AsyncIterator[Pool]:
    """A small pool for one command; raises DatabaseAway when nothing answers."""
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            pool = await open_pool(dsn, size=size, name="till")
    except DATABASE_AWAY as error:
        raise DatabaseAway(
            f"the database is away ({type(error).__name__}). Is it running? "
            "TILLSTREAM_POSTGRES says where it is looked for"
        ) from None
    try:
        yield pool
    finally:
        await pool.close()


def operator(named: str | None) -> str:
    """Who acts, for the audit: as named, else the user of this machine."""
    return named or getpass.getuser()
