"""Places at which a test makes the process die, to show that nothing is lost or doubled there.

`TILLSTREAM_FAILPOINT=after_send:7` ends the process without any clean-up the seventh time it passes `after_send`.
`after_send:7:hold` stops it there instead, for good, and makes the file that `TILLSTREAM_FAILPOINT_MARK` names: whoever
waits for the file can kill the process exactly there. Without the variable a failpoint costs one dictionary look-up.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

EXIT_CODE = 77

_COUNTDOWN: dict[str, int] = {}
_marks: dict[str, Path] = {}  # of the places at which to stop instead of ending


def arm(order: str, mark: str | None = None) -> None:
    """Make this process die as ordered, `PLACE[:TIMES[:hold]]`; raises ValueError when the order makes no sense."""
    place, _, rest = order.partition(":")
    times, _, manner = rest.partition(":")
    if not place or manner not in ("", "hold") or (manner == "hold") != (mark is not None):
        raise ValueError(f"{order!r} is no failpoint: PLACE[:TIMES], or PLACE:TIMES:hold with a file to make")
    _COUNTDOWN[place] = int(times or "1")
    if mark is not None:
        _marks[place] = Path(mark)


def failpoint(place: str) -> None:
    """Die here if a test said so."""
    if place in _COUNTDOWN:
        _COUNTDOWN[place] -= 1
        if _COUNTDOWN[place] <= 0:
            _die(place)


def _die(place: str) -> None:
    if place not in _marks:
        os._exit(EXIT_CODE)
    _marks[place].touch()
    while True:
        time.sleep(60)  # all of the process stands still, as at a power cut: heartbeats too


if ordered := os.environ.get("TILLSTREAM_FAILPOINT"):
    arm(ordered, os.environ.get("TILLSTREAM_FAILPOINT_MARK") if ordered.endswith(":hold") else None)
