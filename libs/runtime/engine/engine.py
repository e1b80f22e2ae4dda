"""The loop of one connection: read, admit, one lane per order key, commit only what is finished.

consumer ─▶ admission caps ─▶ lanes (one event in flight per order key) ─▶ Deliverer ─▶ offset tracker ─▶ commit
                                  ▲
            parked rows whose time has come (only of partitions that this process owns)
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from libs.canonical.kinds import KINDS
from libs.runtime.configuration.model import Connection
from libs.runtime.database.pool import DATABASE_AWAY, Pool
from libs.runtime.engine.calls import Caller
from libs.runtime.engine.circuit import Circuit
from libs.runtime.engine.dead_letters import DeadLetterTopic
from libs.runtime.engine.delivery import Deliverer
from libs.runtime.engine.failpoints import failpoint
from libs.runtime.engine.ledger import Fenced, Ledger, Row
from libs.runtime.engine.offsets import OffsetTracker
from libs.runtime.engine.remotes import Remotes
from libs.runtime.engine.rules import Rules
from libs.runtime.engine.work import Item
from libs.runtime.http.client import VendorClient
from libs.runtime.kafka.reader import open_consumer
from libs.runtime.kafka.records import Partition
from libs.runtime.kafka.stored_headers import printable
from libs.runtime.kafka.writer import Writer
from libs.runtime.limits import shared_limiter
from libs.runtime.settings import ProcessSettings
from libs.runtime.telemetry.metrics import OLDEST_AGE
from libs.runtime.telemetry.progress import Progress

log = structlog.get_logger()

# Admission caps per partition; reading resumes at half of them.
_MAX_RECORDS = 2_000
_MAX_BYTES = 32 * 1024 * 1024
# Events worked on at once, over all partitions of a connection.
_AT_ONCE = 256
_COMMIT_EVERY = 1.0  # seconds
_REDRIVE_EVERY = 0.3  # seconds
_BUG_TRIES = 3


@dataclass
class _Owned:
    """A partition that this process owns."""

    partition: Partition
    epoch: int
    locked: set[str]
    tracker: OffsetTracker = field(default_factory=OffsetTracker)
    lanes: dict[str, deque[Item]] = field(default_factory=dict)
    redriving: set[str] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    committed: int | None = None
    paused: bool = False
    lost: bool = False

    @property
    def full(self) -> bool:
        return self.tracker.open_records >= _MAX_RECORDS or self.tracker.bytes_open >= _MAX_BYTES

    @property
    def half_empty(self) -> bool:
        return self.tracker.open_records <= _MAX_RECORDS // 2 and self.tracker.bytes_open <= _MAX_BYTES // 2


def consumer_group(connection_id: str) -> str:
    """The consumer group of a connection."""
    return f"tillstream.sink.{connection_id}"


def consumed_topics(connection: Connection) -> tuple[str, ...]:
    """The topics in which anything for this connection can be."""
    facts = connection.connector.manifest.target
    assert facts is not None
    return tuple(dict.fromkeys(KINDS[kind].topic for kind in facts.kinds))


class Engine(ConsumerRebalanceListener):  # type: ignore[misc]
    """Delivers everything that is for one connection. `run` ends when `stopping` is set and what was in flight is
    finished, within 25 seconds."""

    def __init__(self, connection: Connection, settings: ProcessSettings, pool: Pool, writer: Writer) -> None:
        target = connection.connector.target
        assert target is not None
        self.connection, self._settings, self._pool = connection, settings, pool
        self._target, self._writer = target, writer
        self.progress = Progress(f"engine.{connection.id}")
        self._owned: dict[Partition, _Owned] = {}
        self._working = asyncio.Semaphore(_AT_ONCE)
        self._ledger = Ledger(pool, connection.id, lease=settings.lease_seconds)
        self._drain_seconds = min(20.0, settings.http_timeout_seconds)
        self._admitting = True

    async def run(self, stopping: asyncio.Event) -> None:
        """Deliver until told to stop."""
        connection, settings = self.connection, self._settings
        started_at = await self._begin()
        client = VendorClient(
            connection, self._pool, timeout=settings.http_timeout_seconds, encryption_key=settings.encryption_key
        )
        limiter = shared_limiter(connection, self._pool, settings)
        caller = Caller(connection.id, self._target, client, limiter, self._pool)
        probe = self._target.probe(connection.target_config)
        self._circuit = Circuit(connection.id, self._pool, lambda: caller.probe(probe))
        self._deliverer = Deliverer(
            connection,
            self._target,
            ledger=self._ledger,
            caller=caller,
            client=client,
            circuit=self._circuit,
            dead_letters=DeadLetterTopic(self._writer),
            remotes=Remotes(self._ledger),
            rules=Rules(connection, started_at),
            locked=self._is_locked,
            lock=self._set_locked,
        )
        batchers = (self._deliverer.claims, self._deliverer.settlements, self._deliverer.repeats)
        loops = [asyncio.create_task(batcher.run()) for batcher in batchers for _ in range(2)]
        loops += [asyncio.create_task(loop) for loop in (self._circuit.run(), self._circuit.watch_operator())]
        loops += [asyncio.create_task(self._redrive(stopping)), *caller.loops()]
        try:
            while not stopping.is_set():
                try:
                    await self._consume(stopping)
                except (KafkaError, OSError) as error:
                    log.warning("kafka is away", connection=connection.id, error=type(error).__name__)
                    self.progress.alive()
                    await asyncio.sleep(1)
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            await limiter.close()
            await client.close()

    async def _begin(self) -> Any:
        """When the connection was first seen. Held events are looked at again: the configuration may say more now."""
        while True:
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
                return await self._pool.fetchval(
                    "select started_at from connection_state where connection = $1", self.connection.id
                )
            except DATABASE_AWAY as error:
                log.warning("database is away", connection=self.connection.id, error=type(error).__name__)
                self.progress.alive()
                await asyncio.sleep(1)

    # Reading ----------------------------------------------------------------------------------------------------

    async def _consume(self, stopping: asyncio.Event) -> None:
        consumer = open_consumer(self._settings.kafka, consumer_group(self.connection.id))
        await consumer.start()
        self._consumer, self._admitting = consumer, True
        try:
            consumer.subscribe(consumed_topics(self.connection), listener=self)
            last_commit = time.monotonic()
            while not stopping.is_set():
                self._hold_back(consumer)
                batch = await consumer.getmany(timeout_ms=100, max_records=500)
                self.progress.alive()
                for tp, messages in batch.items():
                    self._admit(tp, messages)
                if time.monotonic() - last_commit >= _COMMIT_EVERY:
                    await self._commit()
                    last_commit = time.monotonic()
        finally:
            self._admitting = False
            await self._drain(list(self._owned.values()), self._drain_seconds)
            await self._commit()
            await asyncio.wait_for(asyncio.shield(consumer.stop()), 10)
            self._owned.clear()

    def _hold_back(self, consumer: AIOKafkaConsumer) -> None:
        """Pause what must not be read now; a rebalance forgets pauses, so they are set anew each time round."""
        open_for_more = self._circuit.closed
        paused = consumer.paused()
        for owned in self._owned.values():
            owned.paused = not owned.half_empty if owned.paused else owned.full
            tp = TopicPartition(owned.partition.topic, owned.partition.number)
            wanted = owned.paused or not open_for_more
            try:
                if wanted and tp not in paused:
                    consumer.pause(tp)
                elif not wanted and tp in paused:
                    consumer.resume(tp)
            except IllegalStateError:
                continue  # it is moving away just now

    def _admit(self, tp: TopicPartition, messages: Sequence[Any]) -> None:
        owned = self._owned.get(Partition(tp.topic, tp.partition))
        if owned is None or owned.lost:
            # Fetched before the assignment was taken in, or after it was lost: read it again, never skip it.
            with contextlib.suppress(IllegalStateError):
                self._consumer.seek(tp, messages[0].offset)
            return
        oldest = None
        for message in messages:
            headers = tuple(message.headers)
            size = len(message.key or b"") + len(message.value or b"")
            owned.tracker.admit(message.offset, size)
            oldest = message.timestamp if oldest is None else oldest
            # Without a key there is no order to keep: the record stands for itself.
            key = printable((message.key or b"").decode("utf-8", "replace")) or f"{tp.topic}/{message.offset}"
            self._enqueue(
                owned, Item(owned.partition, message.offset, owned.epoch, key, message.key, message.value, headers)
            )
        if oldest is not None:
            OLDEST_AGE.labels(self.connection.id).set(max(0.0, time.time() - oldest / 1000))

    def _enqueue(self, owned: _Owned, item: Item) -> None:
        lane = owned.lanes.get(item.order_key)
        if lane is not None:
            lane.append(item)
            return
        owned.lanes[item.order_key] = deque((item,))
        task = asyncio.create_task(self._lane(owned, item.order_key))
        owned.tasks.add(task)
        task.add_done_callback(owned.tasks.discard)

    # Lanes ------------------------------------------------------------------------------------------------------

    def _is_locked(self, item: Item) -> bool:
        owned = self._owned.get(item.partition)
        return owned is not None and item.order_key in owned.locked

    def _set_locked(self, item: Item, locked: bool) -> None:
        owned = self._owned.get(item.partition)
        if owned is not None:
            (owned.locked.add if locked else owned.locked.discard)(item.order_key)

    async def _lane(self, owned: _Owned, order_key: str) -> None:
        """One order key's events, one after the other; ends when there are none."""
        lane = owned.lanes[order_key]
        try:
            while lane and not owned.lost:
                item = lane[0]
                async with self._working:
                    if not self._admitting and item.row is None:
                        return  # stopping: what has not begun stays in Kafka
                    await self._work(owned, item)
                lane.popleft()
                failpoint("before_commit")
                if item.row is None:
                    owned.tracker.finish(item.offset)
                else:
                    await self._after_row(owned, order_key)
                self.progress.done(1)
        except Fenced as fenced:
            owned.lost = True
            log.info("partition has another owner", connection=self.connection.id, why=str(fenced))
        finally:
            owned.redriving.discard(order_key)
            owned.lanes.pop(order_key, None)

    async def _work(self, owned: _Owned, item: Item) -> None:
        tries = 0
        while True:
            try:
                await self._deliverer.handle(item)
                return
            except Fenced:
                raise
            except DATABASE_AWAY as error:
                # Without the ledger nothing may be sent; whatever was under way is resolved from its row later.
                log.warning("database is away", connection=self.connection.id, error=type(error).__name__)
                await asyncio.sleep(1)
            except Exception as error:
                tries += 1
                log.exception("internal error", connection=self.connection.id, tries=tries)
                if tries >= _BUG_TRIES and await self._gave_up(item, error):
                    return
                await asyncio.sleep(min(0.2 * 2**tries, 10))
            if owned.lost:
                raise Fenced(f"{owned.partition} moved on")

    async def _gave_up(self, item: Item, error: Exception) -> bool:
        """Make a dead letter of an event on which our own code fails; False when even that fails."""
        try:
            await self._deliverer.give_up_for_bug(item, error)
        except Fenced:
            raise
        except Exception:
            log.exception("an event can neither be delivered nor set aside", connection=self.connection.id)
            return False
        return True

    # Parked rows ------------------------------------------------------------------------------------------------

    async def _redrive(self, stopping: asyncio.Event) -> None:
        """Take up parked events whose time has come, head of each key first."""
        while not stopping.is_set():
            await asyncio.sleep(_REDRIVE_EVERY)
            if not self._admitting or not self._circuit.closed:
                continue
            for owned in list(self._owned.values()):
                if not owned.locked or owned.lost:
                    continue
                try:
                    rows = await self._ledger.due(owned.partition, owned.epoch, 200)
                except DATABASE_AWAY:
                    break
                for row in rows:
                    if row.order_key not in owned.redriving:
                        self._enqueue_row(owned, row)

    def _enqueue_row(self, owned: _Owned, row: Row) -> None:
        owned.redriving.add(row.order_key)
        item = Item(owned.partition, -1, owned.epoch, row.order_key, row.key, row.value, row.headers, row)
        self._enqueue(owned, item)

    async def _after_row(self, owned: _Owned, order_key: str) -> None:
        """The next one that waits behind it follows at once; when none is left the key is free."""
        following = await self._ledger.head(owned.partition, order_key, owned.epoch)
        if following is not None and self._admitting:
            self._enqueue_row(owned, following)
            return
        owned.redriving.discard(order_key)
        if not await self._ledger.still_locked(owned.partition, order_key):
            owned.locked.discard(order_key)

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
            self._owned[partition] = _Owned(partition, epoch, locked)
        log.info("partitions assigned", connection=self.connection.id, partitions=len(self._owned))

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Finish what is in flight, within bounds, and commit; the rest is the next owner's."""
        going = [o for tp in revoked if (o := self._owned.get(Partition(tp.topic, tp.partition)))]
        self._admitting = False
        try:
            # During an outage nothing in flight will finish: the group need not wait for it.
            await self._drain(going, min(self._drain_seconds, 10.0) if self._circuit.closed else 0.5)
            await self._commit()
        finally:
            for owned in going:
                owned.lost = True
                self._owned.pop(owned.partition, None)
            self._admitting = True

    async def _drain(self, going: list[_Owned], seconds: float) -> None:
        tasks = [task for owned in going for task in owned.tasks]
        if not tasks:
            return
        _, unfinished = await asyncio.wait(tasks, timeout=seconds)
        for task in unfinished:
            task.cancel()
        if not unfinished:
            return
        _, running = await asyncio.wait(unfinished, timeout=2)
        if running:
            return  # still not at rest: the leases protect what they may be doing
        for owned in going:
            with contextlib.suppress(*DATABASE_AWAY):
                await self._ledger.release(owned.partition, owned.epoch)

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
        except (CommitFailedError, IllegalStateError, KafkaError, TimeoutError) as error:
            # Whoever reads these again finds them in the ledger.
            log.info("commit not taken", connection=self.connection.id, error=type(error).__name__)
            return
        for tp, offset in offsets.items():
            if (still := self._owned.get(Partition(tp.topic, tp.partition))) is not None:
                still.committed = offset
