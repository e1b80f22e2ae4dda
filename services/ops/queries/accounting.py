"""The right-hand side of every identity: what became of notifications, snapshots and deliveries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from libs.runtime.database.pool import Connection as Database
from libs.runtime.kafka.records import Partition

_BEFORE = """
select d.event_id as id from delivery d
join unnest($2::text[], $3::int[], $4::bigint[]) as i(topic, partition, first)
    on d.topic = i.topic and d.partition = i.partition
where d.connection = $1 and d.position < i.first
"""


async def deliveries(database: Database, connection: str) -> list[Any]:
    """Rows by state and class, with the oldest arrival and the newest settlement of each."""
    rows: list[Any] = await database.fetch(
        "select state, class, count(*) as n, min(first_seen) as oldest, max(settled_at) as newest from delivery "
        "where connection = $1 group by state, class",
        connection,
    )
    return rows


async def known_deliveries(database: Database, connection: str, ids: Sequence[str]) -> set[str]:
    """Those of the events that have a row."""
    rows = await database.fetch(
        "select event_id from delivery where connection = $1 and event_id = any($2)", connection, list(ids)
    )
    return {row["event_id"] for row in rows}


async def deliveries_before(database: Database, connection: str, firsts: Mapping[Partition, int]) -> AsyncIterator[str]:
    """Events whose record stood before the given offsets."""
    places = list(firsts)
    arguments = ([p.topic for p in places], [p.number for p in places], [firsts[p] for p in places])
    async for row in database.cursor(_BEFORE, connection, *arguments, prefetch=5000):
        yield row["id"]


async def notifications(database: Database, connection: str) -> list[Any]:
    """Rows by outcome."""
    rows: list[Any] = await database.fetch(
        "select outcome as state, null as class, count(*) as n, min(received_at) as oldest, "
        "max(settled_at) as newest from notification where connection = $1 group by outcome",
        connection,
    )
    return rows


async def known_notifications(database: Database, connection: str, ids: Sequence[str]) -> set[str]:
    """Those of the deliveries that have a row."""
    rows = await database.fetch(
        "select delivery_id from notification where connection = $1 and delivery_id = any($2)", connection, list(ids)
    )
    return {row["delivery_id"] for row in rows}


async def notifications_before(database: Database, connection: str, moment: datetime | None) -> AsyncIterator[str]:
    """Deliveries received before that moment; None: all."""
    async for row in database.cursor(
        "select delivery_id as id from notification where connection = $1 "
        "and ($2::timestamptz is null or received_at < $2)",
        connection, moment, prefetch=5000,
    ):  # fmt: skip
        yield row["id"]


async def snapshots(database: Database, connections: Sequence[str]) -> list[Any]:
    """Rows by outcome."""
    rows: list[Any] = await database.fetch(
        "select outcome as state, null as class, count(*) as n, min(at) as oldest, max(at) as newest from snapshot "
        "where connection = any($1) group by outcome",
        list(connections),
    )
    return rows


async def known_snapshots(database: Database, ids: Sequence[str]) -> set[str]:
    """Those of the snapshots that have a row."""
    rows = await database.fetch("select id from snapshot where id = any($1)", list(ids))
    return {row["id"] for row in rows}


async def snapshots_before(
    database: Database, connections: Sequence[str], moment: datetime | None
) -> AsyncIterator[str]:
    """Snapshots handled before that moment; None: all."""
    async for row in database.cursor(
        "select id from snapshot where connection = any($1) and ($2::timestamptz is null or at < $2)",
        list(connections), moment, prefetch=5000,
    ):  # fmt: skip
        yield row["id"]
