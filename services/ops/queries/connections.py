"""How connections stand: circuit, pauses, repeats, feeds, spool."""

from __future__ import annotations

from typing import Any

from libs.runtime.database.pool import Pool


async def states(pool: Pool) -> dict[str, Any]:
    """The row of every connection that ever ran or was paused."""
    return {row["connection"]: row for row in await pool.fetch("select * from connection_state")}


async def repeats(pool: Pool) -> dict[str, int]:
    """Records of events and notifications seen before, by connection; they are in no identity."""
    rows = await pool.fetch(
        "select connection, sum(n)::bigint as n from delivery_tally where outcome = 'repeat' group by connection "
        "union all select connection, repeats from notification_repeat"
    )
    return {row["connection"]: row["n"] for row in rows}


async def feeds(pool: Pool) -> list[Any]:
    """What is polled: how far, and what went wrong last."""
    rows: list[Any] = await pool.fetch(
        "select connection, feed, watermark, last_success_at, last_error from feed_cursor order by connection, feed"
    )
    return rows


async def fetches(pool: Pool) -> dict[str, Any]:
    """Objects still to be read from vendors: how many, since when, and the last complaint."""
    rows = await pool.fetch(
        "select connection, count(*) as n, min(received_at) as oldest, max(last_error) as last_error "
        "from fetch_work group by connection"
    )
    return {row["connection"]: row for row in rows}


async def spool(pool: Pool) -> dict[str, int]:
    """Records that wait in PostgreSQL for Kafka, by topic."""
    rows = await pool.fetch("select topic, count(*) as n from spool group by topic")
    return {row["topic"]: row["n"] for row in rows}


async def pause(pool: Pool, connection: str, by: str, reason: str) -> bool:
    """Pause; False when it was paused already (then nothing changes)."""
    done = await pool.fetchval(
        "insert into connection_state (connection, paused_by, paused_reason, paused_at) values ($1, $2, $3, now()) "
        "on conflict (connection) do update set paused_by = $2, paused_reason = $3, paused_at = now() "
        "where connection_state.paused_by is null returning true",
        connection, by, reason,
    )  # fmt: skip
    return bool(done)


async def resume(pool: Pool, connection: str) -> bool:
    """Resume; False when it was not paused."""
    done = await pool.fetchval(
        "update connection_state set paused_by = null, paused_reason = null, paused_at = null "
        "where connection = $1 and paused_by is not null returning true",
        connection,
    )
    return bool(done)
