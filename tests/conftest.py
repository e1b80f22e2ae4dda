"""What all tests share: a real PostgreSQL with a fresh database a test, and installations on a real Kafka."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deploy.local import Endpoints, down, up, wipe
from libs.runtime.database.migrate import migrate
from libs.runtime.database.pool import open_pool
from tests.system.installation import Installation


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """One Kafka broker and one PostgreSQL for tests that do not break them."""
    folder = tmp_path_factory.mktemp("stack")
    endpoints = up(folder, session_timeout_ms=3000, say=lambda _text: None)
    yield endpoints
    down(folder)
    wipe(folder)


@pytest.fixture(scope="session")
def template(stack: Endpoints) -> str:
    """The name of a migrated database from which fresh ones are copied."""
    asyncio.run(_create(stack.postgres, "template_tillstream", None))
    migrate(stack.postgres.rsplit("/", 1)[0] + "/template_tillstream")
    return "template_tillstream"


async def _create(dsn: str, name: str, template: str | None) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f'create database "{name}"' + (f' template "{template}"' if template else ""))
    finally:
        await connection.close()


@pytest.fixture
async def database(stack: Endpoints, template: str) -> str:
    """The address of a fresh, migrated database."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    await _create(stack.postgres, name, template)
    return f"{stack.postgres.rsplit('/', 1)[0]}/{name}"


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Any]:
    """A pool of connections to a fresh database."""
    opened = await open_pool(database, size=8, name="test")
    yield opened
    await opened.close()


@pytest.fixture
async def installation(tmp_path: Path) -> AsyncIterator[Installation]:
    """A whole Tillstream of its own: broker, database, simulators; services are started by the test."""
    async with Installation(tmp_path) as whole:
        yield whole
