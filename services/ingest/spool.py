"""The spool: what Kafka does not take in time is kept in PostgreSQL and relayed as soon as Kafka is back."""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from libs.runtime.database.pool import DATABASE_AWAY, Pool
from libs.runtime.kafka.publisher import Publisher
from libs.runtime.kafka.writer import KafkaAway
from libs.runtime.telemetry.metrics import SPOOLED
from libs.runtime.telemetry.progress import Progress
from services.ingest.inbox import InboxRecord

log = structlog.get_logger()

_AT_ONCE = 200
_WAIT: tuple[type[BaseException], ...] = (KafkaAway, *DATABASE_AWAY)


class Spool:
    """Durable before it is acknowledged: the insert commits with `synchronous_commit=on`."""

    def __init__(self, pool: Pool, publisher: Publisher) -> None:
        self._pool, self._publisher = pool, publisher
        self._more = asyncio.Event()
        self.progress = Progress("spool")

    async def keep(self, record: InboxRecord) -> None:
        """Write a record down; raises what the database raises when it cannot."""
        async with asyncio.timeout(3):
            await self._pool.execute(
                "insert into spool (topic, key, value, headers) values ($1, $2, $3, $4)",
                record.topic, record.key, record.value, record.headers,
            )  # fmt: skip
        self._more.set()

    async def relay(self, stopping: asyncio.Event) -> None:
        """Pass spooled records on until stopped. Copies and order do no harm: ids and versions sort it out."""
        while not stopping.is_set():
            self.progress.alive()
            try:
                moved = await self._pass_on()
            except _WAIT as error:
                log.info("spool waits", error=type(error).__name__)
                moved = 0
            await self._measure()
            if moved < _AT_ONCE:
                self._more.clear()
                try:
                    async with asyncio.timeout(1):
                        await self._more.wait()
                except TimeoutError:
                    continue

    async def _measure(self) -> None:
        with contextlib.suppress(*DATABASE_AWAY):
            SPOOLED.set(await self._pool.fetchval("select count(*) from spool"))

    async def _pass_on(self) -> int:
        async with self._pool.acquire() as database, database.transaction():
            rows = await database.fetch(
                "select id, topic, key, value, headers from spool order by id limit $1 for update skip locked", _AT_ONCE
            )
            if rows:
                async with asyncio.timeout(20):
                    await asyncio.gather(
                        *(
                            self._publisher.publish(r["topic"], r["key"], r["value"], r["headers"], within=10)
                            for r in rows
                        )
                    )
                await database.execute("delete from spool where id = any($1)", [row["id"] for row in rows])
        self.progress.done(len(rows))
        return len(rows)
