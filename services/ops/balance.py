"""Is everything accounted for? Each term of the identities is counted by itself, and none is the remainder.

    offered + aged out = delivered + superseded + filtered + shadowed + discarded + parked + dead + claimed + waiting

*offered* are distinct event ids in the topics of a connection; *aged out* are rows whose record Kafka has deleted
since; the states are the rows of the ledger. *In flight* are *claimed* rows (somebody is sending) and what is *waiting*
in Kafka: ids at or behind the offset that the connection's group has committed, without a row. An id before that
offset without a row is in no term, so it shows as a difference: it was lost.

The order of reading makes this exact while events flow: topics so far, committed offsets, then one snapshot of the
database, then the rest of the topics. Every row of the snapshot has its record among what was read, and every record
before the committed offset has had its row by then.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from libs.runtime.configuration.model import Configuration, Connection
from libs.runtime.database.pool import Connection as Database
from libs.runtime.database.pool import Pool
from libs.runtime.engine.engine import consumed_topics, consumer_group
from libs.runtime.kafka.offsets import Standing, standing
from libs.runtime.kafka.records import Partition
from libs.runtime.kafka.topics import DLQ_INGEST, FETCHER_GROUP, TRANSFORM_GROUP, inbox, raw
from libs.runtime.settings import KafkaSettings
from services.ops.queries import accounting
from services.ops.topic_ids import (
    TopicIds,
    Unfinished,
    digest_of,
    inbox_space,
    raw_space,
    retail_space,
    unreadable_space,
)

# The consumer groups of the fetcher and of transform, as those services name them.

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

# Kafka deletes whole segments: a row may be this much younger than the oldest record and still be of a deleted one.
_SLACK = timedelta(days=1)
_AT_ONCE = 10_000


@dataclass(frozen=True)
class Balance:
    """One identity. `terms` in the order of the identity; `unread`: the records of its last term."""

    name: str
    offered: int
    aged_out: int
    terms: Mapping[str, int]
    rows: Sequence[Any]
    unread: Sequence[Unfinished]
    lag: int

    @property
    def mismatch(self) -> int:
        """Offered minus accounted for; zero unless something was lost or counted twice."""
        return self.offered + self.aged_out - sum(self.terms.values())

    def as_json(self) -> dict[str, Any]:
        """Every term, for programs."""
        return {"offered": self.offered, "aged_out": self.aged_out, **self.terms, "mismatch": self.mismatch}


class Side(ABC):
    """One identity: where its left side is read, and its right side counted."""

    name: str
    group: str
    topics: tuple[str, ...]
    spaces: tuple[str, ...]
    terms: tuple[str, ...]

    @abstractmethod
    async def rows(self, database: Database) -> list[Any]:
        """What became of them."""

    @abstractmethod
    async def known(self, database: Database, ids: Sequence[str]) -> set[str]:
        """Those with a row."""

    @abstractmethod
    def maybe_aged(self, database: Database, ids: TopicIds) -> AsyncIterator[str]:
        """Rows whose record Kafka may have deleted before it could be read here."""


class Deliveries(Side):
    """The events offered to a target connection."""

    terms = DELIVERY_TERMS

    def __init__(self, connection: Connection) -> None:
        self.name, self.group = connection.id, consumer_group(connection.id)
        self.topics = consumed_topics(connection)
        self.spaces = tuple(retail_space(topic) for topic in self.topics)

    async def rows(self, database: Database) -> list[Any]:
        return await accounting.deliveries(database, self.name)

    async def known(self, database: Database, ids: Sequence[str]) -> set[str]:
        return await accounting.known_deliveries(database, self.name, ids)

    def maybe_aged(self, database: Database, ids: TopicIds) -> AsyncIterator[str]:
        firsts = {partition: first for partition, first in ids.begins.items() if partition.topic in self.topics}
        return accounting.deliveries_before(database, self.name, firsts)


class Notifications(Side):
    """What a source connection received."""

    terms = NOTIFICATION_TERMS
    group = FETCHER_GROUP

    def __init__(self, connection: Connection) -> None:
        self.name, self.topics = connection.id, (inbox(connection.vendor),)
        self.spaces = (inbox_space(connection.id),)

    async def rows(self, database: Database) -> list[Any]:
        return await accounting.notifications(database, self.name)

    async def known(self, database: Database, ids: Sequence[str]) -> set[str]:
        return await accounting.known_notifications(database, self.name, ids)

    def maybe_aged(self, database: Database, ids: TopicIds) -> AsyncIterator[str]:
        return accounting.notifications_before(database, self.name, _horizon(ids, self.topics))


class Snapshots(Side):
    """The snapshots of all source connections of one vendor."""

    terms = SNAPSHOT_TERMS
    group = TRANSFORM_GROUP

    def __init__(self, vendor: str, connections: Sequence[str]) -> None:
        self.name, self.topics, self._connections = vendor, (raw(vendor),), connections
        self.spaces = (raw_space(vendor),)

    async def rows(self, database: Database) -> list[Any]:
        return await accounting.snapshots(database, self._connections)

    async def known(self, database: Database, ids: Sequence[str]) -> set[str]:
        return await accounting.known_snapshots(database, ids)

    def maybe_aged(self, database: Database, ids: TopicIds) -> AsyncIterator[str]:
        return accounting.snapshots_before(database, self._connections, _horizon(ids, self.topics))


def _horizon(ids: TopicIds, topics: Sequence[str]) -> datetime | None:
    oldest = [ids.oldest[topic] for topic in topics if topic in ids.oldest]
    return min(oldest) + _SLACK if oldest else None


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
class _Aged:
    """Rows of one side whose record was not among those read."""

    digests: set[int]
    known_before: bool


class Accountant:
    """Counts every identity, again and again; what it has read of the topics it does not read twice."""

    def __init__(self, kafka: KafkaSettings, pool: Pool, configuration: Configuration) -> None:
        self._kafka, self._pool = kafka, pool
        self._sides = sides(configuration)
        self._ids = TopicIds(kafka)
        self._aged: dict[Side, _Aged] = {}
        self._topics = sorted({topic for side in self._sides for topic in side.topics} | {DLQ_INGEST})

    async def count(self) -> list[tuple[Side, Balance, dict[Partition, Standing]]]:
        """All balances as of now, each with where its group stands."""
        await self._ids.read_on(self._topics, await self._finished())
        stands = await self._stands()
        for positions in stands.values():
            self._ids.begin(positions)
        async with (
            self._pool.acquire() as database,
            database.transaction(isolation="repeatable_read", readonly=True),
        ):
            rows = {side: await side.rows(database) for side in self._sides}
            await self._ids.read_on(self._topics, _lowest(stands.values()))
            return [
                (side, await self._balance(database, side, rows[side], stands[side]), stands[side])
                for side in self._sides
            ]

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

    async def _finished(self) -> dict[Partition, int]:
        return _lowest((await self._stands()).values())

    async def _balance(
        self, database: Database, side: Side, rows: list[Any], stands: Mapping[Partition, Standing]
    ) -> Balance:
        terms = dict.fromkeys(side.terms, 0)
        for row in rows:
            terms[row["state"]] = terms.get(row["state"], 0) + row["n"]
        since = {partition: stand.next for partition, stand in stands.items()}
        unread = await self._without_row(database, side, list(self._ids.unfinished(side.spaces, since)))
        if isinstance(side, Notifications):
            dead = self._ids.unfinished((unreadable_space(side.name),), {})
            unreadable = {each.id for each in await self._without_row(database, side, list(dead))}
            terms["unreadable"] = len(unreadable)
            unread = [each for each in unread if each.id not in unreadable]
        terms[side.terms[-1]] += len({each.id for each in unread})
        balance = Balance(
            name=side.name,
            offered=self._ids.distinct(side.spaces),
            aged_out=await self._aged_out(database, side),
            terms=terms,
            rows=rows,
            unread=unread,
            lag=sum(stand.waiting for stand in stands.values()),
        )
        if balance.mismatch and self._aged[side].known_before:
            # Old rows may have been pruned since they were looked at: that must not be called a loss.
            del self._aged[side]
            balance = replace(balance, aged_out=await self._aged_out(database, side))
        return balance

    async def _aged_out(self, database: Database, side: Side) -> int:
        """Rows whose record is gone are looked for once: every later row comes of a record that was read here."""
        before = self._aged.get(side)
        if before is None:
            rows = {digest_of(name) async for name in side.maybe_aged(database, self._ids)}
        else:
            rows = before.digests
        still = self._ids.absent(side.spaces, rows)
        self._aged[side] = _Aged(still, known_before=before is not None)
        return len(still)

    async def _without_row(self, database: Database, side: Side, candidates: Sequence[Unfinished]) -> list[Unfinished]:
        missing: list[Unfinished] = []
        for start in range(0, len(candidates), _AT_ONCE):
            chunk = candidates[start : start + _AT_ONCE]
            known = await side.known(database, [each.id for each in chunk])
            missing += [each for each in chunk if each.id not in known]
        return missing


def _lowest(stands: Any) -> dict[Partition, int]:
    """Per partition the offset that every group has finished."""
    lowest: dict[Partition, int] = {}
    for positions in stands:
        for partition, stand in positions.items():
            lowest[partition] = min(stand.next, lowest.get(partition, stand.next))
    return lowest
