"""The clock by which business days close. It is the real one unless it was set (a rehearsal, a demonstration)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from libs.runtime.database.pool import Connection, Pool


async def business_now(database: Pool | Connection) -> datetime:
    """The business time now. A set clock goes on from where it was set, `speed` times as fast (0: it stands)."""
    row = await database.fetchrow("select business_at, real_at, speed from business_clock")
    now = datetime.now(UTC)
    if row is None:
        return now
    passed = (now - row["real_at"]).total_seconds() * row["speed"]
    set_to: datetime = row["business_at"]
    return set_to + timedelta(seconds=passed)


async def set_business_clock(database: Pool | Connection, at: datetime, speed: float) -> None:
    """Set the clock to that time; from now on it goes `speed` times as fast as the real one."""
    await database.execute(
        "insert into business_clock (business_at, real_at, speed) values ($1, now(), $2) "
        "on conflict (only_one) do update set business_at = $1, real_at = now(), speed = $2",
        at, speed,
    )  # fmt: skip
