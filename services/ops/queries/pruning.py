"""What is forgotten, table by table: which rows are old enough and at rest, and deleting those that may go.

A row that makes a record recognisable as a repeat goes only after the record has left its topic. So such tables are
asked in two steps: which rows are old, then, of those whose id stands in no topic any more, delete.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from libs.runtime.database.pool import Connection as Database
from libs.runtime.database.pool import Pool
from libs.runtime.kafka.records import Partition
from libs.runtime.retention import LIGHT_KINDS, MONEY_REMEMBERED, OTHERS_REMEMBERED
from services.ops.queries.accounting import FIRSTS, GONE, places
from services.ops.topic_ids import First

# Settled letters keep their bytes as long as topics with personal data keep their records.
LETTER_BYTES_KEPT = timedelta(days=30)

_LIGHT = ", ".join(f"'{kind}'" for kind in sorted(LIGHT_KINDS))

_PATIENCE = 300.0  # seconds

# Any number, the same in every process.
_ONE_AT_A_TIME = 7_216

# At rest, and nothing else of its key is still open. The newest that was delivered of a state stays for ever: by it an
# older one that comes late is recognised.
_OLD_DELIVERIES = f"""
select d.connection, d.event_id as id from delivery d join {FIRSTS} using (topic, partition)
where {GONE} and d.state in ('delivered', 'superseded', 'filtered', 'shadowed', 'discarded')
    and d.first_seen < now() - case when d.kind in ({_LIGHT}) then $6::interval else $5::interval end
    and not exists (select 1 from delivery o where o.connection = d.connection and o.order_key = d.order_key
        and o.state in ('claimed', 'parked', 'dead'))
    and not (d.kind in ({_LIGHT}) and d.state in ('delivered', 'shadowed') and not exists (
        select 1 from delivery n where n.connection = d.connection and n.order_key = d.order_key
        and n.version > d.version and n.state in ('delivered', 'shadowed')))
limit $7
"""

_OLD_NOTIFICATIONS = """
select connection, delivery_id as id from notification
where outcome <> 'waiting' and received_at < now() - $1::interval limit $2
"""

_OLD_SNAPSHOTS = """
select s.connection, s.id from snapshot s where s.at < now() - $1::interval and (s.outcome <> 'dead' or not exists (
    select 1 from dead_letter l where l.stage = 'transform' and l.state = 'open' and l.entity = s.root_key)) limit $2
"""

# Tables whose rows go by age alone: which, and after how long. Of states, `emitted` has one row an entity, for ever.
_BY_AGE: Mapping[str, tuple[str, timedelta]] = {
    "emitted": (f"at < now() - $1::interval and kind not in ({_LIGHT})", MONEY_REMEMBERED),
    "journey_ref": ("at < now() - $1::interval", MONEY_REMEMBERED),
    "circuit_change": ("at < now() - $1::interval", OTHERS_REMEMBERED),
    "backfill_request": ("at < now() - $1::interval and state in ('done', 'failed')", MONEY_REMEMBERED),
    "dead_letter": ("settled_at < now() - $1::interval and state <> 'open'", OTHERS_REMEMBERED),
}
AGED_TABLES = tuple(_BY_AGE)


async def alone(database: Database) -> bool:
    """Become the one that prunes, for as long as this connection is held; False: somebody else is."""
    return bool(await database.fetchval("select pg_try_advisory_lock($1)", _ONE_AT_A_TIME))


async def no_more(database: Database) -> None:
    """Let the next one prune."""
    await database.execute("select pg_advisory_unlock($1)", _ONE_AT_A_TIME)


async def old_deliveries(database: Database, firsts: Mapping[Partition, First], limit: int) -> list[Any]:
    """Rows of the ledger whose time is over and whose record Kafka has deleted."""
    rows: list[Any] = await database.fetch(
        _OLD_DELIVERIES, *places(firsts), MONEY_REMEMBERED, OTHERS_REMEMBERED, limit, timeout=_PATIENCE
    )
    return rows


async def old_notifications(database: Database, limit: int) -> list[Any]:
    """Notifications whose time is over."""
    rows: list[Any] = await database.fetch(_OLD_NOTIFICATIONS, OTHERS_REMEMBERED, limit, timeout=_PATIENCE)
    return rows


async def old_snapshots(database: Database, limit: int) -> list[Any]:
    """Snapshots whose time is over; those that are dead stay as long as their letter is open."""
    rows: list[Any] = await database.fetch(_OLD_SNAPSHOTS, OTHERS_REMEMBERED, limit, timeout=_PATIENCE)
    return rows


_DELETE = {
    "delivery": "delete from delivery d using unnest($1::text[], $2::text[]) as i(connection, id) "
    "where d.connection = i.connection and d.event_id = i.id "
    "and d.state in ('delivered', 'superseded', 'filtered', 'shadowed', 'discarded')",
    "notification": "delete from notification n using unnest($1::text[], $2::text[]) as i(connection, id) "
    "where n.connection = i.connection and n.delivery_id = i.id and n.outcome <> 'waiting'",
    "snapshot": "delete from snapshot s using unnest($1::text[], $2::text[]) as i(connection, id) where s.id = i.id",
}


async def forget(pool: Pool, table: str, rows: Sequence[Any]) -> int:
    """Delete these rows unless they changed meanwhile; how many."""
    connections, ids = [row["connection"] for row in rows], [row["id"] for row in rows]
    return _number(await pool.execute(_DELETE[table], connections, ids))


async def forget_aged(pool: Pool, table: str, limit: int) -> int:
    """Delete at most `limit` rows of a table whose rows go by age alone; how many."""
    which, age = _BY_AGE[table]
    done = await pool.execute(
        f"delete from {table} where ctid = any(array(select ctid from {table} where {which} limit $2))",
        age, limit, timeout=_PATIENCE,
    )  # fmt: skip
    return _number(done)


async def cut_settled_letters(pool: Pool, limit: int) -> int:
    """Take the bytes out of letters that were settled 30 days ago: nobody needs them, and they hold personal data."""
    done = await pool.execute(
        "update dead_letter set key = null, value = null where id = any(array(select id from dead_letter "
        "where state <> 'open' and value is not null and settled_at < now() - $1::interval limit $2))",
        LETTER_BYTES_KEPT, limit,
    )  # fmt: skip
    return _number(done)


def _number(done: str) -> int:
    return int(done.rpartition(" ")[2])
