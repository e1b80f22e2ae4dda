"""The right-hand side of every identity: what became of notifications, snapshots and deliveries.

Rows are counted, and the 64-bit digests of their ids summed: two sides with the same count and the same sum hold the
same ids, while an equal count alone could hide a lost event behind a row that nobody offered.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from libs.runtime.database.pool import Connection as Database
from libs.runtime.kafka.records import Partition
from services.ops.topic_ids import First

# A large ledger takes longer than a pool gives a statement; in seconds.
PATIENCE = 900.0
_AT_ONCE = 5_000


def _digest(column: str) -> str:
    """What `topic_ids.digest_of` computes."""
    return f"('x' || left(md5({column}), 16))::bit(64)::bigint"


def _counted(state: str, class_: str, oldest: str, newest: str, id_: str, gone: str, rows: str) -> str:
    """Count and digests by state and class, of all rows and of those whose record Kafka may have deleted.

    Grouped twice, so that each digest is computed once: that is what takes the time.
    """
    return f"""
        select state, class, min(oldest) as oldest, max(newest) as newest, sum(n)::bigint as n, sum(total) as total,
            coalesce(sum(n) filter (where gone), 0)::bigint as gone,
            coalesce(sum(total) filter (where gone), 0) as gone_total
        from (select {state} as state, {class_} as class, {gone} is true as gone, min({oldest}) as oldest,
            max({newest}) as newest, count(*) as n, sum({_digest(id_)}) as total {rows} group by 1, 2, 3) g
        group by state, class
    """


FIRSTS = """(select * from unnest($1::text[], $2::int[], $3::bigint[], $4::timestamptz[])
    as i(topic, partition, first, oldest)) i"""
# Its record stood before the first there is; or the row is older than that, since the topic was made anew.
GONE = "(position < coalesce(first, 0) or first_seen < oldest)"
_OFFERED = f"from delivery d left join {FIRSTS} using (topic, partition) where d.connection = $5 and topic = any($6)"
# The clocks of who writes records and of the database may differ by as much.
_CLOCKS = timedelta(hours=1)


def places(firsts: Mapping[Partition, First]) -> tuple[list[str], list[int], list[int], list[datetime | None]]:
    """The arguments of `FIRSTS`."""
    return (
        [partition.topic for partition in firsts],
        [partition.number for partition in firsts],
        [first.offset for first in firsts.values()],
        [first.at and first.at - _CLOCKS for first in firsts.values()],
    )


async def deliveries(
    database: Database, connection: str, topics: Sequence[str], firsts: Mapping[Partition, First]
) -> list[Any]:
    """Rows by state and class, with the oldest arrival and the newest settlement of each.

    `topics`: what the connection reads; `firsts`: the first record that each partition still has.
    """
    rows: list[Any] = await database.fetch(
        _counted("state", "class", "first_seen", "settled_at", "event_id", GONE, _OFFERED),
        *places(firsts), connection, list(topics), timeout=PATIENCE,
    )  # fmt: skip
    return rows


async def delivery_ids(
    database: Database, connection: str, topics: Sequence[str], firsts: Mapping[Partition, First], *, gone: bool
) -> AsyncIterator[str]:
    """Events with a row; `gone`: only those whose record Kafka has deleted."""
    query = f"select event_id as id {_OFFERED} and ({GONE} or not $7)"
    arguments = (*places(firsts), connection, list(topics), gone)
    async for row in database.cursor(query, *arguments, prefetch=_AT_ONCE, timeout=PATIENCE):
        yield row["id"]


async def known_deliveries(database: Database, connection: str, ids: Sequence[str]) -> set[str]:
    """Those of the events that have a row."""
    rows = await database.fetch(
        "select event_id from delivery where connection = $1 and event_id = any($2)", connection, list(ids)
    )
    return {row["event_id"] for row in rows}


_BEFORE = "($2::timestamptz is null or {at} < $2)"


async def notifications(database: Database, connection: str, before: datetime | None) -> list[Any]:
    """Rows by outcome. What was received before that moment (None: all) may be gone from its topic."""
    rows: list[Any] = await database.fetch(
        _counted("outcome", "null::text", "received_at", "settled_at", "delivery_id",
                 _BEFORE.format(at="received_at"), "from notification where connection = $1"),
        connection, before, timeout=PATIENCE,
    )  # fmt: skip
    return rows


async def notification_ids(
    database: Database, connection: str, before: datetime | None, *, gone: bool
) -> AsyncIterator[str]:
    """Deliveries with a row; `gone`: only those received before that moment."""
    query = (
        "select delivery_id as id from notification where connection = $1 "
        f"and ({_BEFORE.format(at='received_at')} or not $3)"
    )
    async for row in database.cursor(query, connection, before, gone, prefetch=_AT_ONCE, timeout=PATIENCE):
        yield row["id"]


async def known_notifications(database: Database, connection: str, ids: Sequence[str]) -> set[str]:
    """Those of the deliveries that have a row."""
    rows = await database.fetch(
        "select delivery_id from notification where connection = $1 and delivery_id = any($2)", connection, list(ids)
    )
    return {row["delivery_id"] for row in rows}


async def unreadable(database: Database, connection: str, firsts: Mapping[Partition, First]) -> list[Any]:
    """Letters about inbox records that are still there: a letter may leave its own topic before its record does."""
    rows: list[Any] = await database.fetch(
        "select d.headers from dead_letter d "
        f"join {FIRSTS} on i.topic = d.topic and i.partition = d.partition and d.position >= i.first "
        "where d.connection = $5 and d.stage = 'ingest' and d.class <> 'dependency'",
        *places(firsts), connection,
    )  # fmt: skip
    return rows


async def snapshots(database: Database, connections: Sequence[str], before: datetime | None) -> list[Any]:
    """Rows by outcome. What was handled before that moment (None: all) may be gone from its topic."""
    rows: list[Any] = await database.fetch(
        _counted("outcome", "null::text", "at", "at", "id",
                 _BEFORE.format(at="at"), "from snapshot where connection = any($1)"),
        list(connections), before, timeout=PATIENCE,
    )  # fmt: skip
    return rows


async def snapshot_ids(
    database: Database, connections: Sequence[str], before: datetime | None, *, gone: bool
) -> AsyncIterator[str]:
    """Snapshots with a row; `gone`: only those handled before that moment."""
    query = f"select id from snapshot where connection = any($1) and ({_BEFORE.format(at='at')} or not $3)"
    async for row in database.cursor(query, list(connections), before, gone, prefetch=_AT_ONCE, timeout=PATIENCE):
        yield row["id"]


async def known_snapshots(database: Database, ids: Sequence[str]) -> set[str]:
    """Those of the snapshots that have a row."""
    rows = await database.fetch("select id from snapshot where id = any($1)", list(ids))
    return {row["id"] for row in rows}
