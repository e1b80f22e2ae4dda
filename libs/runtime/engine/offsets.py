"""Which records of a partition are finished, and up to where all of them are."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class OffsetTracker:
    """Contiguous progress in one partition: the commit never passes an unfinished record."""

    next_offset: int | None = None  # to be committed: everything before it is finished
    _open: dict[int, tuple[int, int]] = field(default_factory=dict)  # offset -> bytes, timestamp; in order of arrival
    _highest: int = -1
    bytes_open: int = 0

    def admit(self, offset: int, size: int, timestamp_ms: int = 0) -> None:
        """A record was taken in hand."""
        if self.next_offset is None:
            self.next_offset = offset
        self._open[offset] = (size, timestamp_ms)
        if offset > self._highest:
            self._highest = offset
        self.bytes_open += size

    def finish(self, offset: int) -> None:
        """A record needs nothing more from Kafka."""
        self.bytes_open -= self._open.pop(offset, (0, 0))[0]

    @property
    def open_records(self) -> int:
        """How many are in hand."""
        return len(self._open)

    @property
    def oldest_ms(self) -> int | None:
        """When Kafka took the first one in hand; None when nothing is."""
        # Dicts keep order of insertion and offsets arrive in order, so the first one open is the lowest.
        return next(iter(self._open.values()))[1] if self._open else None

    def committable(self) -> int | None:
        """The offset to commit, or None when nothing was admitted yet."""
        if self.next_offset is None:
            return None
        first_open = next(iter(self._open), None)
        self.next_offset = self._highest + 1 if first_open is None else first_open
        return self.next_offset
