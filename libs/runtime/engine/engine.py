"""The loop of one connection: read, admit, one lane per order key, commit only what is finished.

consumer ─▶ admission caps ─▶ lanes (one of an order key at a time) ─▶ Intake ─▶ Deliverer ─▶ offset tracker ─▶ commit
                                  ▲
            parked rows whose time has come (only of partitions that this process owns)
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from libs.canonical.kinds import KINDS
from libs.runtime.configuration.model import Connection
from libs.runtime.database.pool import DATABASE_AWAY, Pool
from libs.runtime.engine.attempts import Attempts
from libs.runtime.engine.calls import Caller
from libs.runtime.engine.circuit import Circuit
from libs.runtime.engine.dead_letters import DeadLetterTopic
from libs.runtime.engine.delivery import Deliverer, Parts
from libs.runtime.engine.failpoints import failpoint
from libs.runtime.engine.intake import HeldElsewhere, Intake, Outcome, Unreadable
from libs.runtime.engine.lanes import Item, Owned
from libs.runtime.engine.leases import Leases
from libs.runtime.engine.ledger import Fenced, Ledger, Row
from libs.runtime.engine.planning import Planner
from libs.runtime.engine.remotes import Remotes
from libs.runtime.engine.rules import Rules
from libs.runtime.engine.spilling import note_what_must_spill
from libs.runtime.engine.work import Work
from libs.runtime.http.client import VendorClient
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

# Events taken in at once, and batches of them under way at once: while one is written, the next is read.
_BATCH = 500
_BATCHES = 2
# A second batch is begun when at least so many are ready; fewer gather until the first is written.
_WORTH_A_BATCH = 64
_COMMIT_EVERY = 1.0  # seconds
# During a rebalance a poll waits for its end, however long that takes; so often we look whether to stop. In seconds.
_LONGEST_POLL = 5.0
_REDRIVE_EVERY = 0.3  # seconds
_BUG_TRIES = 3
# While nothing is delivered: how often it is looked whether Kafka is about to delete what waits; seconds.
_GUARD_EVERY = 30.0
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


@dataclass
class _Load:
    """How much is in hand. `share`: of the events taken in last, the share that had to be sent."""

    at_once: int
    sending: int = 0
    taking_in: int = 0
    share: float = 1.0

    @property
    def room(self) -> int:
        """How many more may be taken in: as many as leave no more to be sent than may be sent at once."""
        free = self.at_once - self.sending - self.taking_in * self.share
        return min(_BATCH, int(free / max(self.share, 0.01)))


@dataclass(slots=True)
class Redrive:
    """A parked row is to be taken up."""

    row: Row


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
        self._ready: deque[Item] = deque()
        self._batches: set[asyncio.Task[None]] = set()
        self._works: set[Work] = set()
        self._ledger = Ledger(pool, connection.id, lease=settings.lease_seconds)
        self._drain_seconds = min(20.0, settings.http_timeout_seconds)
        self._admitting = True

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
        loops = [asyncio.create_task(self._deliverer.settlements.run()) for _ in range(2)]
        loops += [asyncio.create_task(loop) for loop in (self._circuit.run(), self._circuit.watch_operator())]
        loops += [asyncio.create_task(self._redrive(stopping)), asyncio.create_task(self._guard_retention())]
        loops += caller.loops()
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
            leases=Leases(
                self._ledger, lease=self._settings.lease_seconds, longest_call=self._settings.http_timeout_seconds
            ),
        )
        parts = Parts(self._ledger, planner, remotes, attempts, self._circuit, DeadLetterTopic(self._writer))
        self._deliverer = Deliverer(connection, parts)
        self._intake = Intake(connection, self._ledger, planner, self._deliverer.settle_as)
        self._load = _Load(min(_BATCH, max(64, 8 * connection.call_limits.concurrency)))

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
        self._consumer, self._admitting = consumer, True
        try:
            consumer.subscribe(consumed_topics(self.connection), listener=self)
            last_commit = time.monotonic()
            while not stopping.is_set() and not self._fenced_without_a_rebalance():
                self._hold_back(consumer)
                batch = {}
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LONGEST_POLL):
                        batch = await consumer.getmany(timeout_ms=100, max_records=_BATCH)
                self.progress.alive()
                for tp, messages in batch.items():
                    self._admit(tp, messages)
                self._go_on()
                if time.monotonic() - last_commit >= _COMMIT_EVERY:
                    self._watch()
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
            owned.held_back = not owned.half_empty if owned.held_back else owned.full
            tp = TopicPartition(owned.partition.topic, owned.partition.number)
            spilling = owned.spill_before > owned.read_to
            wanted = owned.held_back or owned.refused > 0 or owned.lost or not (open_for_more or spilling)
            try:
                if wanted and tp not in paused:
                    consumer.pause(tp)
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
        held_up = not self._circuit.closed or self._limiter.holds_up
        if not oldest or held_up or any(owned.refused for owned in self._owned.values()):
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
            if owned.enqueue(item):
                self._ready.append(item)
        owned.read_to = messages[-1].offset + 1

    # Work -------------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Begin what can be begun now; while the connection is paused, only what must be moved out of Kafka."""
        while self._ready and self._admitting and (room := self._load.room) > 0:
            if not self._circuit.closed and not self._bring_forward_what_spills():
                return
            if self._batches and (len(self._batches) >= _BATCHES or len(self._ready) < _WORTH_A_BATCH):
                return  # what is ready gathers
            fresh: list[Item] = []
            while self._ready and len(fresh) < room:
                if not self._circuit.closed and not self._ready[0].owned.must_spill(self._ready[0]):
                    break
                item = self._ready.popleft()
                if item.row is not None:
                    self._begin_one(item.owned, self._follow_up(item, Redrive(item.row)))
                    room -= 1
                elif not item.owned.lost:
                    fresh.append(item)
            if not fresh:
                continue
            self._load.taking_in += len(fresh)
            batch = asyncio.create_task(self._take_in(fresh))
            self._batches.add(batch)
            batch.add_done_callback(partial(self._taken_in, events=len(fresh)))

    def _bring_forward_what_spills(self) -> bool:
        spilling = [item for item in self._ready if item.owned.must_spill(item)]
        if spilling:
            self._ready = deque((*spilling, *(item for item in self._ready if not item.owned.must_spill(item))))
        return bool(spilling)

    def _taken_in(self, batch: asyncio.Task[None], events: int) -> None:
        self._batches.discard(batch)
        self._load.taking_in -= events
        if not batch.cancelled() and (error := batch.exception()) is not None:
            log.error("a batch ended in an error", connection=self.connection.id, exc_info=error)
        self._go_on()

    async def _take_in(self, items: list[Item]) -> None:
        while items := [item for item in items if not item.owned.lost]:
            try:
                outcomes = await self._intake.take_in(items)
                break
            except DATABASE_AWAY as error:
                await self._database_is_away(error)
            except Exception as error:  # noqa: BLE001 - told apart below
                if len(items) == 1:
                    outcomes = [error]
                    break
                # Something in one of them breaks the whole: each by itself, so that the others go on.
                log.warning("a batch is taken in one by one", connection=self.connection.id, error=type(error).__name__)
                for item in items:
                    await self._take_in([item])
                return
        else:
            return
        sent = 0
        at_once: list[Work] = []
        for item, outcome in zip(items, outcomes, strict=True):
            if outcome is None:
                self._finish(item)
            elif isinstance(outcome, Work) and not outcome.plan.steps and not outcome.plan.settles:
                at_once.append(outcome)
            else:
                sent += 1
                self._begin_one(item.owned, self._follow_up(item, outcome))
        self._load.share = sent / len(items)
        if at_once:
            await self._settle_at_once(at_once)
        self.deliveries.done(len(items) - sent)
        self.progress.done(len(items) - sent)

    async def _settle_at_once(self, works: list[Work]) -> None:
        while True:
            try:
                settled = await self._deliverer.settle_at_once(works)
                break
            except DATABASE_AWAY as error:
                await self._database_is_away(error)
            except Exception:
                log.exception("a batch is settled one by one", connection=self.connection.id)
                for work in works:
                    self._begin_one(work.item.owned, self._follow_up(work.item, work))
                return
        for work, fenced in zip(works, settled, strict=True):
            if fenced is None:
                self._finish(work.item)
            else:
                self._lose(work.item.owned, fenced)

    def _begin_one(self, owned: Owned, doing: Any) -> None:
        """Let something about one event be done by itself."""
        self._load.sending += 1
        task = asyncio.create_task(doing)
        owned.tasks.add(task)
        task.add_done_callback(lambda done: self._ended(owned, done))

    def _ended(self, owned: Owned, task: asyncio.Task[None]) -> None:
        owned.tasks.discard(task)
        self._load.sending -= 1
        self._go_on()

    async def _follow_up(self, item: Item, outcome: Outcome | Redrive) -> None:
        """What a batch left to do with one event, until it is at rest."""
        tries = 0
        try:
            while outcome is not None:
                if item.owned.lost:
                    raise Fenced(f"{item.partition} moved on")
                try:
                    outcome = await self._deal_with(item, outcome)
                except Fenced:
                    raise
                except DATABASE_AWAY as error:
                    await self._database_is_away(error)
                except Exception as error:
                    tries += 1
                    log.exception("internal error", connection=self.connection.id, tries=tries)
                    outcome = await self._after_error(item, outcome, error, tries)
                if isinstance(outcome, Work):
                    outcome.doubtful = outcome.doubtful or outcome.called
            self._finish(item)
            if item.row is not None:
                await self._after_row(item)
        except Fenced as fenced:
            self._lose(item.owned, fenced)
        finally:
            item.owned.redriving.discard(item.order_key)
        self.deliveries.done(1)
        self.progress.done(1)

    async def _deal_with(self, item: Item, outcome: Outcome | Redrive) -> Outcome | Redrive:
        match outcome:
            case Work():
                self._works.add(outcome)
                await self._deliverer.send(outcome)
                self._works.discard(outcome)
            case Redrive(row):
                await self._deliverer.redrive(item, row)
            case HeldElsewhere(until):
                await asyncio.sleep(max(0.05, (until - datetime.now(UTC)).total_seconds()))
                (again,) = await self._intake.take_in([item])
                return again
            case Unreadable(reason):
                await self._deliverer.bury(item, "poison", reason)
            case Exception():
                raise outcome
        return None

    async def _after_error(
        self, item: Item, outcome: Outcome | Redrive, error: Exception, tries: int
    ) -> Outcome | Redrive:
        """Our own code fails on an event: try again, and then make a dead letter of it."""
        if tries >= _BUG_TRIES:
            reason = f"internal error: {type(error).__name__}"
            try:
                if isinstance(outcome, Work):
                    await self._deliverer.give_up(outcome, "bug", reason)
                else:
                    await self._deliverer.bury(item, "bug", reason)
            except Fenced:
                raise
            except DATABASE_AWAY as away:
                await self._database_is_away(away)
            except Exception:
                log.exception("an event can neither be delivered nor set aside", connection=self.connection.id)
            else:
                return None
        pause = min(0.2 * 2**tries, 10)
        if isinstance(outcome, Work | Redrive):
            await asyncio.sleep(pause)
            return outcome
        return HeldElsewhere(datetime.now(UTC) + timedelta(seconds=pause))

    def _finish(self, item: Item) -> None:
        failpoint("before_commit")
        following = item.owned.finish(item)
        if following is not None:
            self._ready.append(following)

    def _lose(self, owned: Owned, fenced: Fenced) -> None:
        if not owned.lost:
            owned.lost, owned.lost_at = True, time.monotonic()
            log.info("partition has another owner", connection=self.connection.id, why=str(fenced))

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
            self._go_on()

    def _enqueue_row(self, owned: Owned, row: Row) -> None:
        owned.redriving.add(row.order_key)
        item = Item(owned, -1, row.order_key, row.key, row.value, row.headers, row)
        if owned.enqueue(item):
            self._ready.append(item)

    async def _after_row(self, item: Item) -> None:
        """The next one that waits behind it follows at once; when none is left the key is free."""
        owned, order_key = item.owned, item.order_key
        try:
            following = await self._ledger.head(owned.partition, order_key, owned.epoch)
            if following is not None and self._admitting:
                self._enqueue_row(owned, following)
            elif not await self._ledger.still_locked(owned.partition, order_key):
                owned.locked.discard(order_key)
        except DATABASE_AWAY:
            return  # found again when it is back

    # Retention --------------------------------------------------------------------------------------------------

    async def _guard_retention(self) -> None:
        """While nothing is delivered: move what Kafka would delete before long to rows of the ledger."""
        while True:
            await asyncio.sleep(_GUARD_EVERY)
            if self._circuit.closed or not self._admitting:
                continue
            try:
                await self.spill()
            except (KafkaError, OSError, IllegalStateError) as error:
                log.warning("retention cannot be looked at", connection=self.connection.id, error=type(error).__name__)

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
        self._admitting = False
        try:
            # During an outage nothing in flight will finish: the group need not wait for it.
            await self._drain(going, min(self._drain_seconds, 10.0) if self._circuit.closed else 0.5)
            await self._commit()
        finally:
            for owned in going:
                owned.lost = True
                self._owned.pop(owned.partition, None)
            self._ready = deque(item for item in self._ready if not item.owned.lost)
            self._admitting = True

    async def _drain(self, going: list[Owned], seconds: float) -> None:
        """Let what is in flight end; what does not end in time is stopped, and its claims are given back."""
        deadline = time.monotonic() + seconds
        while doing := {*self._batches, *(task for owned in going for task in owned.tasks)}:
            # A batch that ends leaves single events to be sent, so it is looked again.
            if (left := deadline - time.monotonic()) <= 0:
                break
            await asyncio.wait(doing, timeout=left)
        else:
            return
        works = [work for work in self._works if work.item.owned in going]
        for task in doing:
            task.cancel()
        _, running = await asyncio.wait(doing, timeout=2)
        if running:
            return  # still not at rest: the leases protect what they may be doing
        self._works.difference_update(works)
        for owned in going:
            untouched = [work.event.id for work in works if work.item.owned is owned and work.untouched]
            with contextlib.suppress(*DATABASE_AWAY):
                await self._ledger.release(owned.partition, owned.epoch, untouched)

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
