"""A flood of dead letters is not poison but a fault of ours or of the configuration: stop, and ask a person."""

from __future__ import annotations

from dataclasses import dataclass, field

# Distinct keys refused in a row, once something has ever succeeded, and before anything has.
IN_A_ROW = 10
BEFORE_FIRST_SUCCESS = 3


@dataclass
class Brake:
    """Counts in events, not minutes, so that it works for a small shop and for a chain."""

    _in_a_row: set[str] = field(default_factory=set)
    _ever_succeeded: bool = False

    def success(self) -> None:
        """An event was delivered."""
        self._ever_succeeded = True
        self._in_a_row.clear()

    def allows(self, key: str) -> bool:
        """Whether this key's event may become a dead letter; False: pause instead."""
        self._in_a_row.add(key)
        bound = IN_A_ROW if self._ever_succeeded else BEFORE_FIRST_SUCCESS
        return len(self._in_a_row) < bound

    def reset(self) -> None:
        """An operator looked and said go on."""
        self._in_a_row.clear()
        self._ever_succeeded = True
