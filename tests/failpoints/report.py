"""The failpoint table: for people, and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.failpoints.trial import Row

_COLUMNS = ("place", "target", "exits", "kills", "events", "lost", "doubled", "out of order", "mismatch")


def table(rows: Sequence[Row]) -> str:
    """Lines of text, figures to the right; what was found wrong below them."""
    cells = [_COLUMNS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_COLUMNS))]
    lines = [
        "  ".join(cell.ljust(width) if column < 2 else cell.rjust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(line, widths, strict=True)) for line in cells)
    ]
    notes = [f"{row.place} at {row.target}: {note}" for row in rows for note in row.findings.notes]
    return "\n".join([*lines, *notes])


def _cells(row: Row) -> tuple[str, ...]:
    found = row.findings
    figures = (row.exits, row.kills, row.events, found.lost, found.doubled, found.out_of_order, found.mismatch)
    return (row.place, row.target, *(f"{figure:,}" for figure in figures))


def write(rows: Sequence[Row], path: Path, *, seed: int, seconds: float) -> None:
    """The same as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"seed": seed, "seconds": round(seconds, 1), "rows": [asdict(r) for r in rows]}, indent=1)
    )
