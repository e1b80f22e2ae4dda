"""The bare loop for a target without calls: read a batch, claim it, settle it, commit. No lanes, no fence.

The next batch is read and decoded while one is written. Without the ledger nothing is written at all.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer

from bench.contestants.bare_consumer import bare_consumer
from bench.contestants.bare_ledger import BareLedger, Read, open_bare_pool, read
from bench.contestants.task import Progress, Task

# What was read, and where reading goes on when it is committed.
_Batch = tuple[list[Read], dict[Any, int]]


async def _write(
    batches: asyncio.Queue[_Batch], ledger: BareLedger | None, consumer: AIOKafkaConsumer, progress: Progress
) -> None:
    while True:
        reads, offsets = await batches.get()
        if ledger:
            await ledger.claim(reads)
            await ledger.settle([(each.event.id, None) for each in reads])
        await consumer.commit(offsets)
        progress.add(len(reads))


async def run(task: Task, progress: Progress, stopping: asyncio.Event) -> None:
    """Read until told to stop."""
    pool = await open_bare_pool(task.postgres)
    consumer = bare_consumer(task)
    batches: asyncio.Queue[_Batch] = asyncio.Queue(1)
    await consumer.start()
    writing = asyncio.create_task(
        _write(batches, BareLedger(pool, task.name) if task.ledger else None, consumer, progress)
    )
    try:
        while not stopping.is_set() and not writing.done():
            batch = await consumer.getmany(timeout_ms=100, max_records=500)
            reads = [read(record) for records in batch.values() for record in records]
            if reads:
                offsets = {tp: records[-1].offset + 1 for tp, records in batch.items() if records}
                await batches.put((reads, offsets))
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await consumer.stop()
        await pool.close()
