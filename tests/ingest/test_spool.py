"""The spool: each record on its own, several relays at once, and neither a poisonous record nor a topic in the way."""

from __future__ import annotations

import asyncio
import socket
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from deploy.local import Endpoints
from libs.runtime.kafka import publisher as publishing
from libs.runtime.kafka.offsets import read_whole
from libs.runtime.kafka.publisher import Publisher, RecordRefused
from libs.runtime.kafka.topics import Topic, create_topics
from libs.runtime.kafka.writer import KafkaAway
from libs.runtime.settings import KafkaSettings
from services.ingest.inbox import InboxRecord
from services.ingest.spool import Spool

DAY_MS = 24 * 60 * 60 * 1000


def _settings(bootstrap: str) -> KafkaSettings:
    return KafkaSettings(bootstrap, 3000, 2, 1, {})


@pytest.fixture
async def topic(stack: Endpoints) -> str:
    """A fresh topic."""
    name = f"inbox.t{uuid.uuid4().hex[:8]}"
    await create_topics(_settings(stack.kafka), [Topic(name, 2, DAY_MS)])
    return name


@asynccontextmanager
async def _publisher(bootstrap: str) -> AsyncIterator[Publisher]:
    publisher = Publisher(_settings(bootstrap))
    await publisher.start()
    yield publisher
    await publisher.stop()


@asynccontextmanager
async def _relaying(*spools: Spool) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    relays = [asyncio.create_task(spool.relay(stopping)) for spool in spools]
    yield
    stopping.set()
    await asyncio.gather(*relays)


def _record(topic: str, name: str, value: bytes = b"{}") -> InboxRecord:
    return InboxRecord(topic, name.encode(), value, {"delivery-id": name})


async def _until_left(pool: Any, wanted: int, *, seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while (left := await pool.fetchval("select count(*) from spool")) != wanted:
        assert time.monotonic() < deadline, f"{left} records are left"
        await asyncio.sleep(0.1)


async def _arrived(stack: Endpoints, topic: str) -> Counter[str]:
    return Counter([r.text["delivery-id"] async for r in read_whole(_settings(stack.kafka), [topic])])


async def test_neither_a_refused_record_nor_a_missing_topic_holds_up_the_others(
    stack: Endpoints, pool: Any, topic: str
) -> None:
    """What Kafka will not take stays in the spool, where nothing of it is lost; all others arrive, once."""
    async with _publisher(stack.kafka) as publisher:
        spool = Spool(pool, publisher)
        await spool.keep(_record("inbox.nobody-made-it", "stranded"), within=5)
        await spool.keep(_record(topic, "too-large", b"x" * 5_000_000), within=5)
        await asyncio.gather(*(spool.keep(_record(topic, f"n{number}"), within=10) for number in range(250)))
        async with _relaying(spool):
            await _until_left(pool, 2)
    assert await _arrived(stack, topic) == Counter(f"n{number}" for number in range(250))
    left = await pool.fetch("select headers from spool")
    assert {row["headers"]["delivery-id"] for row in left} == {"stranded", "too-large"}


async def test_two_relays_share_the_spool(stack: Endpoints, pool: Any, topic: str) -> None:
    """Two replicas find the same rows: each row is passed on by one of them."""
    async with _publisher(stack.kafka) as one, _publisher(stack.kafka) as other:
        spools = Spool(pool, one), Spool(pool, other)
        await asyncio.gather(*(spools[n % 2].keep(_record(topic, f"n{n}"), within=10) for n in range(400)))
        async with _relaying(*spools):
            await _until_left(pool, 0)
    assert await _arrived(stack, topic) == Counter(f"n{number}" for number in range(400))


async def test_a_header_that_the_database_cannot_hold_is_kept_all_the_same(pool: Any) -> None:
    """NUL is no text to PostgreSQL: it is replaced, and the webhook is not turned away for ever."""
    spool = Spool(pool, Publisher(_settings("127.0.0.1:1")))
    await spool.keep(_record("inbox.square", "e\x00"), within=5)
    assert (await pool.fetchval("select headers from spool"))["delivery-id"] == "e\ufffd"


async def test_a_silent_topic_is_left_alone_but_for_a_trial(
    stack: Endpoints, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three records unconfirmed: no further one waits, but one now and then; a confirmed one opens it to all again."""
    monkeypatch.setattr(publishing, "_TRIAL_SECONDS", 0.5)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # taken and not listening
        async with _publisher(f"127.0.0.1:{nobody.getsockname()[1]}") as publisher:
            for misses in range(3):
                assert publisher.worth_trying(topic), f"after {misses} misses"
                with pytest.raises(KafkaAway):
                    await publisher.publish(topic, b"k", b"v", {}, within=0.05)
            assert not publisher.worth_trying(topic)
            assert publisher.worth_trying("another topic")
            await asyncio.sleep(0.6)
            assert [publisher.worth_trying(topic) for _ in range(3)] == [True, False, False]
    async with _publisher(stack.kafka) as publisher:
        for _ in range(3):
            with pytest.raises(KafkaAway):
                await publisher.publish(topic, b"k", b"v", {}, within=0.0)
        assert not publisher.worth_trying(topic)
        await publisher.publish(topic, b"k", b"v", {}, within=30)
        assert [publisher.worth_trying(topic) for _ in range(3)] == [True, True, True]
        with pytest.raises(RecordRefused):
            await publisher.publish(topic, b"k", b"x" * 5_000_000, {}, within=30)
        assert publisher.worth_trying(topic), "a record that is too large says nothing of the topic"
