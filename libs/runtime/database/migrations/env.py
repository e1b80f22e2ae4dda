"""How Alembic reaches the database: through asyncpg, one upgrade at a time."""

import asyncio

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

# Any number will do as long as it is always the same: it keeps two upgrades from running at once.
_UPGRADE_LOCK = 7_215_004


def _upgrade(connection: Connection) -> None:
    connection.execute(text(f"select pg_advisory_xact_lock({_UPGRADE_LOCK})"))
    context.configure(connection=connection)
    context.run_migrations()


async def _run(dsn: str) -> None:
    engine = create_async_engine("postgresql+asyncpg://" + dsn.split("://", 1)[1], poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.run_sync(_upgrade)
    await engine.dispose()


asyncio.run(_run(context.config.attributes["dsn"]))
