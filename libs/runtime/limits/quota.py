"""What a vendor's answer says, in its headers, of the calls that are left."""

from __future__ import annotations

from collections.abc import Iterable

from libs.connectors.contract.http import Response
from libs.connectors.contract.manifest import Quota

# A header that says to wait longer than this (seconds) is not believed.
_LONGEST = 86_400.0


def pause_asked(response: Response, quotas: Iterable[Quota], *, wall_clock: float) -> float:
    """Seconds for which no call may be made by what the headers say; 0 when calls are left or nothing is said.

    `wall_clock` in seconds since 1970, for vendors that name the moment of the reset.
    """
    return max((_pause(response, quota, wall_clock) for quota in quotas), default=0.0)


def _pause(response: Response, quota: Quota, wall_clock: float) -> float:
    if _left(response.headers.get(quota.header.lower(), ""), used=quota.says == "used/allowed") != 0:
        return 0.0
    reset = _number(response.headers.get(quota.reset.lower(), "")) if quota.reset else None
    if reset is None:
        return quota.otherwise_seconds
    seconds = reset - wall_clock if quota.reset_in == "epoch" else reset
    return min(_LONGEST, max(0.0, seconds / 1000 if quota.reset_in == "milliseconds" else seconds))


def _left(value: str, *, used: bool) -> float | None:
    """How many calls are left, never below 0; None when it is not said."""
    if not used:
        left = _number(value)
    else:
        spent, slash, allowed = value.partition("/")
        of, so_far = _number(allowed), _number(spent)
        left = of - so_far if slash and of is not None and so_far is not None else None
    return None if left is None else max(0.0, float(int(left)))


def _number(text: str) -> float | None:
    try:
        number = float(text.strip())
    except ValueError:
        return None
    return number if abs(number) < 1e12 else None
