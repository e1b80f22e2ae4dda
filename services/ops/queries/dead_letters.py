"""Dead letters of all stages as one list, and what operators do to them.

Those of deliveries are rows of the ledger with state `dead`; those of intake and transform have a table of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from libs.runtime.database.pool import Connection as Database
from libs.runtime.database.pool import Pool


@dataclass(frozen=True)
class Choice:
    """Which dead letters are meant; what is None does not matter. `reason` is a part of its text."""

    id: str | None = None
    connection: str | None = None
    class_: str | None = None
    reason: str | None = None
    entity: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def everything(self) -> bool:
        """Whether nothing limits the choice."""
        return self == Choice()


_ALL = """
select 'delivery' as stage, connection, event_id as id, kind, order_key as entity, coalesce(class, '?') as class,
    coalesce(reason, '') as reason, attempts, coalesce(dead_at, first_seen) as at, entity_id, location_id, topic,
    value is not null as has_bytes
from delivery where state = 'dead'
union all
select stage, connection, id, coalesce(stage, '') as kind, coalesce(entity, '') as entity, class, reason, 1, at,
    coalesce(entity, ''), null, topic, value is not null
from dead_letter where state = 'open'
"""

_CHOSEN = f"""
select * from ({_ALL}) l where ($1::text is null or id = $1) and ($2::text is null or connection = $2)
    and ($3::text is null or class = $3) and ($4::text is null or position(lower($4) in lower(reason)) > 0)
    and ($5::text is null or entity = $5 or entity_id = $5 or right(entity, length($5) + 1) = ':' || $5)
    and ($6::timestamptz is null or at >= $6) and ($7::timestamptz is null or at < $7)
"""


def _arguments(choice: Choice) -> tuple[Any, ...]:
    return (
        choice.id, choice.connection, choice.class_, choice.reason, choice.entity, choice.since, choice.until,
    )  # fmt: skip


async def groups(pool: Pool, choice: Choice) -> list[Any]:
    """Counted by connection, stage, class and exact reason."""
    rows: list[Any] = await pool.fetch(
        "select connection, stage, class, reason, count(*) as n, min(at) as first, max(at) as last, "
        f"(array_agg(id order by at desc))[1] as example from ({_CHOSEN}) c group by 1, 2, 3, 4",
        *_arguments(choice),
    )
    return rows


async def chosen(pool: Pool, choice: Choice, limit: int | None = None) -> list[Any]:
    """The chosen dead letters, oldest first."""
    rows: list[Any] = await pool.fetch(
        f"select * from ({_CHOSEN}) c order by at, id limit $8", *_arguments(choice), limit
    )
    return rows


async def delivery(pool: Pool | Database, connection: str, event_id: str) -> Any:
    """One dead delivery with its bytes, or None."""
    return await pool.fetchrow(
        "select * from delivery where connection = $1 and event_id = $2 and state = 'dead'", connection, event_id
    )


async def reading(pool: Pool | Database, letter_id: str) -> Any:
    """One open dead letter of intake or transform with its bytes, or None."""
    return await pool.fetchrow("select * from dead_letter where id = $1 and state = 'open'", letter_id)


async def replay_deliveries(database: Database, connection: str, ids: Sequence[str], rate: float) -> int:
    """Hand dead deliveries back to their engine, `rate` a second; how many. Those without bytes stay as they are.

    A known failure gets the next generation: the vendor would answer the old key with the old refusal. After an
    unknown outcome (`sent_at`) the key stays, so that it is looked up first.
    """
    count = await database.fetchval(
        "with handed as (update delivery d set state = 'parked', class = 'replay', attempts = 0, dead_at = null, "
        " next_attempt_at = now() + make_interval(secs => (i.number - 1) / $3::float8), "
        " generation = generation + (case when sent_at is null then 1 else 0 end) "
        " from unnest($2::text[]) with ordinality as i(event_id, number) "
        " where d.connection = $1 and d.event_id = i.event_id and d.state = 'dead' and d.value is not null "
        " returning 1) select count(*) from handed",
        connection, list(ids), rate,
    )  # fmt: skip
    return int(count)


async def discard_deliveries(database: Database, connection: str, ids: Sequence[str], reason: str) -> int:
    """Give dead deliveries up for good; their bytes go with them. How many."""
    count = await database.fetchval(
        "with gone as (update delivery set state = 'discarded', settled_at = now(), class = null, reason = $3, "
        "key = null, value = null, headers = null where connection = $1 and event_id = any($2) and state = 'dead' "
        "returning 1) select count(*) from gone",
        connection, list(ids), reason,
    )  # fmt: skip
    return int(count)


async def edit_delivery(database: Database, connection: str, event_id: str, value: bytes) -> bool:
    """Give a dead delivery another value under the same event id."""
    done = await database.fetchval(
        "update delivery set value = $3, generation = generation + (case when sent_at is null then 1 else 0 end) "
        "where connection = $1 and event_id = $2 and state = 'dead' returning true",
        connection, event_id, value,
    )  # fmt: skip
    return bool(done)


async def edit_reading(database: Database, letter_id: str, value: bytes) -> bool:
    """Give a dead letter of intake or transform another value."""
    done = await database.fetchval(
        "update dead_letter set value = $2 where id = $1 and state = 'open' returning true", letter_id, value
    )
    return bool(done)


async def settle_reading(database: Database, letter_id: str, state: str, by: str) -> bool:
    """Note that a dead letter of intake or transform was replayed or discarded; False when somebody was faster."""
    keep = "" if state == "replayed" else ", key = null, value = null"
    done = await database.fetchval(
        f"update dead_letter set state = $2, settled_at = now(), settled_by = $3{keep} "
        "where id = $1 and state = 'open' returning true",
        letter_id, state, by,
    )  # fmt: skip
    return bool(done)


async def fetch_again(
    database: Database, connection: str, account: str, root: tuple[str, str], type_: str, name: str
) -> None:
    """Have an object read from its vendor once more. `name` keeps the snapshot apart from earlier ones."""
    await database.execute(
        "insert into fetch_work (connection, root_kind, root_id, variant, account_id, type, via, have, delivery_ids, "
        "received_at) values ($1, $2, $3, '', $4, $5, 'backfill', '{}', array[$6], now()) "
        "on conflict (connection, root_kind, root_id, variant) do update set next_attempt_at = now(), attempts = 0",
        connection, *root, account, type_, name,
    )  # fmt: skip
