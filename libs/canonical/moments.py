"""The three times of an event, and the business day it belongs to."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

# A till whose clock runs further ahead of the vendor's than this is not believed.
CLOCK_TOLERANCE = timedelta(minutes=5)


class TimeError(ValueError):
    """A time without a zone, an unknown zone, or text that is no time."""


def parse_time(text: str) -> datetime:
    """An aware time in UTC from RFC 3339 text; raises TimeError when it has no offset or is no time."""
    try:
        # Vendors send up to nine fractional digits; Python reads any number and keeps six.
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise TimeError(f"not a time: {str(text)[:40]!r}") from None
    if moment.tzinfo is None:
        raise TimeError(f"a time without a zone: {text[:40]!r}")
    return moment.astimezone(UTC)


def zone(name: str) -> ZoneInfo:
    """The IANA zone of that name; raises TimeError when there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise TimeError(f"unknown time zone: {name[:60]!r}") from None


def micros(moment: datetime) -> int:
    """Microseconds since 1970 as an exact integer: a comparable version made of a vendor's time."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def settle(occurred: datetime, recorded: datetime | None) -> tuple[datetime, bool]:
    """The time of occurrence to use, and whether the till's clock is suspect.

    A till clock far ahead of the vendor's own record is not believed: the record decides.
    """
    if recorded is not None and occurred > recorded + CLOCK_TOLERANCE:
        return recorded, True
    return occurred, False


def business_day(occurred: datetime, timezone: ZoneInfo, cut_off: time = time(0)) -> date:
    """The location's day at that moment; before the cut-off (wall clock) it is still the day before."""
    today = occurred.astimezone(timezone).date()
    yesterday = today - timedelta(days=1)
    # Compared as moments: on a night when the clock goes back, a wall time before the cut-off may come after it.
    return yesterday if occurred < day_end(yesterday, timezone, cut_off) else today


def day_end(day: date, timezone: ZoneInfo, cut_off: time = time(0)) -> datetime:
    """When that business day ends, in UTC. Days with a clock change have 23 or 25 hours."""
    return datetime.combine(day + timedelta(days=1), cut_off, timezone).astimezone(UTC)
