"""Kafka in memory: topics, a consumer group with eager rebalances, and everything at which it may refuse.

As aiokafka has it: a rebalance takes every partition from everybody and forgets pauses; commits of a former generation
are refused; records may come before the listener has taken its partitions in; who is not heard of is put out of the
group after the session timeout, and does not notice before it hears from the group again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaConnectionError, RequestTimedOutError

from libs.runtime.kafka.writer import KafkaAway
from tests.model.clock import Clock

REBALANCE_TIMEOUT = 60.0  # seconds
_HEARTBEAT = 3.0
_RETRY = 1.0


@dataclass(frozen=True)
class Message:
    """A record as a consumer gives it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int  # milliseconds


@dataclass
class Partition:
    """A partition's records from `start` on; `everything` remembers the deleted ones too."""

    start: int = 0
    everything: list[Message] = field(default_factory=list)

    @property
    def end(self) -> int:
        """The offset of the next record."""
        return len(self.everything)

    def delete(self, until: int) -> None:
        """Retention passes over everything before that offset."""
        self.start = max(self.start, min(until, self.end))


class Kafka:
    """The broker. `away`: it answers nobody; `letters_refused`: only dead-letter topics take nothing."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Clock, random: Random, topics: Iterable[str], partitions: int
    ) -> None:
        self.loop, self.clock, self.random = loop, clock, random
        self.away = self.letters_refused = False
        self.partitions = {TopicPartition(t, n): Partition() for t in topics for n in range(partitions)}
        self.letters: list[tuple[str, dict[str, bytes]]] = []
        self.listener_errors: list[Exception] = []
        self._count = partitions
        self.group = Group(self)

    def append(self, topic: str, key: bytes, value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> Message:
        """Write a record to the partition of its key."""
        tp = TopicPartition(topic, hashlib.sha256(key).digest()[0] % self._count)
        records = self.partitions[tp].everything
        now = int(self.clock.now.timestamp() * 1000)
        records.append(Message(topic, tp.partition, len(records), key, value, tuple(headers), now))
        return records[-1]

    def delete_older(self, milliseconds: int) -> int:
        """What retention does: records older than that are gone; how many."""
        oldest = int(self.clock.now.timestamp() * 1000) - milliseconds
        gone = 0
        for partition in self.partitions.values():
            kept = next((m.offset for m in partition.everything if m.timestamp >= oldest), partition.end)
            gone += max(0, kept - partition.start)
            partition.delete(kept)
        return gone


class Letters:
    """What an engine takes for its writer: dead letters, or a refusal."""

    def __init__(self, kafka: Kafka, alive: Callable[[], bool]) -> None:
        self._kafka, self._alive = kafka, alive

    async def send(self, topic: str, _key: bytes, _value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
        """Keep a dead letter. Raises KafkaAway."""
        await asyncio.sleep(0.005)
        if not self._alive():
            raise asyncio.CancelledError
        if self._kafka.away or self._kafka.letters_refused:
            await asyncio.sleep(2)
            raise KafkaAway("not confirmed")
        self._kafka.letters.append((topic, dict(headers)))


class Group:
    """The coordinator."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self.session_timeout = 45.0
        self.generation = 0
        self.wanted = 0
        self.members: dict[int, Consumer] = {}
        self.committed: dict[TopicPartition, int] = {}
        self._joined: dict[Consumer, asyncio.Future[None]] = {}
        self._numbers = 0
        self._timer: asyncio.TimerHandle | None = None

    def rebalance(self) -> None:
        """Everybody has to join anew."""
        self.wanted = self.generation + 1

    async def join(self, consumer: Consumer) -> None:
        """Wait until everybody known has joined, or was given up; then `consumer` has its new assignment."""
        if consumer.number not in self.members:
            self._numbers += 1
            consumer.number = self._numbers
            self.members[consumer.number] = consumer
        self.rebalance()
        loop = self._kafka.loop
        future = self._joined[consumer] = loop.create_future()
        if self._timer is None:
            self._timer = loop.call_later(REBALANCE_TIMEOUT, self._give_up_missing)
        self._complete()
        await future

    def leave(self, consumer: Consumer) -> None:
        """A member says goodbye, or is put out."""
        if self.members.pop(consumer.number, None) is not None:
            self._joined.pop(consumer, None)
            self.rebalance()
            self._complete()

    def unheard(self, consumer: Consumer) -> None:
        """From now on nothing is heard of this member."""
        self._kafka.loop.call_later(self.session_timeout, self._put_out, consumer, consumer.number)

    def _put_out(self, consumer: Consumer, number: int) -> None:
        if consumer.number == number and not consumer.heard:
            self.leave(consumer)

    def _give_up_missing(self) -> None:
        for consumer in [c for c in self.members.values() if c not in self._joined]:
            self.members.pop(consumer.number)
        self._complete()

    def _complete(self) -> None:
        if not self._joined or any(member not in self._joined for member in self.members.values()):
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.generation += 1
        self.wanted = self.generation
        joined, self._joined = self._joined, {}
        members = sorted(joined, key=lambda c: c.number)
        self._kafka.random.shuffle(members)
        for nr, tp in enumerate(sorted(self._kafka.partitions)):
            members[nr % len(members)].given.append(tp)
        for consumer, future in joined.items():
            consumer.generation = self.generation
            if not future.done():
                future.set_result(None)

    def commit(self, consumer: Consumer, offsets: Mapping[TopicPartition, int]) -> None:
        """Keep positions. Raises CommitFailedError for whoever is not of this generation."""
        if consumer.number not in self.members or consumer.generation != self.generation or consumer in self._joined:
            raise CommitFailedError("the group has already rebalanced")
        self.committed.update(offsets)


