"""Progress as it goes: live bars in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from tools.demo.baskets import DAYS
from tools.demo.observing import TARGETS, Sample

_WIDTH = 40
_EVERY = 10.0  # seconds between plain lines
_NAMES = {
    "qbo-receipts": "QuickBooks, receipts", "qbo-journal": "QuickBooks, days", "hubspot-main": "HubSpot, sales",
}  # fmt: skip


class Progress:
    """Use as `with Progress() as progress`."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, auto_refresh=False) if sys.stdout.isatty() else None
        self._began = time.monotonic()
        self._said = 0.0
        self.outage = False
        self._most = 1

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def say(self, text: str) -> None:
        """One line that stays."""
        stamp = f"{time.monotonic() - self._began:5.0f} s  {text}"
        self._console.print(stamp, markup=False)
        if not self._live:
            sys.stdout.flush()

    def show(self, sample: Sample) -> None:
        """The newest counts."""
        if self._live:
            self._live.update(self._picture(sample), refresh=True)
        elif time.monotonic() - self._said >= _EVERY:
            self._said = time.monotonic()
            waiting = ", ".join(f"{name} {sample.done[name]} done {sample.waiting(name)} waiting" for name in TARGETS)
            self.say(f"day {sample.day + 1} of {DAYS}: {sample.received} webhooks; {waiting}")

    def _picture(self, sample: Sample) -> Group:
        self._most = max(self._most, *(sample.waiting(name) for name in TARGETS))
        head = f"Day {sample.day + 1:2} of {DAYS}   {sample.received:,} webhooks received"
        lines = [Text(head, style="bold")]
        for name in TARGETS:
            waiting = sample.waiting(name)
            bar = "█" * round(_WIDTH * waiting / self._most)
            down = self.outage and name.startswith("qbo")
            line = Text(f"{_NAMES[name]:22}{sample.done[name]:6,} done {waiting:5,} waiting  ")
            line.append(bar, style="red" if down else "cyan")
            if down:
                line.append("  QuickBooks is down", style="red")
            if sample.dead[name]:
                line.append(f"  {sample.dead[name]} refused", style="yellow")
            lines.append(line)
        return Group(*lines)
