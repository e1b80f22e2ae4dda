"""Whether a loop gets on: liveness means progress, not an answered ping."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from libs.runtime.telemetry.metrics import LAST_PROGRESS, RECORDS


@dataclass
class Progress:
    """One watched loop. `alive()` each time round, `done(n)` when work was finished. `stalled_after` in seconds."""

    name: str
    stalled_after: float = 120.0
    beat: float = field(default_factory=time.monotonic)
    finished: int = 0

    def __post_init__(self) -> None:
        self._last, self._records = LAST_PROGRESS.labels(self.name), RECORDS.labels(self.name)

    def alive(self) -> None:
        """The loop went round."""
        self.beat = time.monotonic()
        self._last.set_to_current_time()

    def done(self, n: int, seconds: float = 0.0) -> None:
        """`n` units of work were finished."""
        self.alive()
        self.finished += n
        self._records.inc(n)

    @property
    def stalled(self) -> bool:
        """The loop has not gone round for too long."""
        return time.monotonic() - self.beat > self.stalled_after
