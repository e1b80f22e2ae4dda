"""The exporter: every 15 seconds, whether everything offered to each connection is accounted for, as metrics.

What the terms mean, and why their difference is exact while events flow, is told in `balance`. In short: *waiting in
Kafka* are the ids at or behind the offset that a connection's group has committed which have no row; an id before it
without a row is in no term, and so shows as a mismatch.

The topics are read without a group, once from the beginning and then on. Memory: 64 bits of each distinct id are kept
in a set, about 90 bytes an id in Python: 100 MB for a million events.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import asyncpg
import structlog

from libs.runtime.configuration.model import Configuration
from libs.runtime.database.pool import DATABASE_AWAY, open_pool
from libs.runtime.kafka.offsets import KAFKA_AWAY
from libs.runtime.kafka.topics import topics
from libs.runtime.settings import ProcessSettings
from libs.runtime.telemetry.health import Health
from libs.runtime.telemetry.metrics import ACCOUNTED, DEAD, HEADROOM, MISMATCH, OFFERED, PARKED
from libs.runtime.telemetry.progress import Progress
from services.ops.balance import Accountant, Balance, Deliveries, Side, Snapshots

log = structlog.get_logger()

EVERY = 15.0  # seconds
# Counting reads the whole ledger. It may take this share of the time: a large ledger is counted less often.
_SHARE = 0.1
_AWAY: tuple[type[BaseException], ...] = (*KAFKA_AWAY, *DATABASE_AWAY, asyncpg.UndefinedTableError)


class Exporter:
    """Shows what an accountant counts. `retention`: seconds for which each topic keeps its records."""

    def __init__(self, accountant: Accountant, retention: Mapping[str, float]) -> None:
        self._accountant, self._retention = accountant, retention
        self.progress = Progress("accounting")
        self.counted = False
        self._parked: dict[str, set[str]] = {}

    async def count(self) -> None:
        """Count once and show it."""
        for side, balance, _ in await self._accountant.count():
            # Snapshots belong to a vendor, not to a connection: their metric is named by the topic.
            name = side.topics[0] if isinstance(side, Snapshots) else balance.name
            self._show(name, balance)
            if isinstance(side, Deliveries):
                self._show_target(side, balance)
        self.counted = True

    def _show(self, name: str, balance: Balance) -> None:
        OFFERED.labels(name).set(balance.offered + balance.aged_out)
        for term, count in balance.terms.items():
            ACCOUNTED.labels(name, term).set(count)
        if balance.mismatch:
            log.error("not accounted for", name=name, **balance.as_json())
        MISMATCH.labels(name).set(balance.mismatch)

    def _show_target(self, side: Side, balance: Balance) -> None:
        parked = {row["class"] or "unknown": row["n"] for row in balance.rows if row["state"] == "parked"}
        for gone in self._parked.get(side.name, set()) - set(parked):
            PARKED.labels(side.name, gone).set(0)
        self._parked[side.name] = set(parked)
        for class_, count in parked.items():
            PARKED.labels(side.name, class_).set(count)
        DEAD.labels(side.name).set(balance.terms["dead"])
        HEADROOM.labels(side.name).set(self._headroom(side, balance))

    def _headroom(self, side: Side, balance: Balance) -> float:
        """Until Kafka deletes the first record that was not read yet; with nothing unread, the whole retention."""
        kept = min((self._retention[topic] for topic in side.topics if topic in self._retention), default=0.0)
        now = time.time()
        return min(
            (self._retention.get(u.space, kept) - (now - u.written_at.timestamp()) for u in balance.unread),
            default=kept,
        )

    async def run(self, stopping: asyncio.Event) -> None:
        """Count until told to stop. Kafka or the database being away is waited for; the last figures stay."""
        while not stopping.is_set():
            started = time.monotonic()
            try:
                await self.count()
                self.progress.done(1)
            except _AWAY as error:
                log.warning("cannot count now", error=type(error).__name__)
                self.progress.alive()
            try:
                async with asyncio.timeout(max(EVERY, (time.monotonic() - started) / _SHARE)):
                    await stopping.wait()
            except TimeoutError:
                continue


async def main(settings: ProcessSettings, configuration: Configuration, stopping: asyncio.Event) -> None:
    """Count and serve the figures until told to stop."""
    pool = await open_pool(settings.postgres, size=2, name="accounting")
    retention = {topic.name: topic.retention_ms / 1000 for topic in topics(configuration, settings.kafka.partitions)}
    exporter = Exporter(Accountant(settings.kafka, pool, configuration), retention)
    # The first count reads whole topics: a large installation needs its time for that.
    exporter.progress.stalled_after = 900.0
    health = Health(settings.metrics_port, [exporter.progress], lambda: None if exporter.counted else "the first count")
    await health.start()
    try:
        await exporter.run(stopping)
    finally:
        await health.stop()
        await pool.close()
