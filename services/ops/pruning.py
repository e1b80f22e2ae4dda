"""Forgetting what is old: in small batches, by one process at a time, and only what no record can ask for any more.

It is done beside the accounting, since only that process knows which ids still stand in the topics: a row whose record
could be read again is never deleted, however old it is. How long what is kept, and why: docs/operations.md.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import structlog

from libs.runtime.database.pool import Pool
from libs.runtime.telemetry.metrics import PRUNED
from services.ops.queries import pruning
from services.ops.topic_ids import TopicIds, digest_of

log = structlog.get_logger()

EVERY = 3600.0  # seconds
# Rows in one transaction, and of one table in one go; what is left is done an hour later.
_BATCH = 1_000
_AT_MOST = 50_000


class Pruner:
    """Prunes about once an hour. `topic_ids`: what stands in the topics, as read by the accounting."""

    def __init__(self, pool: Pool, topic_ids: TopicIds) -> None:
        self._pool, self._topic_ids = pool, topic_ids
        self._due = 0.0

    async def when_due(self) -> None:
        """Prune, if that was an hour ago or never done yet."""
        if time.monotonic() >= self._due:
            await self.prune()
            self._due = time.monotonic() + EVERY

    async def prune(self) -> dict[str, int]:
        """Forget what is old; how many rows, by table. Nothing while another process is at it."""
        async with self._pool.acquire() as database:
            # The lock is the connection's and ends with it, whatever happens.
            if not await pruning.alone(database):
                return {}
            old = {
                "delivery": await pruning.old_deliveries(database, self._topic_ids.firsts(), _AT_MOST),
                "notification": await pruning.old_notifications(database, _AT_MOST),
                "snapshot": await pruning.old_snapshots(database, _AT_MOST),
            }
            gone = {table: await self._forget(table, rows) for table, rows in old.items()}
            gone |= {table: await self._forget_aged(table) for table in pruning.AGED_TABLES}
            cut = await pruning.cut_settled_letters(self._pool, _AT_MOST)
            await pruning.no_more(database)
        for table, number in gone.items():
            PRUNED.labels(table).inc(number)
        if cut or any(gone.values()):
            log.info("forgotten", **gone, letters_cut=cut)
        return gone

    async def _forget(self, table: str, rows: Sequence[Any]) -> int:
        """Delete rows whose id stands in no topic any more."""
        free = [row for row in rows if not self._topic_ids.has(digest_of(row["id"]))]
        gone = 0
        for start in range(0, len(free), _BATCH):
            gone += await pruning.forget(self._pool, table, free[start : start + _BATCH])
        return gone

    async def _forget_aged(self, table: str) -> int:
        gone = 0
        while gone < _AT_MOST:
            number = await pruning.forget_aged(self._pool, table, _BATCH)
            gone += number
            if number < _BATCH:
                break
        return gone
