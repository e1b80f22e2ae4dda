"""What all scenarios of a run stand on: three brokers and a PostgreSQL; each scenario finds them empty."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.local import Stack, up, wipe
from libs.runtime.database.migrate import migrate

BROKERS = 3
_TEMPLATE = "chaos_template"


class Ground:
    """Use as: `await open()`, `await fresh()` before each scenario, `await close()` at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._scenarios = 0

    async def open(self) -> None:
        """Start the cluster (replication 3, two replicas in sync) and the database server."""
        endpoints = await asyncio.to_thread(
            up, self._folder, brokers=BROKERS, session_timeout_ms=4000, outside=True, say=lambda _text: None
        )
        self.stack, self.kafka = Stack(self._folder), endpoints.kafka
        self._server = endpoints.postgres.rsplit("/", 1)[0]
        await self._ask(f'create database "{_TEMPLATE}"')
        await asyncio.to_thread(migrate, f"{self._server}/{_TEMPLATE}")

    async def fresh(self) -> str:
        """Mend what the last scenario left broken, delete its topics; gives the address of an empty database."""
        await asyncio.to_thread(up, self._folder, brokers=BROKERS, say=lambda _text: None)
        await self._delete_topics()
        self._scenarios += 1
        name = f"chaos_{self._scenarios}"
        await self._ask(f'create database "{name}" template "{_TEMPLATE}"')
        return f"{self._server}/{name}"

    async def close(self) -> None:
        """End the servers and delete what they hold."""
        await asyncio.to_thread(wipe, self._folder)

    async def _delete_topics(self) -> None:
        while True:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka, request_timeout_ms=5000)
            try:
                await admin.start()
                left = [name for name in await admin.list_topics() if not name.startswith("__")]
                if not left:
                    return
                # A group's offsets go with the topics that they are of.
                await admin.delete_topics(left)
            except KafkaError:
                await asyncio.sleep(0.5)
            finally:
                await admin.close()
            await asyncio.sleep(0.2)

    async def _ask(self, statement: str) -> None:
        connection = await asyncpg.connect(f"{self._server}/postgres")
        try:
            await connection.execute(statement)
        finally:
            await connection.close()
