"""What the topics hold, counted in distinct ids by a reader that shares no code and no table with who consumes them.

Memory: of each distinct id 64 bits are kept in a set (about 90 bytes an id in Python, so 1 GB for eleven million), 24
bytes of each record to forget it when Kafka does, and the full id only of records that a consumer has not finished yet.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from libs.runtime.kafka.offsets import Standing, read_whole
from libs.runtime.kafka.records import Partition, Record
from libs.runtime.settings import KafkaSettings


@dataclass(frozen=True)
class Named:
    """A record's id, and the spaces in which it is distinct."""

    id: str
    spaces: tuple[str, ...]


def place(record: Record) -> str:
    """The name of a record that carries no id: where it stands."""
    return f"{record.partition.topic}/{record.partition.number}/{record.offset}"


def retail_space(topic: str) -> str:
    """The ids of a topic of canonical events."""
    return topic


def inbox_space(connection: str) -> str:
    """The deliveries of one source connection."""
    return f"inbox/{connection}"


def unreadable_space(connection: str) -> str:
    """The deliveries of one source connection that could not be read."""
    return f"unreadable/{connection}"


def raw_space(vendor: str) -> str:
    """The snapshots of one vendor."""
    return f"raw.{vendor}"


def named(record: Record) -> Named:
    """The id of a record of any topic, by its headers alone; with what a database can keep of it."""
    found = _named(record)
    return Named(found.id.replace("\x00", "\ufffd"), found.spaces)


def _named(record: Record) -> Named:
    topic, text = record.partition.topic, record.text
    if topic.startswith("inbox."):
        return Named(text.get("delivery-id") or place(record), (inbox_space(text.get("connection", "unknown")),))
    if topic.startswith("raw."):
        return Named(text.get("snapshot-id") or place(record), (topic,))
    if topic == "dlq.ingest":
        return _letter_of_intake(record, text)
    if topic.startswith("dlq."):
        return Named(text.get("dl-id") or place(record), (topic,))
    return Named(text.get("ce_id") or place(record), (retail_space(topic),))


def _letter_of_intake(record: Record, text: Mapping[str, str]) -> Named:
    connection = text.get("dl-connection", "unknown")
    if text.get("dl-class") == "dependency":  # the vendor denied the object: the notification was read
        return Named(text.get("dl-id") or place(record), ("rejected",))
    if "dl-orig-topic" in text:
        return Named(of_letter(text), (unreadable_space(connection),))
    # A webhook that could not be read is in no inbox: its letter is all that was received.
    spaces = (inbox_space(connection), unreadable_space(connection))
    return Named(text.get("delivery-id") or text.get("dl-id") or place(record), spaces)


def of_letter(text: Mapping[str, str]) -> str:
    """The id of the inbox record that a letter is about."""
    origin = "/".join(text.get(f"dl-orig-{part}", "") for part in ("topic", "partition", "offset"))
    return text.get("delivery-id") or origin


@dataclass(frozen=True)
class Unfinished:
    """A record that a consumer may not have finished. `written_at` None: neither it nor one before it tells when."""

    partition: Partition
    offset: int
    id: str
    spaces: tuple[str, ...]
    written_at: datetime | None


class First(NamedTuple):
    """The first record that a partition still has: its offset, and when it was written (None: not known, or none)."""

    offset: int
    at: datetime | None


def _moment(milliseconds: int) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None


def digest_of(name: str) -> int:
    """64 bits for an id, as the database computes them too (`accounting.DIGEST`).

    Two of ten million ids share one with a probability of about three in a million.
    """
    return int.from_bytes(hashlib.md5(name.encode(), usedforsecurity=False).digest()[:8], signed=True)


@dataclass
class _Space:
    """Distinct ids by digest. `copies`: further records of an id; `total`: the sum of the distinct digests."""

    ids: set[int] = field(default_factory=set)
    copies: dict[int, int] = field(default_factory=dict)
    total: int = 0

    def add(self, digest: int) -> None:
        if digest in self.ids:
            self.copies[digest] = self.copies.get(digest, 0) + 1
        else:
            self.ids.add(digest)
            self.total += digest

    def remove(self, digest: int) -> None:
        more = self.copies.pop(digest, 0)
        if more > 1:
            self.copies[digest] = more - 1
        elif not more:
            self.ids.discard(digest)
            self.total -= digest


@dataclass
class _Log:
    """The records of one partition that are in one space, oldest first. `times`: milliseconds, 0: not known."""

    offsets: array[int] = field(default_factory=lambda: array("q"))
    digests: array[int] = field(default_factory=lambda: array("q"))
    times: array[int] = field(default_factory=lambda: array("q"))

    def add(self, offset: int, digest: int, time: int) -> None:
        self.offsets.append(offset)
        self.digests.append(digest)
        self.times.append(time)

    def take_before(self, offset: int) -> array[int]:
        """Drop what stands before that offset; its digests."""
        number = bisect_left(self.offsets, offset)
        gone = self.digests[:number]
        for column in (self.offsets, self.digests, self.times):
            del column[:number]
        return gone


