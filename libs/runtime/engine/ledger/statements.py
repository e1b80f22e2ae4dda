"""The long statements of the ledger, and rows and columns as they go in and out of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from libs.runtime import exact_json
from libs.runtime.engine.ledger.rows import Entry, Row, Settlement
from libs.runtime.kafka.records import Partition
from libs.runtime.kafka.stored_headers import headers_from_json, headers_to_json

ROW = (
    "event_id, state, class, order_key, topic, partition, epoch, attempts, generation, steps, plan_hash, sent_at, "
    "first_seen, lease_until, in_topic, key, value, headers, traceparent"
)


def row_of(record: Any) -> Row:
    return Row(
        event_id=record["event_id"],
        state=record["state"],
        class_=record["class"],
        order_key=record["order_key"],
        partition=Partition(record["topic"], record["partition"]),
        epoch=record["epoch"],
        attempts=record["attempts"],
        generation=record["generation"],
        steps=record["steps"],
        plan_hash=record["plan_hash"],
        sent_at=record["sent_at"],
        first_seen=record["first_seen"],
        lease_until=record["lease_until"],
        in_topic=record["in_topic"],
        key=record["key"],
        value=record["value"],
        headers=headers_from_json(record["headers"]),
        traceparent=record["traceparent"],
    )


# Column of the incoming entries -> its type, and what it is where an entry says nothing of it.
_PLAIN_COLUMNS = {
    "event_id": "text", "kind": "text", "order_key": "text", "entity_id": "text", "version": "bigint",
    "location_id": "text", "occurred_at": "timestamptz", "topic": "text", "partition": "int", "position": "bigint",
    "epoch": "bigint", "plan_hash": "text", "config_hash": "text", "traceparent": "text",
}  # fmt: skip
_SPECIAL_COLUMNS = {
    "state": ("text", "'claimed'"), "class": ("text", "null"), "reason": ("text", "null"),
    "newest_only": ("bool", "false"), "document": ("text", "null"), "key": ("bytea", "null"),
    "value": ("bytea", "null"), "headers": ("text", "'[]'"),
}  # fmt: skip


def _insert(*, plain: bool) -> str:
    """The statement for entries of which nothing special is to be said (most), or for all others."""
    types = list(_PLAIN_COLUMNS.values()) + ([] if plain else [type_ for type_, _ in _SPECIAL_COLUMNS.values()])
    names = list(_PLAIN_COLUMNS) + ([] if plain else list(_SPECIAL_COLUMNS))
    given = ", ".join(f"${number}::{type_}[]" for number, type_ in enumerate(types, start=3))
    missing = [f"{default}::{type_} as {name}" for name, (type_, default) in _SPECIAL_COLUMNS.items()]
    return f"""
with owned as (
    select topic, partition, epoch from partition_owner where connection = $1 for share
), incoming as (
    select {", ".join(["*", *missing] if plain else ["*"])} from unnest({given})
        with ordinality as t({", ".join(names)}, nr)
), judged as (
    select i.*, i.newest_only and i.state = 'claimed' and exists (
        select 1 from delivery d where d.connection = $1 and d.order_key = i.order_key and d.event_id <> i.event_id
        and d.version > i.version and d.state in ('delivered', 'shadowed')
    ) as outdated
    from incoming i join owned o using (topic, partition) where o.epoch = i.epoch
)
insert into delivery (connection, event_id, kind, order_key, entity_id, version, location_id, occurred_at, topic,
    partition, position, epoch, state, class, reason, plan_hash, config_hash, document, key, value, headers,
    traceparent, lease_until, sent_at, settled_at, next_attempt_at, dead_at, in_topic)
select $1, event_id, kind, order_key, entity_id, version, location_id, occurred_at, topic, partition, position, epoch,
    case when outdated then 'superseded' else state end, class,
    case when outdated then 'a newer version was delivered before' else reason end,
    plan_hash, config_hash, document, key, value, headers::jsonb, traceparent,
    case when state = 'claimed' and not outdated then now() + make_interval(secs => $2) end,
    case when state = 'claimed' and not outdated then now() end,
    case when state in ('filtered', 'shadowed', 'delivered', 'superseded') or outdated then now() end,
    case when state = 'parked' then now() end,
    case when state = 'dead' then now() end, state = 'dead'
from judged order by nr
on conflict (connection, event_id) do nothing
returning event_id, state
"""


INSERT_PLAIN, INSERT = _insert(plain=True), _insert(plain=False)

TAKE_OVER = f"""
with owned as (
    select topic, partition, epoch from partition_owner where connection = $1 for share
)
update delivery d set epoch = i.epoch, lease_until = now() + make_interval(secs => $4)
from unnest($2::text[], $3::bigint[]) as i(event_id, epoch), owned o
where d.connection = $1 and d.event_id = i.event_id and d.state = 'claimed'
    and o.topic = d.topic and o.partition = d.partition and o.epoch = i.epoch
    and (d.epoch = i.epoch or d.lease_until is null or d.lease_until < now())
