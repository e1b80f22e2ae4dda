"""Closed and open business days, and their documents at targets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from libs.runtime.database.pool import Connection as Database
from libs.runtime.database.pool import Pool

_LIMITS = (
    "where ($1::text is null or location_id = $1) and ($2::date is null or business_day = $2) "
    "and ($3::text is null or currency = $3) "
)


async def closed(pool: Pool, location: str | None, day: date | None, currency: str | None) -> list[Any]:
    """Every revision of every closed day; revision 0 is a day without any sale."""
    rows: list[Any] = await pool.fetch(
        "select account, location_id, business_day, currency, revision, event_id, value, sales, refunds, closed_by, "
        f"closed_at from day_close {_LIMITS} order by location_id, business_day, currency, revision",
        location, day, currency,
    )  # fmt: skip
    return rows


async def open_days(pool: Pool, location: str | None, day: date | None, currency: str | None) -> list[Any]:
    """Days with entries that no revision has yet."""
    rows: list[Any] = await pool.fetch(
        "select account, location_id, business_day, currency, sum(sales)::int as sales, sum(refunds)::int as refunds "
        f"from book_entry {_LIMITS} and revision is null "
        "group by account, location_id, business_day, currency order by location_id, business_day, currency",
        location, day, currency,
    )  # fmt: skip
    return rows


async def documents(pool: Pool, event_ids: Sequence[str]) -> list[Any]:
    """What became of the closes at each target."""
    rows: list[Any] = await pool.fetch(
        "select connection, event_id, state, class, reason, document, remote_id from delivery "
        "where event_id = any($1) and kind = 'day.closed' and state <> 'filtered' order by connection",
        list(event_ids),
    )
    return rows


async def locations(pool: Pool | Database) -> list[Any]:
    """Every location that ever sold, by account and currency."""
    rows: list[Any] = await pool.fetch(
        "select account, location_id, currency, first_day from book_location order by location_id, currency"
    )
    return rows


async def request_close(database: Database, account: str, location: str, day: date, currency: str, who: str) -> None:
    """Ask the books to close a day now."""
    await database.execute(
        "insert into day_close_request (account, location_id, business_day, currency, requested_by) "
        "values ($1, $2, $3, $4, $5)",
        account, location, day, currency, who,
    )  # fmt: skip
