"""Everything that is known of one thing: its events, and what each stage made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from libs.runtime.database.pool import Pool

_EVENT_COLUMNS = "event_id, order_key, kind, occurred_at, location_id"
_DELIVERY_COLUMNS = (
    "connection, event_id, kind, order_key, entity_id, state, class, reason, attempts, generation, remote_id, "
    "document, first_seen, sent_at, settled_at, next_attempt_at, dead_at, occurred_at, topic, partition, position"
)


async def order_keys(pool: Pool, name: str) -> set[str]:
    """Order keys to which this id leads: an event's, an entity's, a reference's, or an order key itself."""
    rows = await pool.fetch(
        "select order_key from journey_ref where ref = $1 or event_id = $1 or order_key = $1 "
        "union select order_key from delivery where order_key = $1",
        name,
    )
    return {row["order_key"] for row in rows}


async def order_keys_by_delivery(pool: Pool, name: str) -> set[str]:
    """Order keys of deliveries with this event id, entity id, remote id or document."""
    rows = await pool.fetch(
        "select distinct order_key from delivery "
        "where event_id = $1 or entity_id = $1 or remote_id = $1 or document = $1",
        name,
    )
    return {row["order_key"] for row in rows}


async def order_keys_by_remote_object(pool: Pool, name: str) -> set[str]:
    """Order keys whose events name an object with this remote id at a target."""
    rows = await pool.fetch(
        "select distinct j.order_key from remote_object r join journey_ref j on j.ref = r.ref_key "
        "where r.remote_id = $1 limit 50",
        name,
    )
    return {row["order_key"] for row in rows}


async def events(pool: Pool, keys: Sequence[str]) -> list[Any]:
    """The events of these order keys, each once, oldest first, with all ids by which it can be found."""
    rows: list[Any] = await pool.fetch(
        f"select {_EVENT_COLUMNS}, min(at) as at, array_agg(distinct ref) as refs from journey_ref "
        f"where order_key = any($1) group by {_EVENT_COLUMNS} order by occurred_at",
        list(keys),
    )
    return rows


async def deliveries(pool: Pool, keys: Sequence[str]) -> list[Any]:
    """What became of events of these order keys, at every connection."""
    rows: list[Any] = await pool.fetch(
        f"select {_DELIVERY_COLUMNS} from delivery where order_key = any($1) order by connection, seq", list(keys)
    )
    return rows


async def notifications(pool: Pool, roots: Sequence[str], name: str) -> list[Any]:
    """Notifications about these roots, or the one delivery of that id."""
    rows: list[Any] = await pool.fetch(
        "select * from notification where root_keys && $1 "
        "union select * from notification where delivery_id = $2 order by received_at limit 500",
        list(roots), name,
    )  # fmt: skip
    return rows


async def snapshots(pool: Pool, roots: Sequence[str], name: str) -> list[Any]:
    """Snapshots of these roots, or the one of that id."""
    rows: list[Any] = await pool.fetch(
        "select * from snapshot where root_key = any($1) union select * from snapshot where id = $2 "
        "order by at limit 500",
        list(roots), name,
    )  # fmt: skip
    return rows


async def roots_ending_with(pool: Pool, name: str) -> set[str]:
    """Roots whose id this is, of whatever account and kind. Reads the whole table: only when nothing else helped."""
    rows = await pool.fetch("select distinct root_key from snapshot where right(root_key, length($1)) = $1", f":{name}")
    return {row["root_key"] for row in rows}


async def fetches(pool: Pool, roots: Sequence[str]) -> list[Any]:
    """Objects that are still to be read from their vendor."""
    rows: list[Any] = await pool.fetch(
        "select connection, account_id, root_kind, root_id, received_at, attempts, next_attempt_at, last_error "
        "from fetch_work where root_id = any($1) order by received_at",
        [root.rpartition(":")[2] for root in roots],
    )
    return rows


async def bookings(pool: Pool, event_ids: Sequence[str]) -> list[Any]:
    """On which business day, and with which revision of its close, events stand in the books."""
    rows: list[Any] = await pool.fetch(
        "select event_id, location_id, business_day, currency, revision, entered_at, difference, reason "
        "from book_entry where event_id = any($1)",
        list(event_ids),
    )
    return rows


async def unreadable(pool: Pool, roots: Sequence[str], name: str) -> list[Any]:
    """Dead letters of intake and transform about these roots, or the one of that id."""
    rows: list[Any] = await pool.fetch(
        "select id, stage, connection, entity, class, reason, state, at, settled_at, settled_by from dead_letter "
        "where entity = any($1) or id = $2 order by at",
        list(roots), name,
    )  # fmt: skip
    return rows