class TopicIds:
    """Reads topics from the beginning once, and on from there each time it is asked; forgets what Kafka deletes."""

    def __init__(self, kafka: KafkaSettings, name: Callable[[Record], Named] = named) -> None:
        self._kafka, self._name = kafka, name
        self.begins: dict[Partition, int] = {}
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._spaces: dict[str, _Space] = {}
        self._logs: dict[tuple[Partition, str], _Log] = {}
        self._next: dict[Partition, int] = {}
        self._times: dict[Partition, int] = {}
        self._finished: dict[Partition, int] = {}
        self._unfinished: dict[Partition, deque[Unfinished]] = {}

    async def read_on(self, topics: Sequence[str], finished: Mapping[Partition, int]) -> None:
        """Read what is new; ids of records before `finished` are remembered by digest only."""
        async for record in read_whole(self._kafka, topics, self._next):
            self._note(record, finished)
        for partition, offset in finished.items():
            self._finished[partition] = max(offset, self._finished.get(partition, 0))
            tail = self._unfinished.get(partition)
            while tail and tail[0].offset < offset:
                tail.popleft()

    def _note(self, record: Record, finished: Mapping[Partition, int]) -> None:
        partition = record.partition
        self._next[partition] = record.offset + 1
        # A record without a time is taken to be as old as the one before it.
        time = record.timestamp_ms if record.timestamp_ms > 0 else self._times.get(partition, 0)
        self._times[partition] = time
        known = self._name(record)
        digest = digest_of(known.id)
        for space in known.spaces:
            self._spaces.setdefault(space, _Space()).add(digest)
            self._logs.setdefault((partition, space), _Log()).add(record.offset, digest, time)
        if record.offset >= finished.get(partition, 0):
            tail = self._unfinished.setdefault(partition, deque())
            tail.append(Unfinished(partition, record.offset, known.id, known.spaces, _moment(time)))

    def stand(self, stands: Mapping[Partition, Standing]) -> bool:
        """Forget what Kafka has deleted meanwhile. False: all is forgotten and has to be read again.

        That is so where a topic was made anew, or a group set back behind what it had finished: what was read and
        remembered before is of no use then.
        """
        afresh = any(
            stand.end < self._next.get(partition, 0) or stand.next < self._finished.get(partition, 0)
            for partition, stand in stands.items()
        )
        if afresh:
            self._start_afresh()
        self.begins |= {partition: stand.begin for partition, stand in stands.items()}
        for (partition, space), log in self._logs.items():
            for digest in log.take_before(self.begins.get(partition, 0)):
                self._spaces[space].remove(digest)
        for partition, tail in self._unfinished.items():
            while tail and tail[0].offset < self.begins.get(partition, 0):
                tail.popleft()
        return not afresh

    def firsts(self, topics: Sequence[str] | None = None) -> dict[Partition, First]:
        """The first record that each partition of these topics (None: of all) still has."""
        oldest: dict[Partition, int] = {}
        for (partition, _), log in self._logs.items():
            if log.times and log.times[0]:
                oldest[partition] = min(log.times[0], oldest.get(partition, log.times[0]))
        return {
            partition: First(offset, _moment(oldest.get(partition, 0)))
            for partition, offset in self.begins.items()
            if topics is None or partition.topic in topics
        }

    def ids(self, spaces: Sequence[str]) -> IdsRead:
        """What there is in these spaces."""
        return IdsRead([self._spaces[space] for space in spaces if space in self._spaces])

    def has(self, digest: int) -> bool:
        """Whether an id stands in any of the topics."""
        return any(digest in space.ids for space in self._spaces.values())

    def oldest(self, topics: Sequence[str]) -> datetime | None:
        """When the oldest record of these topics was written, as far as records tell; None: there is none."""
        return min((first.at for first in self.firsts(topics).values() if first.at is not None), default=None)

    def unfinished(self, spaces: Sequence[str], since: Mapping[Partition, int]) -> Iterator[Unfinished]:
        """Records at and behind these offsets, in order by partition."""
        wanted = frozenset(spaces)
        for partition, tail in self._unfinished.items():
            first = since.get(partition, 0)
            yield from (each for each in tail if each.offset >= first and not wanted.isdisjoint(each.spaces))

    def behind(self, since: Mapping[Partition, int]) -> list[Unfinished]:
        """Records of these partitions at and behind these offsets."""
        return [
            each
            for partition, first in since.items()
            for each in self._unfinished.get(partition, ())
            if each.offset >= first
        ]


class IdsRead:
    """Distinct ids of some spaces, as read."""

    def __init__(self, spaces: Iterable[_Space]) -> None:
        self._spaces = list(spaces)

    def __len__(self) -> int:
        return sum(len(space.ids) for space in self._spaces)

    def __contains__(self, digest: int) -> bool:
        return any(digest in space.ids for space in self._spaces)

    @property
    def total(self) -> int:
        """The sum of their digests."""
        return sum(space.total for space in self._spaces)
