"""Requests to read a span of a vendor's past."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from libs.runtime.database.pool import Connection as Database
from libs.runtime.database.pool import Pool


async def request(
    database: Database, connection: str, feeds: Sequence[str], begin: datetime, end: datetime, who: str
) -> int:
    """Ask for it; gives the request's number."""
    number = await database.fetchval(
        "insert into backfill_request (connection, feeds, begin_at, end_at, requested_by) values ($1, $2, $3, $4, $5) "
        "returning id",
        connection, list(feeds), begin, end, who,
    )  # fmt: skip
    return int(number)


async def one(pool: Pool, number: int) -> Any:
    """How a request stands."""
    return await pool.fetchrow("select * from backfill_request where id = $1", number)
