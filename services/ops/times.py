"""Moments as operators write them: `2026-11-20`, `2026-11-20T08:00:00+01:00`, or `2h` for two hours ago."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta

from services.ops.speaking import USAGE, Failure

_AGO = re.compile(r"(\d{1,6})(min|h|d)")
_UNITS = {"min": "minutes", "h": "hours", "d": "days"}


def moment_of(text: str | None) -> datetime | None:
    """The moment meant, aware; a day begins at midnight UTC, a time without a zone is UTC."""
    if text is None:
        return None
    ago = _AGO.fullmatch(text.strip())
    try:
        if ago:
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        if len(text.strip()) == 10:
            return datetime.combine(date.fromisoformat(text.strip()), time(0), UTC)
        stated = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise Failure(
            f"{text!r} is no time: write 2026-11-20, 2026-11-20T08:00:00Z, or 2h, 30min, 3d for ago", USAGE
        ) from None
    return stated if stated.tzinfo else stated.replace(tzinfo=UTC)


def day_of(text: str | None) -> date | None:
    """A calendar day."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Failure(f"{text!r} is no day: write it as 2026-11-20", USAGE) from None
