"""The engine on a real broker and a real database, with a target that does as the test says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from bench.contestants.target import BenchConnection
from bench.scenarios.refunds import refunds
from libs.connectors.contract.http import Request, Response
from libs.runtime.engine.engine import Engine, World, consumer_group
from libs.runtime.http.client import NotSent
from libs.runtime.kafka.offsets import standing
from libs.runtime.kafka.records import Partition
from libs.runtime.kafka.topics import Topic, create_topics
from libs.runtime.kafka.writer import KafkaAway, Outgoing, Writer
from libs.runtime.settings import ProcessSettings
from tests.ops.expiring import expire
from tests.system.installation import Installation

NAME = "running"
TOPIC = "retail.sales"
DAY_MS = 86_400_000


@dataclass
class Vendor:
    """The target, in place of the HTTP client. `answer` says what a POST draws; a GET is the probe."""

    up: bool = True
    answer: Callable[[Request], Awaitable[Response]] | None = None
    effects: list[str] = field(default_factory=list)

    async def send(self, request: Request) -> Response:
        """Answer a call."""
        if not self.up:
            raise NotSent("down")
        if request.method == "POST":
            if self.answer is not None:
                return await self.answer(request)
            self.effects.append(request.json["id"])
        return Response(200, {}, b'{"id": "r"}')

    async def renew_credentials(self) -> bool:
        """There are no newer ones."""
        return False

    async def close(self) -> None:
        """Nothing is open."""


class Letters(Writer):
    """The writer of dead letters; it can refuse."""

    refuses = False

    async def send(self, *record: Any, **more: Any) -> Any:
        """Write it, or fail as a broker does that does not confirm."""
        if self.refuses:
            raise KafkaAway("refused by the test")
        return await super().send(*record, **more)


@dataclass
class Stage:
    """Where engines of one connection run."""

    whole: Installation
    vendor: Vendor
    writer: Letters

    @asynccontextmanager
    async def engine(self, *, concurrency: int = 4) -> AsyncIterator[Engine]:
        """An engine at work; it is told to stop at the end."""
        connection = BenchConnection.model_validate(
            {
                "id": NAME, "vendor": "bench", "role": "target", "account": "bench", "environment": "sandbox",
                "base_url": "http://127.0.0.1:9", "start": "beginning", "limits": {"concurrency": concurrency},
                "secrets": {"access_token": {"env": "UNUSED"}}, "settings": {"calls": True},
            }
        )  # fmt: skip
        settings = ProcessSettings(
            config=Path(), kafka=self.whole.kafka_settings, postgres="", metrics_port=0, instance="test",
            encryption_key=None, otlp_endpoint=None, log_format="json", http_host="", http_port=0, lease_seconds=6,
            http_timeout_seconds=1,
        )  # fmt: skip
        world = World(client=lambda *_args, **_more: self.vendor)
        engine, stopping = Engine(connection, settings, self.whole.pool, self.writer, world), asyncio.Event()
        running = asyncio.create_task(engine.run(stopping))
        try:
            yield engine
        finally:
            stopping.set()
            await asyncio.wait_for(running, 30)

    async def publish(self, records: list[Outgoing], *, age_days: float = 0) -> None:
        """Write records that Kafka took so many days ago."""
        producer = AIOKafkaProducer(bootstrap_servers=self.whole.kafka, acks="all")
        await producer.start()
        at = int(time.time() * 1000 - age_days * DAY_MS)
        for record in records:
            await producer.send(record.topic, record.value, key=record.key, headers=record.headers, timestamp_ms=at)
        await producer.stop()

    async def rows(self, state: str, class_: str | None = None) -> int:
        """How many events are in that state."""
        return await self.whole.count(
            f"select count(*) from delivery where connection = '{NAME}' and state = '{state}'"
            + (f" and class = '{class_}'" if class_ else "")
        )

    async def until(self, state: str, number: int, class_: str | None = None) -> None:
        """Wait until so many events are in that state."""

        async def there() -> bool:
            return await self.rows(state, class_) == number

        await self.whole.until(there, f"{number} events are {state}", seconds=90)


@pytest.fixture
async def stage(installation: Installation) -> AsyncIterator[Stage]:
    """A broker and a database of its own; no services."""
    await create_topics(installation.kafka_settings, [Topic(f"dlq.{NAME}", 4, 30 * DAY_MS)])
    writer = Letters(installation.kafka_settings)
    yield Stage(installation, Vendor(), writer)
    await writer.stop()


async def test_what_kafka_would_delete_during_an_outage_is_moved_in_time(stage: Stage) -> None:
    """Old records become rows while the target is away, young ones stay; after the outage all arrive, in order."""
    old, young = refunds(40)[:30], refunds(40)[30:]
    await stage.publish(old, age_days=25)
    await stage.publish(young)
    stage.vendor.up = False
    async with stage.engine() as engine:
        await stage.whole.until(lambda: engine.reading_is_paused, "the outage is noticed", seconds=60)
        await engine.spill()
        await stage.until("parked", 30, "spilled")
        await asyncio.sleep(1.5)
        stands = await standing(stage.whole.kafka_settings, consumer_group(NAME), [TOPIC])
        assert sum(each.waiting for each in stands.values()) == 10, "offsets go on behind what was moved, no further"
    await expire(
        stage.whole.kafka_settings,
        {Partition(*place): each.next for place, each in stands.items() if each.next > each.begin},
    )
    stage.vendor.up = True
    async with stage.engine():
        await stage.until("delivered", 40)
    assert len(stage.vendor.effects) == len(set(stage.vendor.effects)) == 40
    assert await stage.rows("dead") == 0


async def test_a_dead_letter_topic_that_refuses_pauses_its_partition_only(stage: Stage) -> None:
    """The letter's offset does not go on without it, other partitions do; when the topic takes it, all is as usual."""
    records = refunds(400)
    poison = records[0]

    async def answer(request: Request) -> Response:
        if b'"%s"' % request.json["id"].encode() in (poison.value or b""):
            return Response(400, {}, b"{}")
        stage.vendor.effects.append(request.json["id"])
        return Response(200, {}, b'{"id": "r"}')

    stage.vendor.answer = answer
    stage.writer.refuses = True
    await stage.publish(records[1:2] + records[:1] + records[2:])
    async with stage.engine() as engine:
        # Those behind the poison in its lane wait; everybody else is delivered.
        same_key = sum(record.key == poison.key for record in records) - 1
        await stage.until("delivered", 400 - 1 - same_key)
        await asyncio.sleep(2)
        assert [owned.refused for owned in engine._owned.values() if owned.refused] == [1]
        assert await stage.rows("dead") == 0
        stands = await standing(stage.whole.kafka_settings, consumer_group(NAME), [TOPIC])
        assert sum(each.waiting > 0 for each in stands.values()) == 1, "only its partition is held back"
        stage.writer.refuses = False
        await stage.until("dead", 1)
        await stage.until("parked", same_key, "behind")
        stands = await standing(stage.whole.kafka_settings, f"{consumer_group(NAME)}.none", [f"dlq.{NAME}"])
        assert sum(each.end - each.begin for each in stands.values()) == 1


