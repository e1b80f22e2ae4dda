"""The bare loop for a target without calls: read a batch, claim it, settle it, commit. No lanes, no fence."""

from __future__ import annotations

import asyncio

from bench.contestants.bare_consumer import bare_consumer
from bench.contestants.bare_ledger import BareLedger, open_bare_pool, read
from bench.contestants.task import Progress, Task


async def run(task: Task, progress: Progress, stopping: asyncio.Event) -> None:
    """Read until told to stop."""
    pool = await open_bare_pool(task.postgres)
    ledger = BareLedger(pool, task.name)
    consumer = bare_consumer(task)
    await consumer.start()
    try:
        while not stopping.is_set():
            batch = await consumer.getmany(timeout_ms=100, max_records=500)
            reads = [read(record) for records in batch.values() for record in records]
            if reads:
                await ledger.claim(reads)
                await ledger.settle([(each.event.id, None) for each in reads])
                await consumer.commit()
                progress.add(len(reads))
    finally:
        await consumer.stop()
        await pool.close()
