"""The exporter: every 15 seconds, whether everything offered to each connection is accounted for, as metrics.

What the terms mean, and why their difference is exact while events flow, is told in `balance`. In short: *waiting in
Kafka* are the ids at or behind the offset that a connection's group has committed which have no row; an id before it
without a row is in no term, and so shows as a mismatch.

The topics are read without a group, once from the beginning and then on. Since this process knows which ids still
stand in the topics, it is also the one that forgets what is old (`pruning`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

import asyncpg
import structlog

from libs.runtime.configuration.model import Configuration
from libs.runtime.database.pool import DATABASE_AWAY, open_pool
from libs.runtime.kafka.away import KAFKA_AWAY
from libs.runtime.kafka.retention import retention_ms
from libs.runtime.retention import headroom
from libs.runtime.settings import ProcessSettings
from libs.runtime.telemetry.health import Health
from libs.runtime.telemetry.metrics import (
    ACCOUNTED,
    COUNTED,
    DEAD,
    HEADROOM,
    MISMATCH,
    OFFERED,
    PARKED,
    RETENTION,
)
from libs.runtime.telemetry.progress import Progress
from services.ops.balance import Accountant, Balance, Deliveries, Side, Snapshots
from services.ops.pruning import Pruner
from services.ops.topic_ids import Unfinished

log = structlog.get_logger()

EVERY = 15.0  # seconds
# Counting reads the whole ledger. It may take this share of the time: a large ledger is counted less often.
_SHARE = 0.1
_AWAY: tuple[type[BaseException], ...] = (*KAFKA_AWAY, *DATABASE_AWAY, asyncpg.UndefinedTableError)

Retention = Callable[[Iterable[str]], Awaitable[Mapping[str, int]]]


def tightest(
    topics: Iterable[str], unread: Iterable[Unfinished], retention: Mapping[str, int], now: float
) -> tuple[float, float] | None:
    """Of all topics, the one with the smallest part of its retention left: seconds left, and seconds of retention.

    `retention` in milliseconds by topic. None: Kafka keeps all of them for ever, or none is there.
    """
    oldest: dict[str, int] = {}
    for record in unread:
        if record.written_at is not None:
            at = int(record.written_at.timestamp() * 1000)
            oldest[record.partition.topic] = min(at, oldest.get(record.partition.topic, at))
    limited = {topic: retention[topic] for topic in topics if retention.get(topic, -1) >= 0}
    left = {topic: headroom(oldest.get(topic), kept, now) for topic, kept in limited.items()}
    if not left:
        return None
    topic = min(left, key=lambda name: (left[name], limited[name]))
    return left[topic] * limited[topic] / 1000, limited[topic] / 1000


class Exporter:
    """Shows what an accountant counts. `retention`: asks Kafka how long it keeps topics, in milliseconds."""

    def __init__(self, accountant: Accountant, retention: Retention) -> None:
        self._accountant, self._retention = accountant, retention
        self.progress = Progress("accounting")
        self.counted = False
        self._parked: dict[str, set[str]] = {}

    async def count(self) -> None:
        """Count once and show it."""
        counted = await self._accountant.count()
        retention = await self._retention(self._accountant.topics)
        for side, balance, _ in counted:
            # Snapshots belong to a vendor, not to a connection: their metric is named by the topic.
            name = side.topics[0] if isinstance(side, Snapshots) else balance.name
            self._show(name, balance)
            self._show_headroom(name, side.topics, balance.unread, retention)
            if isinstance(side, Deliveries):
                self._show_target(side, balance)
        letters = {partition.topic for partition in self._accountant.letters}
        self._show_headroom("dead-letters", letters, self._accountant.unarchived(), retention)
        COUNTED.set_to_current_time()
        self.counted = True

    def _show(self, name: str, balance: Balance) -> None:
        OFFERED.labels(name).set(balance.offered + balance.aged_out)
        for term, count in balance.terms.items():
            ACCOUNTED.labels(name, term).set(count)
        if balance.mismatch:
            log.error("not accounted for", name=name, **balance.as_json())
        MISMATCH.labels(name).set(balance.mismatch)

    def _show_headroom(
        self, name: str, topics: Iterable[str], unread: Iterable[Unfinished], retention: Mapping[str, int]
    ) -> None:
        found = tightest(topics, unread, retention, time.time())
        if found is not None:
            left, kept = found
            HEADROOM.labels(name).set(left)
            RETENTION.labels(name).set(kept)

    def _show_target(self, side: Side, balance: Balance) -> None:
        parked = {row["class"] or "unknown": row["n"] for row in balance.rows if row["state"] == "parked"}
        for gone in self._parked.get(side.name, set()) - set(parked):
            PARKED.labels(side.name, gone).set(0)
        self._parked[side.name] = set(parked)
        for class_, count in parked.items():
            PARKED.labels(side.name, class_).set(count)
        DEAD.labels(side.name).set(balance.terms["dead"])

    async def run(self, stopping: asyncio.Event, pruner: Pruner) -> None:
        """Count and prune until told to stop. Kafka or the database being away is waited for; the last figures stay."""
        while not stopping.is_set():
            started = time.monotonic()
            try:
                await self.count()
                await pruner.when_due()
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
    pool = await open_pool(settings.postgres, size=3, name="accounting")
    accountant = Accountant(settings.kafka, pool, configuration)
    exporter = Exporter(accountant, lambda topics: retention_ms(settings.kafka, topics))
    # The first count reads whole topics: a large installation needs its time for that.
    exporter.progress.stalled_after = 900.0
    health = Health(settings.metrics_port, [exporter.progress], lambda: None if exporter.counted else "the first count")
    await health.start()
    try:
        await exporter.run(stopping, Pruner(pool, accountant.topic_ids))
    finally:
        await health.stop()
        await pool.close()