async def test_claims_that_were_never_sent_are_given_back_as_such(stage: Stage) -> None:
    """Told to stop while calls hang: only what was on the wire has an open outcome, the rest is simply sent later."""
    hanging = asyncio.Event()

    async def hang(_request: Request) -> Response:
        await hanging.wait()
        raise NotSent("never")

    stage.vendor.answer = hang
    await stage.publish(refunds(40))
    async with stage.engine(concurrency=2):
        await stage.until("claimed", 40)
        await asyncio.sleep(1)
    rows = await stage.whole.pool.fetch(
        "select sent_at, lease_until <= now() as free from delivery where connection = $1", NAME
    )
    assert all(row["free"] for row in rows), "the drain lasted as long as a call can: nobody has to wait for leases"
    assert sum(row["sent_at"] is not None for row in rows) == 2
    stage.vendor.answer = None
    async with stage.engine():
        await stage.until("delivered", 40)
    assert sorted(stage.vendor.effects) == sorted(set(stage.vendor.effects))


async def test_a_fence_without_a_rebalance_is_followed_by_joining_anew(stage: Stage) -> None:
    """A database restored from a backup knows other epochs: the engine drops what it held, joins again and goes on."""
    async with stage.engine() as engine:
        await stage.publish(refunds(40))
        await stage.until("delivered", 40)
        await stage.whole.pool.execute("update partition_owner set epoch = epoch + 5 where connection = $1", NAME)
        await stage.publish(refunds(40, first=40))
        await stage.whole.until(lambda: any(owned.lost for owned in engine._owned.values()), "the fence is met")
        assert await stage.rows("delivered") == 40, "what is fenced has no effect"
        await stage.until("delivered", 80)
    assert len(stage.vendor.effects) == len(set(stage.vendor.effects)) == 80
    stands = await standing(stage.whole.kafka_settings, consumer_group(NAME), [TOPIC])
    assert sum(each.waiting for each in stands.values()) == 0


async def test_a_connection_to_kafka_that_closes_under_its_feet_loses_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop says RuntimeError when the client writes to it: on a commit, and then on a poll."""
    async with stage.engine() as engine:
        await stage.publish(refunds(40))
        await stage.until("delivered", 40)
        first = engine._consumer

        async def closed(*_: Any, **__: Any) -> Any:
            raise RuntimeError("the handler is closed")

        monkeypatch.setattr(first, "commit", closed)
        await stage.publish(refunds(40, first=40))
        await stage.until("delivered", 80)
        await asyncio.sleep(1.5)
        monkeypatch.setattr(first, "getmany", closed)
        await stage.publish(refunds(40, first=80))
        await stage.until("delivered", 120)
        assert engine._consumer is not first
    assert len(stage.vendor.effects) == len(set(stage.vendor.effects)) == 120
    stands = await standing(stage.whole.kafka_settings, consumer_group(NAME), [TOPIC])
    assert sum(each.waiting for each in stands.values()) == 0
