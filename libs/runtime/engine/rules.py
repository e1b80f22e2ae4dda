"""Which events are not for a connection at all, by rules that an operator can read."""

from __future__ import annotations

from datetime import date, datetime

from libs.canonical.event import AnyEvent
from libs.runtime.configuration.model import Connection


class Rules:
    """A connection's filter. `started_at`: when it was first seen, which is what `start: now` means."""

    def __init__(self, connection: Connection, started_at: datetime) -> None:
        facts = connection.connector.manifest.target
        assert facts is not None
        self._taken = frozenset(facts.kinds)
        self._chosen = frozenset(connection.kinds) if connection.kinds else None
        self._locations = frozenset(connection.locations) if connection.locations is not None else None
        self._accounts = frozenset(connection.accounts) if connection.accounts is not None else None
        self._start = connection.start
        self.started_at = started_at

    def against(self, event: AnyEvent) -> str | None:
        """The rule that keeps the event out, or None."""
        if event.kind not in self._taken:
            return f"kind {event.kind} is not taken by this target"
        if self._chosen is not None and event.kind not in self._chosen:
            return f"kind {event.kind} is not among the configured kinds"
        if self._accounts is not None and str(event.account) not in self._accounts:
            return f"account {event.account} is not among the configured accounts"
        if self._locations is not None and event.location_id is not None and event.location_id not in self._locations:
            return f"location {event.location_id} is not among the configured locations"
        if self._before_start(event):
            return f"before the start point ({self._start})"
        return None

    def _before_start(self, event: AnyEvent) -> bool:
        if self._start == "beginning":
            return False
        if self._start == "now":
            return event.occurred_at < self.started_at
        assert isinstance(self._start, date)
        day: date = getattr(event.data, "business_day", None) or event.occurred_at.date()
        return day < self._start
