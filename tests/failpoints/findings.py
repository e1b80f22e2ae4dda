"""What is wrong at the end, counted: nothing, if the promise holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Findings:
    """Effects missing, effects too many, effects in another order than told; `notes` say which (the first ones)."""

    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0
    mismatch: int = 0
    notes: list[str] = field(default_factory=list)

    def once(self, what: str, times: int, expected: int = 1) -> None:
        """Something that must have happened exactly that often."""
        self.lost += max(0, expected - times)
        self.doubled += max(0, times - expected)
        if times != expected:
            self._note(f"{what}: {times} instead of {expected}")

    def in_order(self, what: str, held: bool) -> None:
        """Something that holds only when the events of a key had their effects in order."""
        if not held:
            self.out_of_order += 1
            self._note(f"{what}: out of order")

    def same(self, what: str, found: Any, expected: Any) -> None:
        """A figure that must be this one, to the cent."""
        if found != expected:
            self.mismatch += 1
            self._note(f"{what}: {found} instead of {expected}")

    def _note(self, text: str) -> None:
        if len(self.notes) < 20:
            self.notes.append(text)

    @property
    def none(self) -> bool:
        """Whether all is well."""
        return not (self.lost or self.doubled or self.out_of_order or self.mismatch)
