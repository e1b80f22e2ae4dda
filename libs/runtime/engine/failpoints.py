"""Places at which a test makes the process die, to show that nothing is lost or doubled there.

`TILLSTREAM_FAILPOINT=after_send:7` ends the process without any clean-up the seventh time it passes `after_send`.
Without the variable a failpoint costs one dictionary look-up.
"""

from __future__ import annotations

import os

_COUNTDOWN: dict[str, int] = {}
if armed := os.environ.get("TILLSTREAM_FAILPOINT"):
    _place, _, _times = armed.partition(":")
    _COUNTDOWN[_place] = int(_times or "1")

EXIT_CODE = 77


def failpoint(place: str) -> None:
    """Die here if a test said so."""
    if place in _COUNTDOWN:
        _COUNTDOWN[place] -= 1
        if _COUNTDOWN[place] <= 0:
            os._exit(EXIT_CODE)
