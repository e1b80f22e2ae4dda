"""The loop of one connection: read, admit, one lane per order key, commit only what is finished.

consumer ─▶ admission caps ─▶ lanes (one of an order key at a time) ─▶ Intake ─▶ Deliverer ─▶ offset tracker ─▶ commit
                                  ▲
            parked rows whose time has come (only of partitions that this process owns)
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError

from libs.canonical.kinds import KINDS
from libs.runtime.configuration.model import Connection
from libs.runtime.database.pool import DATABASE_AWAY, Pool
from libs.runtime.engine.attempts import Attempts
from libs.runtime.engine.calls import Caller
from libs.runtime.engine.circuit import Circuit
from libs.runtime.engine.dead_letters import DeadLetterTopic
from libs.runtime.engine.delivery import Deliverer, Parts
from libs.runtime.engine.dispatch import BATCH, Dispatcher, Hands, Load
from libs.runtime.engine.intake import Intake
from libs.runtime.engine.lanes import Item, Owned
from libs.runtime.engine.leases import Leases
from libs.runtime.engine.ledger import Ledger
from libs.runtime.engine.planning import Planner
from libs.runtime.engine.remotes import Remotes
from libs.runtime.engine.rules import Rules
from libs.runtime.engine.spilling import note_what_must_spill
from libs.runtime.http.client import VendorClient
from libs.runtime.kafka.away import CLIENT_FAILS, close_consumer
from libs.runtime.kafka.hearing import LOOK_EVERY, Hearing
from libs.runtime.kafka.reader import open_consumer
from libs.runtime.kafka.records import Partition
from libs.runtime.kafka.retention import retention_ms
from libs.runtime.kafka.stored_headers import printable
from libs.runtime.kafka.writer import Writer
from libs.runtime.limits import shared_limiter
from libs.runtime.settings import KafkaSettings, ProcessSettings
from libs.runtime.telemetry.metrics import OLDEST_AGE
from libs.runtime.telemetry.progress import Progress

log = structlog.get_logger()

_COMMIT_EVERY = 1.0  # seconds
_POLL_MS = 200
# During a rebalance a poll waits for its end, however long that takes; so often we look whether to stop. In seconds.
_LONGEST_POLL = 5.0
# With events in hand, no pause in force and nothing finished for that long, the process is not alive; seconds.
_STUCK_AFTER = 300.0


def consumer_group(connection_id: str) -> str:
    """The consumer group of a connection."""
    return f"tillstream.sink.{connection_id}"


def consumed_topics(connection: Connection) -> tuple[str, ...]:
    """The topics in which anything for this connection can be."""
    facts = connection.connector.manifest.target
    assert facts is not None
    return tuple(dict.fromkeys(KINDS[kind].topic for kind in facts.kinds))


@dataclass(frozen=True)
class World:
    """What an engine reaches outside itself, so that a test can put something else in its place."""

    consumer: Callable[[KafkaSettings, str], Any] = open_consumer
    client: Callable[..., Any] = VendorClient
    retention: Callable[[KafkaSettings, Sequence[str]], Awaitable[Mapping[str, int]]] = retention_ms


class Engine(ConsumerRebalanceListener):  # type: ignore[misc]
    """Delivers everything that is for one connection. `run` ends when `stopping` is set and what was in flight is
    finished, within 25 seconds."""

    def __init__(
        self, connection: Connection, settings: ProcessSettings, pool: Pool, writer: Writer, world: World | None = None
    ) -> None:
        target = connection.connector.target
        assert target is not None
        self.connection, self._settings, self._pool = connection, settings, pool
        self._target, self._writer, self._world = target, writer, world or World()
        self.progress = Progress(f"engine.{connection.id}")
        # Liveness is progress: a loop that goes round while nothing is ever finished is not alive.
        self.deliveries = Progress(f"deliveries.{connection.id}", stalled_after=_STUCK_AFTER)
        self._owned: dict[Partition, Owned] = {}
        self._hearing, self._deaf = Hearing(), False
        self._seen_finished = 0
        self._ledger = Ledger(pool, connection.id, lease=settings.lease_seconds)
        self._drain_seconds = min(20.0, settings.http_timeout_seconds)

    @property
    def reading_is_paused(self) -> bool:
        """Whether the target's outage or an operator keeps new records from being read."""
        circuit = getattr(self, "_circuit", None)
        return circuit is not None and not circuit.closed

    async def run(self, stopping: asyncio.Event) -> None:
        """Deliver until told to stop."""
        connection, settings = self.connection, self._settings
        started_at = await self._begin(stopping)
        if started_at is None:
            return
        client = self._world.client(
            connection, self._pool, timeout=settings.http_timeout_seconds, encryption_key=settings.encryption_key
        )
        self._limiter = limiter = shared_limiter(connection, self._pool, settings)
        caller = Caller(connection.id, self._target, client, limiter, self._pool)
        self._assemble(started_at, client, caller)
        loops = [asyncio.create_task(self._deliverer.settlements.run())]
        loops += [asyncio.create_task(loop) for loop in (self._circuit.run(), self._circuit.watch_operator())]
        loops += [asyncio.create_task(self._dispatcher.redrive(lambda: list(self._owned.values())))]
        loops += [asyncio.create_task(self._guard()), *caller.loops()]
        try:
            while not stopping.is_set():
                try:
                    await self._consume(stopping)
                except CLIENT_FAILS as error:
                    log.warning("kafka is away", connection=connection.id, error=type(error).__name__)
                    self.progress.alive()
                    await asyncio.sleep(1)
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            await limiter.close()
            await client.close()

    def _assemble(self, started_at: datetime, client: Any, caller: Caller) -> None:
        connection, target = self.connection, self._target
        facts = target.manifest.target
        assert facts is not None
        probe = target.probe(connection.target_config)
        self._circuit = Circuit(connection.id, self._pool, lambda: caller.probe(probe))
        remotes = Remotes(self._ledger)
        planner = Planner(connection, target, self._ledger, remotes, Rules(connection, started_at))
        attempts = Attempts(
            connection.id,
            caller=caller,
            client=client,
            circuit=self._circuit,
            remotes=remotes,
            upserts=any(i.means == "upsert" for i in facts.idempotency),
            longest_call=self._settings.http_timeout_seconds,
            leases=Leases(
                self._ledger, lease=self._settings.lease_seconds, longest_call=self._settings.http_timeout_seconds
            ),
        )
        parts = Parts(self._ledger, planner, remotes, attempts, self._circuit, DeadLetterTopic(self._writer))
        self._deliverer = Deliverer(connection, parts)
        intake = Intake(connection, self._ledger, planner, self._deliverer.settle_as)
        self._dispatcher = Dispatcher(
            connection.id,
            Hands(self._ledger, intake, self._deliverer, self._circuit),
            Load(min(BATCH, max(64, 8 * connection.call_limits.concurrency))),
            self.progress,
            self._database_is_away,
        )

    async def _begin(self, stopping: asyncio.Event) -> datetime | None:
        """When the connection was first seen; None when told to stop before the database says so.

        Held events are looked at again: the configuration may say more now.
        """
        while not stopping.is_set():
            try:
                await self._pool.execute(
                    "insert into connection_state (connection) values ($1) on conflict do nothing", self.connection.id
                )
                await self._pool.execute(
                    "update delivery set next_attempt_at = now() where connection = $1 and state = 'parked' "
                    "and class in ('hold', 'upgrade')",
                    self.connection.id,
                )
                # A circuit is this process's own; what an earlier one left written is over.
                await self._pool.execute(
                    "update connection_state set circuit = 'closed', circuit_reason = null, circuit_since = now() "
                    "where connection = $1 and circuit <> 'closed'",
                    self.connection.id,
                )
                started_at: datetime = await self._pool.fetchval(
                    "select started_at from connection_state where connection = $1", self.connection.id
                )
                return started_at
            except DATABASE_AWAY as error:
                await self._database_is_away(error)
        return None

    async def _database_is_away(self, error: BaseException) -> None:
        """Without the ledger nothing may be sent; whatever was under way is resolved from its row later."""
        log.warning("database is away", connection=self.connection.id, error=type(error).__name__)
        self.progress.alive()
        self.deliveries.alive()
        await asyncio.sleep(1)

    # Reading ----------------------------------------------------------------------------------------------------

    async def _consume(self, stopping: asyncio.Event) -> None:
        consumer = self._world.consumer(self._settings.kafka, consumer_group(self.connection.id))
        await consumer.start()
        self._consumer, self._dispatcher.admitting, self._deaf = consumer, True, False
        self._hearing.heard()
        try:
            consumer.subscribe(consumed_topics(self.connection), listener=self)
            last_commit = time.monotonic()
            while not stopping.is_set() and not self._deaf and not self._fenced_without_a_rebalance():
                self._hold_back(consumer)
                batch = {}
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LONGEST_POLL):
                        batch = await consumer.getmany(timeout_ms=_POLL_MS, max_records=BATCH)
                self.progress.alive()
                if batch:
                    self._hearing.heard()
                for tp, messages in batch.items():
                    self._admit(tp, messages)
                self._dispatcher.go_on()
                if time.monotonic() - last_commit >= _COMMIT_EVERY:
                    self._watch()
                    await self._commit()
                    last_commit = time.monotonic()
        finally:
            self._dispatcher.admitting = False
            everything = list(self._owned.values())
            await self._dispatcher.drain(everything, self._drain_seconds)
            await self._commit()
            await close_consumer(consumer)
            self._dispatcher.forget(everything)
            self._owned.clear()

    def _hold_back(self, consumer: AIOKafkaConsumer) -> None:
        """Pause what must not be read now; a rebalance forgets pauses, so they are set anew each time round."""
        open_for_more = self._circuit.closed
        paused = consumer.paused()
        for owned in self._owned.values():
            owned.held_back = not owned.half_empty if owned.held_back else owned.full
            tp = TopicPartition(owned.partition.topic, owned.partition.number)
            spilling = owned.spill_before > owned.read_to
            wanted = owned.held_back or owned.refused > 0 or owned.lost or not (open_for_more or spilling)
            try:
                if wanted and tp not in paused:
                    consumer.pause(tp)
                    self._hearing.held_back(tp)
                elif not wanted and tp in paused:
                    consumer.resume(tp)
            except IllegalStateError:
                continue  # it is moving away just now

    def _fenced_without_a_rebalance(self) -> bool:
        """A partition was lost and never taken away: its epoch is not what we know (a restored database). Join anew."""
        longest = 2 * self._settings.kafka.session_timeout_ms / 1000
        return any(owned.lost and time.monotonic() - owned.lost_at > longest for owned in self._owned.values())

    def _watch(self) -> None:
        """Show the age of the oldest event in hand, and notice when nothing is ever finished."""
        oldest = [ms for owned in self._owned.values() if (ms := owned.tracker.oldest_ms) is not None]
        OLDEST_AGE.labels(self.connection.id).set(max(0.0, time.time() - min(oldest) / 1000) if oldest else 0.0)
        got_on = self.progress.finished != self._seen_finished
        self._seen_finished = self.progress.finished
        held_up = not self._circuit.closed or self._limiter.holds_up
        if got_on or not oldest or held_up or any(owned.refused for owned in self._owned.values()):
            self.deliveries.alive()

    def _admit(self, tp: TopicPartition, messages: Sequence[Any]) -> None:
        owned = self._owned.get(Partition(tp.topic, tp.partition))
        if owned is None or owned.lost:
            # Fetched before the assignment was taken in, or after it was lost: read it again, never skip it.
            with contextlib.suppress(IllegalStateError):
                self._consumer.seek(tp, messages[0].offset)
            return
        for message in messages:
            key, value = message.key, message.value
            owned.tracker.admit(message.offset, len(key or b"") + len(value or b""), message.timestamp)
            # Without a key there is no order to keep: the record stands for itself.
            order_key = printable((key or b"").decode("utf-8", "replace")) or f"{tp.topic}/{message.offset}"
            item = Item(owned, message.offset, order_key, key, value, tuple(message.headers))
            self._dispatcher.add(item)
        owned.read_to = messages[-1].offset + 1

    # What must not go unnoticed ---------------------------------------------------------------------------------

    async def _guard(self) -> None:
        """While nothing is delivered, move what Kafka would delete to rows; else see that what waits is read."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if not self._dispatcher.admitting:
                self._hearing.heard()
                continue
            try:
                if self._circuit.closed:
                    await self._listen()
                else:
                    await self.spill()
            except (IllegalStateError, *CLIENT_FAILS) as error:
                self._hearing.heard()
                log.warning("kafka cannot be asked", connection=self.connection.id, error=type(error).__name__)

    async def _listen(self) -> None:
        paused = self._consumer.paused()
        owned = (TopicPartition(each.topic, each.number) for each in self._owned)
        if await self._hearing.gone(self._consumer, [tp for tp in owned if tp not in paused]):
            log.error("records wait and none comes: joining the group anew", connection=self.connection.id)
            self._deaf = True

    async def spill(self) -> None:
        """Look now which records of a paused connection are about to be deleted, and let them be moved."""
        kept = await self._world.retention(self._settings.kafka, consumed_topics(self.connection))
        owned = [owned for owned in self._owned.values() if not owned.lost]
        if await note_what_must_spill(self._consumer, owned, kept, int(time.time() * 1000)):
            log.warning("records are moved from Kafka to the database", connection=self.connection.id)
            await self._circuit.wake()  # those in hand that wait for the target are moved too

    # Ownership and commits --------------------------------------------------------------------------------------

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Raise the epoch, then load the locked keys; only then are records admitted."""
        for tp in assigned:
            partition = Partition(tp.topic, tp.partition)
            while True:
                try:
                    epoch = await self._ledger.own(partition, self._settings.instance)
                    locked = await self._ledger.locked_keys(partition)
                    break
                except DATABASE_AWAY as error:
                    log.warning("database is away", connection=self.connection.id, error=type(error).__name__)
                    await asyncio.sleep(0.5)
            self._owned[partition] = Owned(partition, epoch, locked)
        log.info("partitions assigned", connection=self.connection.id, partitions=len(self._owned))

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Finish what is in flight, within bounds, and commit; the rest is the next owner's."""
        going = [o for tp in revoked if (o := self._owned.get(Partition(tp.topic, tp.partition)))]
        self._dispatcher.admitting = False
        try:
            # During an outage nothing in flight will finish: the group need not wait for it.
            await self._dispatcher.drain(going, min(self._drain_seconds, 10.0) if self._circuit.closed else 0.5)
            await self._commit()
        finally:
            self._dispatcher.forget(going)
            for owned in going:
                self._owned.pop(owned.partition, None)
            self._dispatcher.admitting = True

    async def _commit(self) -> None:
        offsets = {}
        for owned in self._owned.values():
            offset = owned.tracker.committable()
            if offset is not None and offset != owned.committed and not owned.lost:
                offsets[TopicPartition(owned.partition.topic, owned.partition.number)] = offset
        if not offsets:
            return
        try:
            async with asyncio.timeout(5):
                await self._consumer.commit(offsets)
        except (IllegalStateError, *CLIENT_FAILS) as error:
            # Whoever reads these again finds them in the ledger.
            log.info("commit not taken", connection=self.connection.id, error=type(error).__name__)
            return
        for tp, offset in offsets.items():
            if (still := self._owned.get(Partition(tp.topic, tp.partition))) is not None:
                still.committed = offset
