"""Dead letters whose row is missing, put back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from libs.runtime.database.pool import Connection as Database
from libs.runtime.database.pool import Pool
from libs.runtime.kafka.letter_rows import INSERT_LETTER

_DELIVERY_COLUMNS = (
    "connection", "event_id", "kind", "order_key", "entity_id", "version", "location_id", "occurred_at", "topic",
    "partition", "position", "class", "reason", "attempts", "key", "value", "headers", "traceparent", "first_seen",
    "sent_at", "dead_at",
)  # fmt: skip


async def deliveries_there(pool: Pool, connection: str, ids: Sequence[str]) -> set[str]:
    """Those of the events that have a row, in whatever state."""
    rows = await pool.fetch(
        "select event_id from delivery where connection = $1 and event_id = any($2)", connection, list(ids)
    )
    return {row["event_id"] for row in rows}


async def letters_there(pool: Pool, ids: Sequence[str]) -> set[str]:
    """Those of the letters of intake and transform that have a row, in whatever state."""
    return {row["id"] for row in await pool.fetch("select id from dead_letter where id = any($1)", list(ids))}


async def hold_owners(database: Database, connection: str) -> None:
    """Until the end of this transaction no process becomes owner: it would read which keys are locked too early."""
    await database.execute("select 1 from partition_owner where connection = $1 for update", connection)


async def restore_delivery(database: Database, row: dict[str, Any]) -> bool:
    """Put a dead delivery back; False when there is a row, which stays as it is."""
    names = ", ".join(_DELIVERY_COLUMNS)
    marks = ", ".join(f"${number}" for number in range(1, len(_DELIVERY_COLUMNS) + 1))
    done = await database.fetchval(
        f"insert into delivery ({names}, state, epoch, in_topic) values ({marks}, 'dead', 0, true) "
        "on conflict (connection, event_id) do nothing returning true",
        *(row[name] for name in _DELIVERY_COLUMNS),
    )
    return bool(done)


async def restore_letter(database: Database, row: Sequence[Any]) -> bool:
    """Put a letter of intake or transform back; False when there is a row, which stays as it is."""
    return bool(await database.fetchval(f"{INSERT_LETTER} on conflict (id) do nothing returning true", *row))
