"""The delivery ledger: one row per connection and event, written in batches, fenced by the partition's epoch.

Every statement that changes a row checks, in the same transaction and under a share lock, that this process still
owns the partition from which the row came. A process that lost the partition changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from libs.connectors.contract.target import Ref
from libs.runtime import exact_json
from libs.runtime.database.pool import Connection as Database
from libs.runtime.database.pool import Pool
from libs.runtime.kafka.records import Partition
from libs.runtime.kafka.stored_headers import headers_from_json, headers_to_json


class Fenced(Exception):
    """Another process owns the partition now: whatever was under way here is dropped, and done there."""


# Why an event is set aside without holding up its key: it waits for a document, not for a repair.
WAITS_FOR_DOCUMENT = ("day_open", "left_out")

SETTLED = frozenset(("delivered", "superseded", "filtered", "shadowed", "discarded"))


@dataclass(eq=False, slots=True)
class Entry:
    """An event as it is first written. `state` is claimed, or at once filtered, shadowed, parked or dead."""

    event_id: str
    kind: str
    order_key: str
    entity_id: str
    version: int
    location_id: str | None
    occurred_at: datetime
    partition: Partition
    offset: int
    epoch: int
    state: str = "claimed"
    class_: str | None = None
    reason: str | None = None
    newest_only: bool = False
    plan_hash: str | None = None
    config_hash: str | None = None
    document: str | None = None
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    traceparent: str | None = None

    @property
    def plain(self) -> bool:
        """A claim of a fact, of which nothing else is to be said."""
        return self.state == "claimed" and not self.newest_only and self.document is None


@dataclass(frozen=True)
class Row:
    """A delivery as the ledger has it. `interrupted`: a write may have been sent whose outcome nobody saw."""

    event_id: str
    state: str
    class_: str | None
    order_key: str
    partition: Partition
    epoch: int
    attempts: int
    generation: int
    steps: dict[str, Any]
    plan_hash: str | None
    sent_at: datetime | None
    first_seen: datetime
    lease_until: datetime | None
    in_topic: bool
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    traceparent: str | None = None

    @property
    def interrupted(self) -> bool:
        """Whether a call may have had an effect that is not recorded."""
        return self.sent_at is not None and self.state not in SETTLED


@dataclass(slots=True)
class Claim:
    """The answer to writing an entry. `fresh`: it was written now; else `row` is what was there before.

    `held_until`: somebody's claim is still alive; ask again after that moment.
    """

    fresh: bool
    state: str
    row: Row | None = None
    held_until: datetime | None = None


@dataclass(eq=False, slots=True)
class Settlement:
    """What became of an event after work on it."""

    event_id: str
    partition: Partition
    epoch: int
    state: str
    class_: str | None = None
    reason: str | None = None
    remote_id: str | None = None
    document: str | None = None
    settles: tuple[str, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)
    attempts: int = 0
    retry_in: float | None = None  # seconds
    maybe_sent: bool = False
    in_topic: bool = False
    steps: dict[str, Any] = field(default_factory=dict)
    provides: dict[Ref, str] = field(default_factory=dict)
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()

    @property
    def plain(self) -> bool:
        """Delivered, and nothing else is to be said."""
        return self.state == "delivered" and self.document is None


def _plain_outcome(settlements: Sequence[Settlement]) -> list[list[Any]]:
    return [
        [s.event_id for s in settlements], [s.partition.topic for s in settlements],
        [s.partition.number for s in settlements], [s.epoch for s in settlements], [s.remote_id for s in settlements],
        [s.attempts for s in settlements], [_steps_out(s.steps) for s in settlements],
    ]  # fmt: skip


def _special_outcome(settlements: Sequence[Settlement]) -> list[list[Any]]:
    return [
        [s.state for s in settlements], [s.class_ for s in settlements], [s.reason for s in settlements],
        [s.document for s in settlements], [s.retry_in or 0.0 for s in settlements],
        [s.maybe_sent for s in settlements], [s.key for s in settlements], [s.value for s in settlements],
        [_headers_out(s.headers) for s in settlements], [s.in_topic for s in settlements],
    ]  # fmt: skip


def _plain_columns(entries: Sequence[Entry]) -> list[list[Any]]:
    return [
        [e.event_id for e in entries], [e.kind for e in entries], [e.order_key for e in entries],
        [e.entity_id for e in entries], [e.version for e in entries], [e.location_id for e in entries],
        [e.occurred_at for e in entries], [e.partition.topic for e in entries],
        [e.partition.number for e in entries], [e.offset for e in entries], [e.epoch for e in entries],
        [e.plan_hash for e in entries], [e.config_hash for e in entries], [e.traceparent for e in entries],
    ]  # fmt: skip


def _special_columns(entries: Sequence[Entry]) -> list[list[Any]]:
    return [
        [e.state for e in entries], [e.class_ for e in entries], [e.reason for e in entries],
        [e.newest_only for e in entries], [e.document for e in entries], [e.key for e in entries],
        [e.value for e in entries], [_headers_out(e.headers) for e in entries],
    ]  # fmt: skip


def _headers_out(headers: Iterable[tuple[str, bytes | None]]) -> str:
    return exact_json.encode(headers_to_json(headers)).decode() if headers else "[]"


def _steps_out(steps: dict[str, Any]) -> str:
    return exact_json.encode(steps).decode() if steps else "{}"


_ROW = (
    "event_id, state, class, order_key, topic, partition, epoch, attempts, generation, steps, plan_hash, sent_at, "
    "first_seen, lease_until, in_topic, key, value, headers, traceparent"
)


def _row(record: Any) -> Row:
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


_INSERT_PLAIN, _INSERT = _insert(plain=True), _insert(plain=False)

_TAKE_OVER = f"""
with owned as (
    select topic, partition, epoch from partition_owner where connection = $1 for share
)
update delivery d set epoch = i.epoch, lease_until = now() + make_interval(secs => $4)
from unnest($2::text[], $3::bigint[]) as i(event_id, epoch), owned o
where d.connection = $1 and d.event_id = i.event_id and d.state = 'claimed'
    and o.topic = d.topic and o.partition = d.partition and o.epoch = i.epoch
    and (d.epoch = i.epoch or d.lease_until is null or d.lease_until < now())
