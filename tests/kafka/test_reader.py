"""Reading in batches from a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from deploy.local import Endpoints
from libs.runtime.kafka import reader
from libs.runtime.kafka.reader import BatchReader
from libs.runtime.kafka.records import Record
from libs.runtime.kafka.topics import Topic, create_topics
from libs.runtime.kafka.writer import Outgoing, Writer
from libs.runtime.settings import KafkaSettings
from libs.runtime.telemetry.progress import Progress

_TOPIC = "reader.silence"


async def test_a_consumer_that_fell_silent_is_replaced(stack: Endpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member of its group that no record reaches: the next one reads them all, and each once."""
    kafka = KafkaSettings(stack.kafka, 6000, 2, 1, {})
    await create_topics(kafka, [Topic(_TOPIC, 2, 3_600_000)])
    writer = Writer(kafka)
    await writer.start()
    opened: list[Any] = []
    real = reader.open_consumer

    def opening(settings: KafkaSettings, group: str) -> Any:
        consumer = real(settings, group)
        opened.append(consumer)
        if len(opened) == 1:

            async def nothing(**_: Any) -> dict[Any, Any]:
                await asyncio.sleep(0.1)
                return {}

            monkeypatch.setattr(consumer, "getmany", nothing)
        return consumer

    monkeypatch.setattr(reader, "open_consumer", opening)
    monkeypatch.setattr(reader, "LOOK_EVERY", 1.0)
    read: list[bytes | None] = []

    async def handle(records: Sequence[Record]) -> None:
        read.extend(record.value for record in records)

    values = [b"%d" % number for number in range(20)]
    await writer.send_all([Outgoing(_TOPIC, value, value, []) for value in values])
    batches = BatchReader(kafka, group="silence", topics=[_TOPIC], handle=handle, progress=Progress("silence"))
    running = asyncio.create_task(batches.run())
    try:
        async with asyncio.timeout(60):
            while len(read) < len(values):  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0.1)
        await asyncio.sleep(3)
        assert sorted(read, key=str) == sorted(values, key=str)
        assert len(opened) == 2, "one that has nothing to read is not silent"
    finally:
        batches.stop()
        await running
        await writer.stop()


async def test_a_connection_that_closes_under_its_feet_is_not_its_end(
    stack: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop says RuntimeError when the client writes to it, and closing such a client fails as well."""
    kafka = KafkaSettings(stack.kafka, 6000, 1, 1, {})
    topic = "reader.closed"
    await create_topics(kafka, [Topic(topic, 1, 3_600_000)])
    opened: list[Any] = []
    real = reader.open_consumer

    def opening(settings: KafkaSettings, group: str) -> Any:
        consumer = real(settings, group)
        opened.append(consumer)
        if len(opened) > 2:
            return consumer
        stop = consumer.stop

        async def closed(*_: Any, **__: Any) -> Any:
            raise RuntimeError("the handler is closed")

        async def stopped() -> None:
            await stop()
            raise asyncio.CancelledError

        monkeypatch.setattr(consumer, "getmany" if len(opened) == 1 else "commit", closed)
        monkeypatch.setattr(consumer, "stop", stopped)
        return consumer

    monkeypatch.setattr(reader, "open_consumer", opening)
    read: list[bytes | None] = []

    async def handle(records: Sequence[Record]) -> None:
        read.extend(record.value for record in records)

    writer = Writer(kafka)
    batches = BatchReader(kafka, group="closed", topics=[topic], handle=handle, progress=Progress("closed"))
    running = asyncio.create_task(batches.run())
    try:
        for number in range(2):
            await writer.send(topic, b"key", b"%d" % number, [])
            async with asyncio.timeout(60):
                while len(read) <= number:  # noqa: ASYNC110 - nobody tells of it
                    await asyncio.sleep(0.1)
    finally:
        batches.stop()
        await running
        await writer.stop()
    assert read == [b"0", b"1"]
    assert len(opened) == 2
