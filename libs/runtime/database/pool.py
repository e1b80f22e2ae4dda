"""The connection pool of a process."""

from __future__ import annotations

from typing import Any, TypeAlias

import asyncpg

from libs.runtime import exact_json

# asyncpg ships no types: these two names say in signatures what is meant.
Pool: TypeAlias = Any
Connection: TypeAlias = Any

# What a lost or restarting server raises; callers wait and try again.
DATABASE_AWAY: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)


def _text(value: Any) -> str:
    return exact_json.encode(value).decode()


async def _prepare(connection: Any) -> None:
    await connection.set_type_codec("jsonb", encoder=_text, decoder=exact_json.decode, schema="pg_catalog")


async def _as_it_is(_connection: Any) -> None:
    """Nothing to put back between two users of a connection: locks and settings of ours end with the transaction.

    asyncpg would ask the server to reset everything, a round trip for each use.
    """


async def open_pool(dsn: str, *, size: int = 8, name: str = "tillstream") -> Pool:
    """A pool of at most `size` connections. Commits are durable: `synchronous_commit` is forced on."""
    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=size,
        init=_prepare,
        reset=_as_it_is,
        command_timeout=30,
        server_settings={"application_name": name, "synchronous_commit": "on"},
    )