class Consumer:
    """One member.

    `cut_off`: its packets and the group's are lost, and it goes on as if nothing were. `deaf`: it is a member like any
    other, and no record ever reaches it.
    """

    def __init__(self, kafka: Kafka, alive: Callable[[], bool], poll: Callable[[], float]) -> None:
        self._kafka, self._group, self._alive, self._poll = kafka, kafka.group, alive, poll
        self.number = self.generation = 0
        self.cut_off = self.closed = self.deaf = False
        self.given: list[TopicPartition] = []
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._coordinating: asyncio.Task[None] | None = None
        self._reassigning = asyncio.Event()
        self._reassigning.set()  # set: not under way

    @property
    def heard(self) -> bool:
        """Whether the group hears of it."""
        return self._alive() and not self.cut_off and not self.closed

    @property
    def settled(self) -> bool:
        """Whether no rebalance is under way, as far as it knows."""
        return self._reassigning.is_set()

    def _reachable(self) -> bool:
        return not (self._kafka.away or self.cut_off)

    def _reach(self) -> None:
        if not self._alive():
            raise asyncio.CancelledError
        if self._kafka.away or self.cut_off:
            raise KafkaConnectionError("no broker answers")

    async def start(self) -> None:
        """Connect. Raises KafkaConnectionError."""
        await asyncio.sleep(0.01)
        self._reach()

    def subscribe(self, _topics: Sequence[str], *, listener: Any) -> None:
        """Join the group."""
        self._listener = listener
        self._coordinating = asyncio.create_task(self._coordinate())

    async def stop(self) -> None:
        """Leave the group, if it can be reached."""
        if not self._alive():
            raise asyncio.CancelledError
        if self._coordinating is not None:
            self._coordinating.cancel()
            await asyncio.gather(self._coordinating, return_exceptions=True)
        self.closed = True
        if self._kafka.away or self.cut_off:
            self._group.unheard(self)
        else:
            self._group.leave(self)

    async def _coordinate(self) -> None:
        while True:
            if self._reachable() and self._out_of_date():
                self._reassigning.clear()
                await self._tell(self._listener.on_partitions_revoked(set(self._positions)))
                while not self._reachable():  # noqa: ASYNC110 - as a client does
                    await asyncio.sleep(_RETRY)
                self.given = []
                await self._group.join(self)
                self._paused.clear()
                self._positions = {
                    tp: self._group.committed.get(tp, self._kafka.partitions[tp].start) for tp in self.given
                }
                self._reassigning.set()
                await self._tell(self._listener.on_partitions_assigned(set(self._positions)))
            await asyncio.sleep(self._kafka.random.uniform(0.1, _HEARTBEAT))

    async def _tell(self, listening: Awaitable[None]) -> None:
        try:
            await listening
        except Exception as error:  # noqa: BLE001 - the client swallows it; the test does not
            self._kafka.listener_errors.append(error)

    def _out_of_date(self) -> bool:
        return self.number not in self._group.members or self.generation < self._group.wanted

    # Records ----------------------------------------------------------------------------------------------------

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Message]]:
        """The next records, at once or after the timeout."""
        await asyncio.sleep(0.002)
        await self._reassigning.wait()
        batch = self._fetch(max_records)
        if not batch:
            await asyncio.sleep(max(timeout_ms / 1000, self._poll()))
            await self._reassigning.wait()
            batch = self._fetch(max_records)
        if not self._alive():
            raise asyncio.CancelledError
        return batch

    def _fetch(self, most: int) -> dict[TopicPartition, list[Message]]:
        batch: dict[TopicPartition, list[Message]] = {}
        if self._kafka.away or self.cut_off or self.deaf:
            return batch
        waiting = [tp for tp in sorted(self._positions) if tp not in self._paused]
        self._kafka.random.shuffle(waiting)
        for tp in waiting:
            partition = self._kafka.partitions[tp]
            first = max(partition.start, self._positions[tp])  # what was deleted is passed over
            here = self._kafka.random.randint(1, most) if most else 0
            found = partition.everything[first : first + here]
            if found:
                batch[tp] = found
                self._positions[tp] = found[-1].offset + 1
                most -= len(found)
        return batch

    def _check(self, tps: Iterable[TopicPartition]) -> None:
        for tp in tps:
            if tp not in self._positions or not self._reassigning.is_set():
                raise IllegalStateError(f"Partition {tp} is not assigned")

    def pause(self, *tps: TopicPartition) -> None:
        """Give no records of these for now."""
        self._check(tps)
        self._paused.update(tps)

    def resume(self, *tps: TopicPartition) -> None:
        """Give them again."""
        self._check(tps)
        self._paused.difference_update(tps)

    def paused(self) -> set[TopicPartition]:
        """Those that are paused."""
        return set(self._paused)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        """Read on from there."""
        self._check([tp])
        self._positions[tp] = offset

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Keep positions for the group."""
        for tp in offsets:
            if tp not in self._positions:
                raise IllegalStateError(f"Partition {tp} is not assigned")
        await asyncio.sleep(0.003)
        if self._kafka.away or self.cut_off:
            await asyncio.sleep(_RETRY)
            raise RequestTimedOutError
        if not self._alive():
            raise asyncio.CancelledError
        self._group.commit(self, offsets)

    async def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, Any]:
        """The first record at or after each time (milliseconds), None where there is none."""
        self._reach()
        return {tp: next((m for m in self._held(tp) if m.timestamp >= since), None) for tp, since in times.items()}

    async def position(self, tp: TopicPartition) -> int:
        """The offset of the next record; what was deleted is passed over."""
        self._check([tp])
        return max(self._positions[tp], self._kafka.partitions[tp].start)

    async def end_offsets(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset after the last record of each."""
        self._reach()
        return {tp: self._kafka.partitions[tp].end for tp in tps}

    def _held(self, tp: TopicPartition) -> list[Message]:
        partition = self._kafka.partitions[tp]
        return partition.everything[partition.start :]
