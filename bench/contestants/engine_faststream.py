"""FastStream subscribers for a target without calls, with the same ledger rows: in batches, or record by record.

Both commit after the handler, so that nothing is lost; FastStream commits a batch, or each record, by itself.
"""

from __future__ import annotations

import asyncio
from typing import Any

from faststream import AckPolicy
from faststream.kafka import KafkaBroker

from bench.contestants.bare_ledger import BareLedger, open_bare_pool, read
from bench.contestants.task import TOPIC, Progress, Task


async def _undecoded(message: Any) -> Any:
    return message.raw_message


async def run(task: Task, progress: Progress, stopping: asyncio.Event) -> None:
    """Subscribe until told to stop."""
    pool = await open_bare_pool(task.postgres)
    ledger = BareLedger(pool, task.name)
    broker = KafkaBroker(task.kafka, logger=None)

    async def handle(records: Any) -> None:
        reads = [read(record) for record in ([records] if task.single else records)]
        await ledger.claim(reads)
        await ledger.settle([(each.event.id, None) for each in reads])
        progress.add(len(reads))

    broker.subscriber(
        TOPIC, batch=not task.single, max_records=500, batch_timeout_ms=100, group_id=task.name, decoder=_undecoded,
        auto_offset_reset="earliest", ack_policy=AckPolicy.NACK_ON_ERROR, session_timeout_ms=6000,
        fetch_max_wait_ms=100,
    )(handle)  # fmt: skip
    await broker.start()
    try:
        await stopping.wait()
    finally:
        await broker.stop()
        await pool.close()
