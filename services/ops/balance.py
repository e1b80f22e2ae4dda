"""Is everything accounted for? Each term of the identities is counted by itself, and none is the remainder.

    offered + aged out = delivered + superseded + filtered + shadowed + discarded + parked + dead + claimed + waiting

*offered* are the distinct event ids in the topics of a connection now; *aged out* are rows whose record Kafka has
deleted since; the states are the rows of the ledger. *In flight* are *claimed* rows (somebody is sending) and what is
*waiting* in Kafka: ids at or behind the offset that the connection's group has committed, without a row. An id before
that offset without a row is in no term, so it shows as a difference: it was lost.

The order of reading makes this exact while events flow: topics so far, committed offsets, then one snapshot of the
database, then the rest of the topics. Every row of the snapshot has its record among what was read, and every record
before the committed offset has had its row by then.

Numbers alone could agree although one event was lost and a row nobody offered stands in its place. So the digests of
the ids are summed on both sides too: equal count and equal sum mean the same ids. Only where the sums differ are the
ids themselves gone through.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from libs.runtime.configuration.model import Configuration, Connection
from libs.runtime.database.pool import Connection as Database
from libs.runtime.database.pool import Pool
from libs.runtime.engine.engine import consumed_topics, consumer_group
from libs.runtime.kafka.offsets import Standing, standing
from libs.runtime.kafka.records import Partition, readable
from libs.runtime.kafka.stored_headers import headers_from_json
from libs.runtime.kafka.topics import DLQ_INGEST, DLQ_TRANSFORM, FETCHER_GROUP, TRANSFORM_GROUP, inbox, raw
from libs.runtime.settings import KafkaSettings
from services.ops.queries import accounting
from services.ops.topic_ids import (
    IdsRead,
    TopicIds,
    Unfinished,
    digest_of,
    inbox_space,
    of_letter,
    raw_space,
    retail_space,
    unreadable_space,
)

DELIVERY_TERMS = (
    "delivered",
    "superseded",
    "filtered",
    "shadowed",
    "discarded",
    "parked",
    "dead",
    "claimed",
    "waiting",
)
NOTIFICATION_TERMS = ("object", "no_effect", "rejected", "waiting", "unreadable", "unread")
SNAPSHOT_TERMS = ("mapped", "no_effect", "not_yet", "dead", "unread")

# The journey's group: it archives the letters of intake and transform in the database.
LETTERS_GROUP = "tillstream.dead-letters"

# Kafka deletes whole segments: a row may be this much younger than the oldest record and still be of a deleted one.
_SLACK = timedelta(days=1)
_AT_ONCE = 10_000


@dataclass(frozen=True)
class Balance:
    """One identity. `terms` in the order of the identity; `unread`: the records of its last term.

    `lost`: ids that were offered and are in no term. `unoffered`: rows that no record ever led to.
    """

    name: str
    offered: int
    aged_out: int
    terms: Mapping[str, int]
    rows: Sequence[Any]
    unread: Sequence[Unfinished]
    lag: int
    lost: int = 0
    unoffered: int = 0

    @property
    def mismatch(self) -> int:
        """Zero unless something was lost (then how much) or nobody offered it (then how much, below zero)."""
        return self.lost or -self.unoffered

    def as_json(self) -> dict[str, Any]:
        """Every term, for programs."""
        return {
            "offered": self.offered, "aged_out": self.aged_out, **self.terms,
            "lost": self.lost, "unoffered": self.unoffered, "mismatch": self.mismatch,
        }  # fmt: skip


class Side(ABC):
    """One identity: where its left side is read, and its right side counted."""

    name: str
    group: str
    topics: tuple[str, ...]
    spaces: tuple[str, ...]
    terms: tuple[str, ...]

    @abstractmethod
    async def rows(self, database: Database, topics: TopicIds) -> list[Any]:
        """What became of them."""

    @abstractmethod
    async def known(self, database: Database, ids: Sequence[str]) -> set[str]:
        """Those with a row."""

    @abstractmethod
    def ids(self, database: Database, topics: TopicIds, *, gone: bool) -> AsyncIterator[str]:
        """Ids of all rows, or only of those whose record Kafka may have deleted."""

    async def unreadable(self, _database: Database, _topics: TopicIds) -> set[str]:
        """Records that never get a row because they could not be read."""
        return set()


class Deliveries(Side):
    """The events offered to a target connection."""

    terms = DELIVERY_TERMS

    def __init__(self, connection: Connection) -> None:
        self.name, self.group = connection.id, consumer_group(connection.id)
        self.topics = consumed_topics(connection)
        self.spaces = tuple(retail_space(topic) for topic in self.topics)

    async def rows(self, database: Database, topics: TopicIds) -> list[Any]:
        return await accounting.deliveries(database, self.name, self.topics, topics.firsts(self.topics))

    async def known(self, database: Database, ids: Sequence[str]) -> set[str]:
        return await accounting.known_deliveries(database, self.name, ids)

    def ids(self, database: Database, topics: TopicIds, *, gone: bool) -> AsyncIterator[str]:
        return accounting.delivery_ids(database, self.name, self.topics, topics.firsts(self.topics), gone=gone)


class Notifications(Side):
    """What a source connection received."""

    terms = NOTIFICATION_TERMS
    group = FETCHER_GROUP

    def __init__(self, connection: Connection) -> None:
        self.name, self.topics = connection.id, (inbox(connection.vendor),)
        self.spaces = (inbox_space(connection.id),)

    async def rows(self, database: Database, topics: TopicIds) -> list[Any]:
        return await accounting.notifications(database, self.name, _horizon(topics, self.topics))

    async def known(self, database: Database, ids: Sequence[str]) -> set[str]:
        return await accounting.known_notifications(database, self.name, ids)

    def ids(self, database: Database, topics: TopicIds, *, gone: bool) -> AsyncIterator[str]:
        return accounting.notification_ids(database, self.name, _horizon(topics, self.topics), gone=gone)

    async def unreadable(self, database: Database, topics: TopicIds) -> set[str]:
        """By the letter in its topic or, where Kafka has deleted that, by its row."""
        letters = {each.id for each in topics.unfinished((unreadable_space(self.name),), {})}
        for row in await accounting.unreadable(database, self.name, topics.firsts(self.topics)):
            letters.add(of_letter(readable(headers_from_json(row["headers"]))))
        received = topics.ids(self.spaces)
        return {letter for letter in letters if digest_of(letter) in received}


class Snapshots(Side):
    """The snapshots of all source connections of one vendor."""

    terms = SNAPSHOT_TERMS
    group = TRANSFORM_GROUP

    def __init__(self, vendor: str, connections: Sequence[str]) -> None:
        self.name, self.topics, self._connections = vendor, (raw(vendor),), connections
        self.spaces = (raw_space(vendor),)

    async def rows(self, database: Database, topics: TopicIds) -> list[Any]:
        return await accounting.snapshots(database, self._connections, _horizon(topics, self.topics))

    async def known(self, database: Database, ids: Sequence[str]) -> set[str]:
        return await accounting.known_snapshots(database, ids)

    def ids(self, database: Database, topics: TopicIds, *, gone: bool) -> AsyncIterator[str]:
        return accounting.snapshot_ids(database, self._connections, _horizon(topics, self.topics), gone=gone)


def _horizon(topics: TopicIds, names: Sequence[str]) -> datetime | None:
    oldest = topics.oldest(names)
    return oldest + _SLACK if oldest else None


def sides(configuration: Configuration) -> list[Side]:
    """Every identity of an installation, downstream first."""
    by_vendor: dict[str, list[str]] = {}
    for connection in configuration.sources():
        by_vendor.setdefault(connection.vendor, []).append(connection.id)
    return [
        *(Deliveries(connection) for connection in configuration.targets()),
        *(Notifications(connection) for connection in configuration.sources()),
        *(Snapshots(vendor, connections) for vendor, connections in by_vendor.items()),
    ]


@dataclass(frozen=True)
class _Sum:
    """Ids as their number and the sum of their digests, of which 64 bits count."""

    number: int
    total: int

    def __add__(self, other: _Sum) -> _Sum:
        return _sum(self.number + other.number, self.total + other.total)

    def __sub__(self, other: _Sum) -> _Sum:
        return _sum(self.number - other.number, self.total - other.total)


def _sum(number: int, total: int) -> _Sum:
    return _Sum(number, total % 2**64)


def _sum_of(digests: Collection[int]) -> _Sum:
    return _sum(len(digests), sum(digests))


class Accountant:
    """Counts every identity, again and again; what it has read of the topics it does not read twice."""

    def __init__(self, kafka: KafkaSettings, pool: Pool, configuration: Configuration) -> None:
        self._kafka, self._pool = kafka, pool
        self._sides = sides(configuration)
        self.topic_ids = TopicIds(kafka)
        # Rows that look as if Kafka had deleted their record, and whose id stands in the topics all the same.
        self._still_there: dict[Side, set[int]] = {}
        self.letters: dict[Partition, Standing] = {}
        self.topics = sorted({topic for side in self._sides for topic in side.topics} | {DLQ_INGEST, DLQ_TRANSFORM})

    async def count(self) -> list[tuple[Side, Balance, dict[Partition, Standing]]]:
        """All balances as of now, each with where its group stands."""
        stands = await self._read()
        if not self.topic_ids.stand(_all([*stands.values(), self.letters])):
            stands = await self._read()
            self.topic_ids.stand(_all([*stands.values(), self.letters]))
        async with (
            self._pool.acquire() as database,
            database.transaction(isolation="repeatable_read", readonly=True),
        ):
            rows = {side: await side.rows(database, self.topic_ids) for side in self._sides}
            await self.topic_ids.read_on(self.topics, _lowest(stands.values()))
            return [
                (side, await self._balance(database, side, rows[side], stands[side]), stands[side])
                for side in self._sides
            ]

    async def _read(self) -> dict[Side, dict[Partition, Standing]]:
        """Read the topics so far, and only then where each group stands."""
        await self.topic_ids.read_on(self.topics, _lowest((await self._stands()).values()))
        self.letters = await standing(self._kafka, LETTERS_GROUP, [DLQ_INGEST, DLQ_TRANSFORM])
        return await self._stands()

    def unarchived(self) -> list[Unfinished]:
        """Letters of intake and transform that stand in their topics alone, not yet in the database too."""
        since = {partition: stand.next for partition, stand in self.letters.items()}
        return self.topic_ids.behind(since)

    async def _stands(self) -> dict[Side, dict[Partition, Standing]]:
        """Where each side's group stands; sides that share a group are asked about once."""
        topics: dict[str, set[str]] = {}
        for side in self._sides:
            topics.setdefault(side.group, set()).update(side.topics)
        groups = {group: await standing(self._kafka, group, sorted(wanted)) for group, wanted in topics.items()}
        return {
            side: {p: stand for p, stand in groups[side.group].items() if p.topic in side.topics}
            for side in self._sides
        }

    async def _balance(
        self, database: Database, side: Side, rows: list[Any], stands: Mapping[Partition, Standing]
    ) -> Balance:
        terms = dict.fromkeys(side.terms, 0)
        for row in rows:
            terms[row["state"]] = terms.get(row["state"], 0) + row["n"]
        since = {partition: stand.next for partition, stand in stands.items()}
        candidates = list(self.topic_ids.unfinished(side.spaces, since))
        letters = await side.unreadable(database, self.topic_ids)
        known = await self._known(database, side, letters | {each.id for each in candidates})
        letters -= known
        unread = [each for each in candidates if each.id not in known and each.id not in letters]
        waiting = {each.id for each in unread}
        if letters:
            terms["unreadable"] = len(letters)
        terms[side.terms[-1]] += len(waiting)
        offered = self.topic_ids.ids(side.spaces)
        left = _sum(len(offered), offered.total)
        right = _sum(sum(row["n"] for row in rows), sum(int(row["total"]) for row in rows))
        right += _sum_of([digest_of(name) for name in waiting | letters])
        aged = _sum(sum(row["gone"] for row in rows), sum(int(row["gone_total"]) for row in rows))
        aged -= _sum_of([digest for digest in self._still_there.get(side, ()) if digest in offered])
        lost = unoffered = 0
        if left + aged != right:
            aged = await self._aged_out(database, side, offered)
        if left + aged != right:
            lost, unoffered = await self._compare(database, side, offered, aged.number, len(waiting | letters))
        return Balance(
            name=side.name,
            offered=len(offered),
            aged_out=aged.number,
            terms=terms,
            rows=rows,
            unread=unread,
            lag=sum(stand.waiting for stand in stands.values()),
            lost=lost,
            unoffered=unoffered,
        )

    async def _aged_out(self, database: Database, side: Side, offered: IdsRead) -> _Sum:
        """Rows whose record Kafka has deleted, by their ids."""
        number = total = 0
        still = set()
        async for name in side.ids(database, self.topic_ids, gone=True):
            digest = digest_of(name)
            if digest in offered:
                still.add(digest)
            else:
                number, total = number + 1, total + digest
        self._still_there[side] = still
        return _sum(number, total)

    async def _compare(
        self, database: Database, side: Side, offered: IdsRead, aged: int, without_row: int
    ) -> tuple[int, int]:
        """How many ids were lost, and how many rows nobody offered."""
        found = absent = 0
        async for name in side.ids(database, self.topic_ids, gone=False):
            if digest_of(name) in offered:
                found += 1
            else:
                absent += 1
        return len(offered) - found - without_row, absent - aged

    async def _known(self, database: Database, side: Side, names: set[str]) -> set[str]:
        known: set[str] = set()
        candidates = list(names)
        for start in range(0, len(candidates), _AT_ONCE):
            known |= await side.known(database, candidates[start : start + _AT_ONCE])
        return known


def _all(stands: Iterable[Mapping[Partition, Standing]]) -> dict[Partition, Standing]:
    """Where everything stands, each partition by the group that is least far."""
    least: dict[Partition, Standing] = {}
    for positions in stands:
        for partition, stand in positions.items():
            if partition not in least or stand.next < least[partition].next:
                least[partition] = stand
    return least


def _lowest(stands: Iterable[Mapping[Partition, Standing]]) -> dict[Partition, int]:
    """Per partition the offset that every group has finished."""
    return {partition: stand.next for partition, stand in _all(stands).items()}
