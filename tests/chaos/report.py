"""A table for people and JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.chaos.scenario import Played

_HEADS = {
    "lost": "lost",
    "duplicates": "duplicate\neffects",
    "order": "order\nviolations",
    "dead": "dead by\noutage",
    "mismatches": "identity\nmismatches",
    "unsettled": "not at\nrest",
}


def table(played: Sequence[Played], seed: int) -> Table:
    """One line a scenario; every figure right of the faults must be zero."""
    drawn = Table(title=f"Promises under fire, seed {seed}", title_justify="left")
    drawn.add_column("scenario")
    for head in ("seconds", "events", "kills", "faults", *_HEADS.values()):
        drawn.add_column(head, justify="right")
    drawn.add_column("verdict")
    for each in played:
        numbers = [f"{each.seconds:.0f}", f"{each.events:,}", str(each.kills), str(each.faults)]
        zeros = [Text(str(n), style="bold red" if n else "green") for n in (each.counts[name] for name in _HEADS)]
        verdict = Text("kept", style="green") if each.kept else Text("BROKEN", style="bold red")
        drawn.add_row(each.name, *numbers, *zeros, verdict)
    return drawn


def show(console: Console, played: Sequence[Played], seed: int) -> None:
    """Print the table, what was measured beside, and what was broken."""
    console.print(table(played, seed))
    for each in played:
        for name, value in each.notes.items():
            console.print(f"{each.name}: {name}: {value}", style="dim", markup=False)
    for each in played:
        if not each.kept:
            console.print(f"{each.name}: logs are in {each.logs}", style="bold red", markup=False)
            for line in [*([each.broken] if each.broken else []), *each.details[:10]]:
                console.print(f"    {line}", markup=False)


def write(path: Path, played: Sequence[Played], seed: int, machine: dict[str, Any]) -> None:
    """Write it as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "seed": seed,
        "kept": all(each.kept for each in played),
        "machine": machine,
        "scenarios": [each.as_json() for each in played],
    }
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n")