returning {", ".join("d." + name for name in _ROW.split(", "))}
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


_SETTLE_PLAIN, _SETTLE = _settle(plain=True), _settle(plain=False)

# First the heads by what is narrow; the bytes only of those whose time has come: thousands of keys may be blocked.
_HEADS = f"""
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
select {_ROW} from delivery join due using (event_id) where connection = $1 order by due.at
"""


_nothing = nullcontext  # what one statement needs for a transaction


class Ledger:
    """The rows of one connection. `lease`: seconds for which a claim is respected after its owner went silent."""

    def __init__(self, pool: Pool, connection: str, *, lease: float) -> None:
        self._pool, self._connection, self._lease = pool, connection, lease

    # Ownership --------------------------------------------------------------------------------------------------

    async def own(self, partition: Partition, owner: str) -> int:
        """Become the owner of a partition: its next epoch. From now on every older owner is fenced."""
        epoch = await self._pool.fetchval(
            "insert into partition_owner (connection, topic, partition, epoch, owner) values ($1, $2, $3, 1, $4) "
            "on conflict (connection, topic, partition) do update set epoch = partition_owner.epoch + 1, "
            "owner = $4, since = now() returning epoch",
            self._connection, partition.topic, partition.number, owner,
        )  # fmt: skip
        return int(epoch)

    async def release(self, partition: Partition, epoch: int, untouched: Sequence[str] = ()) -> None:
        """Give back the claims of an epoch whose work has been stopped: nobody need wait for their leases to end.

        They stay claims with an open outcome, which whoever takes them over resolves; but for the `untouched` events
        it is certain that nothing was sent.
        """
        await self._pool.execute(
            "update delivery set lease_until = now(), "
            "sent_at = case when event_id = any($5) then null else sent_at end "
            "where connection = $1 and state in ('claimed', 'parked') "
            "and topic = $2 and partition = $3 and epoch = $4 and lease_until > now()",
            self._connection, partition.topic, partition.number, epoch, list(untouched),
        )  # fmt: skip

    async def locked_keys(self, partition: Partition) -> set[str]:
        """Order keys that wait behind something parked or dead."""
        rows = await self._pool.fetch(
            "select distinct order_key from delivery where connection = $1 and topic = $2 and partition = $3 "
            "and state in ('parked', 'dead') and class not in ('day_open', 'left_out')",
            self._connection, partition.topic, partition.number,
        )  # fmt: skip
        return {row["order_key"] for row in rows}

    async def still_locked(self, partition: Partition, order_key: str) -> bool:
        """Whether anything of this key is still set aside."""
        found = await self._pool.fetchval(
            "select exists (select 1 from delivery where connection = $1 and topic = $2 and partition = $3 "
            "and order_key = $4 and state in ('parked', 'dead') and class not in ('day_open', 'left_out'))",
            self._connection, partition.topic, partition.number, order_key,
        )  # fmt: skip
        return bool(found)

    async def head(self, partition: Partition, order_key: str, epoch: int) -> Row | None:
        """The first of a key that is set aside, if its time has come."""
        row = await self._pool.fetchrow(
            f"select {_ROW}, next_attempt_at <= now() as due from delivery where connection = $1 and topic = $2 "
            "and partition = $3 and order_key = $4 and state in ('parked', 'dead') "
            "and class not in ('day_open', 'left_out') order by seq limit 1",
            self._connection, partition.topic, partition.number, order_key,
        )  # fmt: skip
        return _row(row) if row is not None and row["state"] == "parked" and row["due"] else None

    async def due(self, partition: Partition, epoch: int, limit: int) -> list[Row]:
        """Heads of locked keys whose time has come."""
        rows = await self._pool.fetch(_HEADS, self._connection, partition.topic, partition.number, epoch, limit)
        return [_row(row) for row in rows]

    # Events -----------------------------------------------------------------------------------------------------

    async def write(self, entries: Sequence[Entry]) -> list[Claim | Fenced]:
        """Write entries that are new; take over claims whose owner is gone; report what else was there."""
        first: dict[str, Entry] = {}
        for entry in entries:
            first.setdefault(entry.event_id, entry)
        unique = list(first.values())
        taken: dict[str, Row] = {}
        there: dict[str, Row] = {}
        async with self._pool.acquire() as database:
            # One statement, and so a transaction by itself: new events are the rule, known ones the exception.
            written = await self._insert(database, unique)
            if len(written) < len(unique):
                known = [entry for entry in unique if entry.event_id not in written]
                async with database.transaction():
                    taken = await self._take_over(database, known)
                    rest = [entry.event_id for entry in known if entry.event_id not in taken]
                    there = await self._read(database, rest)
        answers: list[Claim | Fenced] = []
        for entry in entries:
            if first[entry.event_id] is entry and entry.event_id in written:
                answers.append(Claim(True, written[entry.event_id]))
            elif entry.event_id in written:
                answers.append(Claim(False, written[entry.event_id]))  # a repeat inside this very batch
            elif entry.event_id in taken:
                answers.append(Claim(False, "claimed", taken[entry.event_id]))
            elif (row := there.get(entry.event_id)) is not None:
                answers.append(Claim(False, row.state, row, row.lease_until if row.state == "claimed" else None))
            else:
                answers.append(Fenced(f"epoch {entry.epoch} of {entry.partition} is over"))
        return answers

    async def _insert(self, database: Database, entries: Sequence[Entry]) -> dict[str, str]:
        written: dict[str, str] = {}
        for plain in (True, False):
            some = [entry for entry in entries if entry.plain is plain]
            if some:
                columns = _plain_columns(some) if plain else [*_plain_columns(some), *_special_columns(some)]
                statement = _INSERT_PLAIN if plain else _INSERT
                rows = await database.fetch(statement, self._connection, self._lease, *columns)
                written.update((row["event_id"], row["state"]) for row in rows)
        return written

    async def _take_over(self, database: Database, entries: Sequence[Entry]) -> dict[str, Row]:
        if not entries:
            return {}
        ids, epochs = [e.event_id for e in entries], [e.epoch for e in entries]
        rows = await database.fetch(_TAKE_OVER, self._connection, ids, epochs, self._lease)
        return {row["event_id"]: _row(row) for row in rows}

    async def _read(self, database: Database, ids: Sequence[str]) -> dict[str, Row]:
        if not ids:
            return {}
        rows = await database.fetch(
            f"select {_ROW} from delivery where connection = $1 and event_id = any($2)", self._connection, list(ids)
        )
        return {row["event_id"]: _row(row) for row in rows}

    async def take_up(self, row: Row, epoch: int) -> Row | None:
        """Lease a parked row for another try: the row as it is now; None when it moved on meanwhile. Raises Fenced."""
        async with self._pool.acquire() as database, database.transaction():
            await self._check_owner(database, row.partition, epoch)
            taken = await database.fetchrow(
                "update delivery set epoch = $3, lease_until = now() + make_interval(secs => $4) "
                "where connection = $1 and event_id = $2 and state = 'parked' "
                f"and (lease_until is null or lease_until < now() or epoch = $3) returning {_ROW}",
                self._connection, row.event_id, epoch, self._lease,
            )  # fmt: skip
        return None if taken is None else _row(taken)

    async def mark_sending(self, row: Row, epoch: int, plan_hash: str) -> None:
        """Before a parked row's first write is sent again: from here on its outcome may be unknown. Raises Fenced."""
        async with self._pool.acquire() as database, database.transaction():
            await self._check_owner(database, row.partition, epoch)
            await database.execute(
                "update delivery set sent_at = coalesce(sent_at, now()), plan_hash = $3, "
                "lease_until = now() + make_interval(secs => $4) where connection = $1 and event_id = $2",
                self._connection, row.event_id, plan_hash, self._lease,
            )  # fmt: skip

    async def save_step(
        self, event_id: str, partition: Partition, epoch: int, steps: dict[str, Any], provides: dict[Ref, str]
    ) -> None:
        """A step is done and others follow: a crash resumes after it. Renews the lease. Raises Fenced."""
        async with self._pool.acquire() as database, database.transaction():
            await self._check_owner(database, partition, epoch)
            await database.execute(
                "update delivery set steps = $3, lease_until = now() + make_interval(secs => $4) "
                "where connection = $1 and event_id = $2",
                self._connection, event_id, steps, self._lease,
            )  # fmt: skip
            await self._keep_remote(database, provides)

    async def renew(self, event_id: str, partition: Partition, epoch: int) -> None:
        """Hold a claim for another lease. Raises Fenced when it is ours no more."""
        async with self._pool.acquire() as database, database.transaction():
            await self._check_owner(database, partition, epoch)
            ours = await database.fetchval(
                "update delivery set lease_until = now() + make_interval(secs => $4) where connection = $1 "
                "and event_id = $2 and epoch = $3 and state in ('claimed', 'parked') returning true",
                self._connection, event_id, epoch, self._lease,
            )  # fmt: skip
        if not ours:
            raise Fenced(f"{event_id} is in other hands")

    async def _check_owner(self, database: Database, partition: Partition, epoch: int) -> None:
        current = await database.fetchval(
            "select epoch from partition_owner where connection = $1 and topic = $2 and partition = $3 for share",
            self._connection, partition.topic, partition.number,
        )  # fmt: skip
        if current != epoch:
            raise Fenced(f"epoch {epoch} of {partition} is over")

    async def settle(self, settlements: Sequence[Settlement]) -> list[Fenced | None]:
        """Write what became of events; with a document, of its members too, in the same transaction."""
        alone = all(s.plain and not s.provides for s in settlements)
        async with self._pool.acquire() as database, _nothing() if alone else database.transaction():
            rows = []
            for plain in (True, False):
                some = [settlement for settlement in settlements if settlement.plain is plain]
                if some:
                    columns = _plain_outcome(some) if plain else [*_plain_outcome(some), *_special_outcome(some)]
                    rows += await database.fetch(_SETTLE_PLAIN if plain else _SETTLE, self._connection, *columns)
            written = {row["event_id"] for row in rows}
            provides: dict[Ref, str] = {}
            for settlement in settlements:
                if settlement.event_id not in written:
                    continue
                provides |= settlement.provides
                if settlement.state == "delivered" and settlement.document:
                    await self._settle_members(database, settlement)
            await self._keep_remote(database, provides)
        return [None if s.event_id in written else Fenced(f"{s.partition} moved on") for s in settlements]

    async def _settle_members(self, database: Database, settlement: Settlement) -> None:
        await database.execute(
            "update delivery set state = 'delivered', class = null, reason = null, settled_at = now(), "
            "remote_id = $3, document = $4, key = null, value = null, headers = null "
            "where connection = $1 and event_id = any($2) and state = 'parked' and class in ('day_open', 'left_out')",
            self._connection, list(settlement.settles), settlement.remote_id, settlement.document,
        )  # fmt: skip
        if settlement.left_out:
            await database.execute(
                "update delivery d set class = 'left_out', reason = i.reason "
                "from unnest($2::text[], $3::text[]) as i(event_id, reason) "
                "where d.connection = $1 and d.event_id = i.event_id and d.state = 'parked'",
                self._connection, list(settlement.left_out), list(settlement.left_out.values()),
            )  # fmt: skip

    async def _keep_remote(self, database: Database, provides: dict[Ref, str]) -> None:
        if provides:
            provides = dict(sorted(provides.items()))  # in one order everywhere, or two batches wait for each other
            await database.execute(
                "insert into remote_object (connection, ref_kind, ref_key, remote_id) "
                "select $1, * from unnest($2::text[], $3::text[], $4::text[]) "
                "on conflict (connection, ref_kind, ref_key) do update set remote_id = excluded.remote_id, at = now()",
                self._connection, [r.kind for r in provides], [r.key for r in provides], list(provides.values()),
            )  # fmt: skip

    # Questions --------------------------------------------------------------------------------------------------

    async def supersede_older(self, partition: Partition, epoch: int, order_key: str, version: int) -> bool:
        """A newer state came: what waits of older ones is superseded. True when nothing holds the key any more."""
        async with self._pool.acquire() as database, database.transaction():
            await self._check_owner(database, partition, epoch)
            await database.execute(
                "update delivery set state = 'superseded', class = null, reason = 'a newer version came', "
                "settled_at = now(), key = null, value = null, headers = null "
                "where connection = $1 and topic = $2 and partition = $3 and order_key = $4 "
                "and state in ('parked', 'dead') and version < $5",
                self._connection, partition.topic, partition.number, order_key, version,
            )  # fmt: skip
        return not await self.still_locked(partition, order_key)

    async def delivered_before(self, order_key: str, kinds: Sequence[str]) -> bool:
        """Whether an event of one of these kinds was delivered for the key."""
        found = await self._pool.fetchval(
            "select exists (select 1 from delivery where connection = $1 and order_key = $2 and kind = any($3) "
            "and state in ('delivered', 'shadowed'))",
            self._connection, order_key, list(kinds),
        )  # fmt: skip
        return bool(found)

    async def newer_delivered(self, order_key: str, version: int) -> bool:
        """Whether a newer state of the key was delivered."""
        found = await self._pool.fetchval(
            "select exists (select 1 from delivery where connection = $1 and order_key = $2 and version > $3 "
            "and state in ('delivered', 'shadowed'))",
            self._connection, order_key, version,
        )  # fmt: skip
        return bool(found)

    async def unseen(self, event_ids: Sequence[str]) -> int:
        """How many of these events have no row yet."""
        seen = await self._pool.fetchval(
            "select count(*) from delivery where connection = $1 and event_id = any($2)",
            self._connection, list(event_ids),
        )  # fmt: skip
        return len(set(event_ids)) - int(seen)

    async def remote_ids(self, refs: Sequence[Ref]) -> dict[Ref, str]:
        """Remote ids that are known."""
        rows = await self._pool.fetch(
            "select r.ref_kind, r.ref_key, r.remote_id from remote_object r "
            "join unnest($2::text[], $3::text[]) as i(kind, key) on i.kind = r.ref_kind and i.key = r.ref_key "
            "where r.connection = $1",
            self._connection, [ref.kind for ref in refs], [ref.key for ref in refs],
        )  # fmt: skip
        return {Ref(row["ref_kind"], row["ref_key"]): row["remote_id"] for row in rows}

    async def count_repeat(self, repeats: Sequence[Partition]) -> None:
        """Count records of events that were seen before; they are no term of the identity."""
        counts: dict[Partition, int] = {}
        for partition in repeats:
            counts[partition] = counts.get(partition, 0) + 1
        await self._pool.executemany(
            "insert into delivery_tally (connection, topic, partition, outcome, n) values ($1, $2, $3, 'repeat', $4) "
            "on conflict (connection, topic, partition, outcome) do update set n = delivery_tally.n + excluded.n",
            [(self._connection, p.topic, p.number, n) for p, n in counts.items()],
        )