returning {", ".join("d." + name for name in ROW.split(", "))}
"""

# As with entries: what most settlements say, and what only special ones do.
_PLAIN_OUTCOME = {
    "event_id": "text", "topic": "text", "partition": "int", "epoch": "bigint", "remote_id": "text",
    "attempts": "int", "steps": "text",
}  # fmt: skip
_SPECIAL_OUTCOME = {
    "state": ("text", "'delivered'"), "class": ("text", "null"), "reason": ("text", "null"),
    "document": ("text", "null"), "retry_in": ("float8", "0"), "maybe_sent": ("bool", "false"),
    "key": ("bytea", "null"), "value": ("bytea", "null"), "headers": ("text", "'[]'"), "in_topic": ("bool", "false"),
}  # fmt: skip


def _settle(*, plain: bool) -> str:
    types = list(_PLAIN_OUTCOME.values()) + ([] if plain else [type_ for type_, _ in _SPECIAL_OUTCOME.values()])
    names = list(_PLAIN_OUTCOME) + ([] if plain else list(_SPECIAL_OUTCOME))
    given = ", ".join(f"${number}::{type_}[]" for number, type_ in enumerate(types, start=2))
    missing = [f"{default}::{type_} as {name}" for name, (type_, default) in _SPECIAL_OUTCOME.items()]
    return f"""
with owned as (
    select topic, partition, epoch from partition_owner where connection = $1 for share
), outcome as (
    select {", ".join(["*", *missing] if plain else ["*"])} from unnest({given}) as t({", ".join(names)})
)
update delivery d set
    state = i.state, class = i.class, reason = i.reason,
    remote_id = coalesce(i.remote_id, d.remote_id), document = coalesce(i.document, d.document),
    attempts = i.attempts, steps = i.steps::jsonb, lease_until = null,
    sent_at = case when i.maybe_sent then coalesce(d.sent_at, now()) end,
    settled_at = case when i.state in ('delivered', 'superseded', 'filtered', 'shadowed') then now() end,
    next_attempt_at = case when i.state = 'parked' then now() + make_interval(secs => i.retry_in) end,
    dead_at = case when i.state = 'dead' then now() end,
    in_topic = i.in_topic,
    -- Bytes are kept only while somebody may still need them: they hold personal data.
    key = case when i.state in ('parked', 'dead') then coalesce(i.key, d.key) end,
    value = case when i.state in ('parked', 'dead') then coalesce(i.value, d.value) end,
    headers = case when i.state in ('parked', 'dead') then coalesce(nullif(i.headers::jsonb, '[]'), d.headers) end
from outcome i, owned o
where d.connection = $1 and d.event_id = i.event_id
    and o.topic = i.topic and o.partition = i.partition and o.epoch = i.epoch and d.epoch = i.epoch
returning d.event_id
"""


SETTLE_PLAIN, SETTLE = _settle(plain=True), _settle(plain=False)

# First the heads by what is narrow; the bytes only of those whose time has come: thousands of keys may be blocked.
HEADS = f"""
with heads as (
    select distinct on (order_key) event_id, state, next_attempt_at, lease_until, epoch from delivery
    where connection = $1 and topic = $2 and partition = $3 and state in ('parked', 'dead')
        and class not in ('day_open', 'left_out')
    order by order_key, seq
), due as (
    select event_id, next_attempt_at as at from heads
    where state = 'parked' and next_attempt_at <= now() and (lease_until is null or lease_until < now() or epoch = $4)
    order by next_attempt_at limit $5
)
select {ROW} from delivery join due using (event_id) where connection = $1 order by due.at
"""


def plain_outcome(settlements: Sequence[Settlement]) -> list[list[Any]]:
    return [
        [s.event_id for s in settlements], [s.partition.topic for s in settlements],
        [s.partition.number for s in settlements], [s.epoch for s in settlements], [s.remote_id for s in settlements],
        [s.attempts for s in settlements], [_steps_out(s.steps) for s in settlements],
    ]  # fmt: skip


def special_outcome(settlements: Sequence[Settlement]) -> list[list[Any]]:
    return [
        [s.state for s in settlements], [s.class_ for s in settlements], [s.reason for s in settlements],
        [s.document for s in settlements], [s.retry_in or 0.0 for s in settlements],
        [s.maybe_sent for s in settlements], [s.key for s in settlements], [s.value for s in settlements],
        [_headers_out(s.headers) for s in settlements], [s.in_topic for s in settlements],
    ]  # fmt: skip


def plain_columns(entries: Sequence[Entry]) -> list[list[Any]]:
    return [
        [e.event_id for e in entries], [e.kind for e in entries], [e.order_key for e in entries],
        [e.entity_id for e in entries], [e.version for e in entries], [e.location_id for e in entries],
        [e.occurred_at for e in entries], [e.partition.topic for e in entries],
        [e.partition.number for e in entries], [e.offset for e in entries], [e.epoch for e in entries],
        [e.plan_hash for e in entries], [e.config_hash for e in entries], [e.traceparent for e in entries],
    ]  # fmt: skip


def special_columns(entries: Sequence[Entry]) -> list[list[Any]]:
    return [
        [e.state for e in entries], [e.class_ for e in entries], [e.reason for e in entries],
        [e.newest_only for e in entries], [e.document for e in entries], [e.key for e in entries],
        [e.value for e in entries], [_headers_out(e.headers) for e in entries],
    ]  # fmt: skip


def _headers_out(headers: Iterable[tuple[str, bytes | None]]) -> str:
    return exact_json.encode(headers_to_json(headers)).decode() if headers else "[]"


def _steps_out(steps: dict[str, Any]) -> str:
    return exact_json.encode(steps).decode() if steps else "{}"
