"""Replicas of the real engine between a log in memory and a vendor in memory, on a real PostgreSQL, in virtual time."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack
from contextvars import Context, ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TypeVar, cast

import asyncpg

from libs.canonical.day import DayClosed
from libs.canonical.event import AnyEvent, Event, day_closed, encode
from libs.canonical.kinds import KINDS, Kind, Nature
from libs.connectors.contract.manifest import Limits
from libs.runtime.configuration.model import ParkingRules
from libs.runtime.database.pool import open_pool
from libs.runtime.engine.engine import Engine, World, consumed_topics
from libs.runtime.settings import KafkaSettings, ProcessSettings
from tests.model.clock import DATABASE_CLOCK, Clock, VirtualLoop
from tests.model.database import ReplicaPool, Server
from tests.model.flavours import Flavour, ModelConnection
from tests.model.log import Consumer, Kafka, Letters
from tests.model.vendor import Client, Vendor
from tests.system.sales import ACCOUNT, NOON

Result = TypeVar("Result")

PARTITIONS = 2  # of each topic
UNLIMITED = Limits(concurrency=8)
# Nothing is ever given up for its age or for the number of tries: a dead letter is the event's own fault.
PATIENT = ParkingRules(delays_seconds=(5, 20, 60), attempts=100_000, give_up_after_seconds=1e9)
_HERE: ContextVar[Replica | None] = ContextVar("replica", default=None)
# A killed task may be in a `finally` when it is cancelled; so often it is cancelled again.
_STUBBORN = 1000


@dataclass(frozen=True)
class Stage:
    """A database with a clock, on which any number of runs take place, each as a connection of its own."""

    dsn: str
    file: Path

    def prepare(self) -> None:
        """Put the clock into the database."""
        self.file.write_text("2026-01-01T00:00:00.000000+00:00")
        asyncio.run(self._prepare())

    async def _prepare(self) -> None:
        database = await asyncpg.connect(self.dsn)
        await database.execute(DATABASE_CLOCK.format(file=self.file))
        await database.close()


@dataclass(eq=False)
class Replica:
    """One process: an engine that can be stopped, killed, or cut off from Kafka."""

    name: str
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    alive: bool = True
    tasks: dict[asyncio.Task[Any], None] = field(default_factory=dict)
    consumers: list[Consumer] = field(default_factory=list)
    engine: Engine | None = None
    main: asyncio.Task[None] | None = None


class ModelWorld:
    """One run. `seed` decides everything that is left to chance."""

    def __init__(
        self,
        stage: Stage,
        name: str,
        flavour: Flavour,
        seed: int,
        *,
        limits: Limits = UNLIMITED,
        parking: ParkingRules = PATIENT,
    ) -> None:
        self.loop = VirtualLoop()
        self.loop.set_task_factory(cast("Any", self._task))
        self.clock = Clock(self.loop, stage.file)
        self._closing = ExitStack()
        self._closing.enter_context(self.clock.rules())
        self.random, self.flavour = Random(seed), flavour
        self.connection = ModelConnection.model_validate(
            {
                "id": name, "vendor": "model", "role": "target", "account": name, "environment": "sandbox",
                "start": "beginning", "settings": {"flavour": flavour}, "limits": limits, "parking": parking,
            }
        )  # fmt: skip
        self.kafka = Kafka(self.loop, self.clock, self._dice(), consumed_topics(self.connection), PARTITIONS)
        self.events: dict[str, AnyEvent] = {}
        self.places: dict[str, int] = {}
        self.vendor = Vendor(self.loop, self.clock, self._dice(), flavour, limits, self.places)
        self.replicas: list[Replica] = []
        self.poll = 0.3  # seconds for which an empty poll waits
        self.retention: dict[str, int] = {}
        self._of_key: dict[str, list[AnyEvent]] = defaultdict(list)
        self._started = 0
        with self.loop.expecting():
            self._pool = self.run(open_pool(stage.dsn, size=1))
            connection = self.run(self._pool.acquire())
            self.run(connection.execute("set synchronous_commit = off"))
        self.database = Server(self.loop, self.clock, connection, self._dice())
        self.settings = ProcessSettings(
            config=Path(), kafka=KafkaSettings("memory", 45_000, PARTITIONS, 1, {}), postgres=stage.dsn,
            metrics_port=0, instance=name, encryption_key=None, otlp_endpoint=None, log_format="text",
            http_host="", http_port=0, lease_seconds=30, http_timeout_seconds=20,
        )  # fmt: skip

    def _dice(self) -> Random:
        return Random(self.random.random())

    def _task(
        self, loop: asyncio.AbstractEventLoop, doing: Coroutine[Any, Any, Any], context: Context | None = None
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(doing, loop=loop, context=context)
        replica = _HERE.get() if context is None else context.get(_HERE)
        if replica is not None:
            replica.tasks[task] = None
            task.add_done_callback(lambda done: replica.tasks.pop(done, None))
        return task

    def run(self, doing: Awaitable[Result]) -> Result:
        """Let things go on until this is done."""
        return self.loop.run_until_complete(doing)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.run(asyncio.sleep(seconds))

    # What happens -----------------------------------------------------------------------------------------------

    def publish(self, event: AnyEvent) -> None:
        """Write the event to its topic, for the first time or again."""
        if event.id not in self.events:
            self.events[event.id] = event
            known = self._of_key[event.order_key]
            known.append(event)
            # Facts stand as they were told, states as their versions say.
            self.places[event.id] = event.version if event.nature is Nature.STATE else len(known)
        key, value, headers = encode(event)
        self.kafka.append(event.topic, key, value, headers)

    def start(self) -> Replica:
        """Another replica."""
        self._started += 1
        replica = Replica(f"replica-{self._started}")
        self.replicas.append(replica)

        def alive() -> bool:
            return replica.alive

        def consumer(_kafka: KafkaSettings, _group: str) -> Consumer:
            replica.consumers.append(Consumer(self.kafka, alive, lambda: self.poll))
            return replica.consumers[-1]

        def client(*_: Any, timeout: float, **__: Any) -> Client:
            return Client(self.vendor, alive, timeout)

        async def retention(*_: Any) -> Mapping[str, int]:
            return self.retention

        pool = ReplicaPool(self.database, alive)
        world = World(consumer=consumer, client=client, retention=retention)
        replica.engine = Engine(
            self.connection, self.settings, pool, cast("Any", Letters(self.kafka, alive)), world=world
        )
        context = Context()
        context.run(_HERE.set, replica)
        replica.main = self.loop.create_task(replica.engine.run(replica.stopping), context=context)
        return replica

    def stop(self, replica: Replica) -> None:
        """SIGTERM: it finishes what it has in hand, and leaves."""
        assert replica.main is not None
        replica.stopping.set()
        self.run(asyncio.wait([replica.main], timeout=60))
        assert replica.main.done(), f"{replica.name} does not end"
        self.replicas.remove(replica)
        replica.main.result()

    def kill(self, replica: Replica) -> None:
        """SIGKILL: from this moment on it writes nothing and says nothing to anybody."""
        replica.alive = False
        self.replicas.remove(replica)
        self.run(self._bury(replica))
        for consumer in replica.consumers:
            self.kafka.group.unheard(consumer)

    async def _bury(self, replica: Replica) -> None:
        for _ in range(_STUBBORN):
            if not replica.tasks:
                return
            for task in list(replica.tasks):
                task.cancel()
            await asyncio.sleep(0)
        raise AssertionError(f"{replica.name} goes on after its death: {list(replica.tasks)}")

    def cut_off(self, replica: Replica) -> None:
        """The network between it and Kafka is gone; between it and everything else it is not."""
        for consumer in replica.consumers:
            consumer.cut_off = True
            self.kafka.group.unheard(consumer)

    def join_again(self, replica: Replica) -> None:
        """The network is back."""
        for consumer in replica.consumers:
            consumer.cut_off = False

    async def rows(self) -> list[Any]:
        """All rows of the ledger."""
        rows: list[Any] = await self.database.ask(
            "fetch", "select * from delivery where connection = $1 order by seq", self.connection.id
        )
        return rows

    def of_key(self, order_key: str) -> Sequence[AnyEvent]:
        """The events of an order key, as they were told."""
        return self._of_key[order_key]

    def days(self) -> Sequence[Event[DayClosed]]:
        """The days that were closed, each revision."""
        return [cast("Event[DayClosed]", event) for event in self.events.values() if event.kind is Kind.DAY_CLOSED]

    def close_day(self) -> None:
        """Close the day, again if it was before: with what no earlier revision has."""
        days = self.days()
        booked = {member for day in days for member in day.data.members}
        sold = (event for event in self.events.values() if event.topic == KINDS[Kind.SALE_COMPLETED].topic)
        members = tuple(event.id for event in sold if event.id not in booked)
        day = DayClosed(
            location_id="L1", business_day=NOON.date(), currency="USD", timezone="UTC", revision=len(days) + 1,
            sales=len(members), refunds=0, lines=(), members=members, closed_at=NOON,
        )  # fmt: skip
        if members:
            self.publish(day_closed(ACCOUNT, day))

    def close(self) -> None:
        """Let go of everything, whatever state it is in."""
        for replica in list(self.replicas):
            self.kill(replica)
        try:
            self.run(self._end())
        finally:
            self._closing.close()
            self.clock.close()
            self.loop.close()

    async def _end(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        with self.loop.expecting():
            self._pool.terminate()


Begin = Callable[[Flavour], ModelWorld]
