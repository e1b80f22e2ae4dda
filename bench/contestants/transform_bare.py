"""The bare loop for snapshots: decode, the same mapping, produce, wait for all, commit. Nothing is remembered."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaProducer

from bench.contestants.bare_consumer import bare_consumer
from bench.contestants.task import Progress, Task
from libs.canonical.event import encode
from libs.connectors.contract.connector import connector
from libs.connectors.contract.source import Snapshot, SourceSettings
from libs.runtime import exact_json


async def run(task: Task, progress: Progress, stopping: asyncio.Event) -> None:
    """Read until told to stop."""
    source, settings = connector("square").source, SourceSettings()
    assert source is not None
    consumer = bare_consumer(task, "raw.square")
    producer = AIOKafkaProducer(bootstrap_servers=task.kafka, acks="all", enable_idempotence=True, linger_ms=5)
    await producer.start()
    await consumer.start()
    try:
        while not stopping.is_set():
            batch = await consumer.getmany(timeout_ms=200, max_records=500)
            sent = []
            for record in (record for records in batch.values() for record in records):
                snapshot = Snapshot.model_validate(exact_json.decode(record.value))
                for event in source.to_canonical(snapshot, settings).events:
                    key, value, headers = encode(event)
                    sent.append(await producer.send(event.topic, value, key=key, headers=headers))
            if batch:
                await asyncio.gather(*sent)
                await consumer.commit()
                progress.add(sum(len(records) for records in batch.values()))
    finally:
        await consumer.stop()
        await producer.stop()
