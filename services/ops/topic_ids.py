"""What the topics hold, counted in distinct ids by a reader that shares no code and no table with who consumes them.

Memory: of each distinct id 64 bits are kept in a set (about 90 bytes an id in Python, so 1 GB for eleven million), and
the full id only of records that a consumer has not finished yet.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from libs.runtime.kafka.offsets import Standing, read_whole
from libs.runtime.kafka.records import Partition, Record
from libs.runtime.settings import KafkaSettings


@dataclass(frozen=True)
class Named:
    """A record's id, and the space in which it is distinct."""

    space: str
    id: str


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
    """The id of a record of any topic, by its headers alone."""
    topic, text = record.partition.topic, record.text
    if topic.startswith("inbox."):
        return Named(inbox_space(text.get("connection", "unknown")), text.get("delivery-id") or place(record))
    if topic.startswith("raw."):
        return Named(topic, text.get("snapshot-id") or place(record))
    if topic == "dlq.ingest":
        origin = "/".join(text.get(f"dl-orig-{part}", "") for part in ("topic", "partition", "offset"))
        rejected = text.get("dl-class") == "dependency"  # the vendor denied the object: the notification was read
        space = "rejected" if rejected else unreadable_space(text.get("dl-connection", "unknown"))
        return Named(space, text.get("delivery-id") or origin)
    return Named(retail_space(topic), text.get("ce_id") or place(record))


@dataclass(frozen=True)
class Unfinished:
    """A record that a consumer may not have finished."""

    space: str
    offset: int
    id: str
    written_at: datetime


def digest_of(name: str) -> int:
    """64 bits for an id: two of ten million ids share one with a probability of about three in a million."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())


class TopicIds:
    """Reads topics from the beginning once, and on from there each time it is asked."""

    def __init__(self, kafka: KafkaSettings, name: Callable[[Record], Named] = named) -> None:
        self._kafka, self._name = kafka, name
        self._ids: dict[str, set[int]] = {}
        self._next: dict[Partition, int] = {}
        self._unfinished: dict[Partition, deque[Unfinished]] = {}
        self.begins: dict[Partition, int] = {}
        self.oldest: dict[str, datetime] = {}  # by topic: when its oldest record was written

    async def read_on(self, topics: Sequence[str], finished: Mapping[Partition, int]) -> None:
        """Read what is new; ids of records before `finished` are remembered by digest only."""
        async for record in read_whole(self._kafka, topics, self._next):
            partition = record.partition
            self.begins.setdefault(partition, record.offset)
            self._next[partition] = record.offset + 1
            known = self._name(record)
            self._ids.setdefault(known.space, set()).add(digest_of(known.id))
            oldest = self.oldest.get(partition.topic)
            if oldest is None or record.written_at < oldest:
                self.oldest[partition.topic] = record.written_at
            if record.offset >= finished.get(partition, 0):
                tail = self._unfinished.setdefault(partition, deque())
                tail.append(Unfinished(known.space, record.offset, known.id, record.written_at))
        for partition, tail in self._unfinished.items():
            while tail and tail[0].offset < finished.get(partition, 0):
                tail.popleft()

    def begin(self, stands: Mapping[Partition, Standing]) -> None:
        """Note where partitions begin in which no record was found: all they had is gone."""
        for partition, stand in stands.items():
            self.begins.setdefault(partition, stand.begin)

    def distinct(self, spaces: Sequence[str]) -> int:
        """How many distinct ids there are."""
        return sum(len(self._ids.get(space, ())) for space in spaces)

    def absent(self, spaces: Sequence[str], digests: Iterable[int]) -> set[int]:
        """Those of the digests whose id was not read."""
        known = [self._ids[space] for space in spaces if space in self._ids]
        return {digest for digest in digests if not any(digest in ids for ids in known)}

    def unfinished(self, spaces: Sequence[str], since: Mapping[Partition, int]) -> Iterator[Unfinished]:
        """Records at and behind these offsets, in order by partition."""
        wanted = frozenset(spaces)
        for partition, tail in self._unfinished.items():
            first = since.get(partition, 0)
            yield from (each for each in tail if each.offset >= first and each.space in wanted)
