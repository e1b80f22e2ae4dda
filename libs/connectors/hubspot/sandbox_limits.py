"""The simulator's rate limits: rolling windows and a daily count, with HubSpot's answers and headers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from libs.connectors.contract.simulator import SimResponse

_MESSAGES = {
    "TEN_SECONDLY_ROLLING": "You have reached your ten_secondly_rolling limit.",
    "SECONDLY": "You have reached your secondly limit.",
    "DAILY": "You have reached your daily limit.",
}


def too_many(policy: str, headers: dict[str, str] | None = None) -> SimResponse:
    """HubSpot's 429: `policyName` tells which limit."""
    body = {
        "status": "error",
        "message": _MESSAGES[policy],
        "errorType": "RATE_LIMIT",
        "correlationId": "00000000-0000-4000-8000-000000000429",
        "policyName": policy,
    }
    return SimResponse(429, body, headers or {})


@dataclass
class Limits:
    """Calls allowed per rolling window, per day, and searches per second; how many were refused."""

    calls: int = 100
    seconds: float = 10.0
    daily: int = 250_000
    searches_per_second: int = 5
    _recent: deque[datetime] = field(default_factory=deque)
    _searches: deque[datetime] = field(default_factory=deque)
    _day: Any = None
    _today: int = 0

    def refuse(self, now: datetime, *, search: bool) -> SimResponse | None:
        """Counts the call; the refusal when it is one too many. Refused calls do not count."""
        if now.date() != self._day:
            self._day, self._today = now.date(), 0
        _forget(self._recent, now - timedelta(seconds=self.seconds))
        _forget(self._searches, now - timedelta(seconds=1))
        if self._today >= self.daily:
            return too_many("DAILY", self.headers())
        if len(self._recent) >= self.calls:
            return too_many("TEN_SECONDLY_ROLLING", self.headers())
        if search and len(self._searches) >= self.searches_per_second:
            return too_many("SECONDLY")
        self._today += 1
        self._recent.append(now)
        if search:
            self._searches.append(now)
        return None

    def headers(self) -> dict[str, str]:
        """The headers of every answer but those of searches."""
        return {
            "x-hubspot-ratelimit-daily": str(self.daily),
            "x-hubspot-ratelimit-daily-remaining": str(max(0, self.daily - self._today)),
            "x-hubspot-ratelimit-interval-milliseconds": str(int(self.seconds * 1000)),
            "x-hubspot-ratelimit-max": str(self.calls),
            "x-hubspot-ratelimit-remaining": str(max(0, self.calls - len(self._recent))),
        }

    def state(self) -> dict[str, Any]:
        """The limits in force."""
        return {
            "calls": self.calls,
            "seconds": self.seconds,
            "daily": self.daily,
            "searches_per_second": self.searches_per_second,
            "used_today": self._today,
        }


def _forget(moments: deque[datetime], before: datetime) -> None:
    while moments and moments[0] <= before:
        moments.popleft()
