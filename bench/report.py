"""A table for people and JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.measuring import OURS, Comparison, Spread

# Ratio -> its heading; of each the reader must know which way is good.
_RATIOS = {
    "throughput": "throughput ×\n(more is better)",
    "cpu": "CPU an event ×\n(less is better)",
    "memory": "memory ×\n(less is better)",
    "of_limit": "share of the\nlimit reached",
    "latency_p50": "p50 ×\n(less is better)",
    "latency_p99": "p99 ×\n(less is better)",
}
_FIGURES = {
    "events_per_second": "{:,.0f}/s",
    "cpu_ms_per_event": "{:.3f} ms CPU",
    "memory_mb": "{:,.0f} MB",
    "busiest_second": "{:,.0f} in the busiest second",
    "p50_ms": "p50 {:,.0f} ms",
    "p99_ms": "p99 {:,.0f} ms",
}


def _ratio(spread: Spread | None) -> str:
    if spread is None:
        return ""
    return f"{spread.median:.2f}  [dim]{spread.low:.2f}–{spread.high:.2f}[/]"


def _absolute(comparison: Comparison, who: str) -> str:
    figures = comparison.absolute.get(who, {})
    return ", ".join(_FIGURES[name].format(spread.median) for name, spread in figures.items())


def table(comparisons: Sequence[Comparison]) -> Table:
    """All comparisons; only ratios that one of them has get a column."""
    names = [name for name in _RATIOS if any(name in each.measures for each in comparisons)]
    drawn = Table(title="Tillstream beside others: median and lowest–highest of the rounds")
    for heading in ("scenario", "case", "against"):
        drawn.add_column(heading)
    for name in names:
        drawn.add_column(_RATIOS[name], justify="right")
    drawn.add_column("Tillstream here", style="dim")
    drawn.add_column("the other here", style="dim")
    for each in comparisons:
        ratios = [_ratio(each.measures.get(name)) for name in names]
        here = [_absolute(each, OURS), _absolute(each, each.against)]
        drawn.add_row(each.scenario, each.case, each.against, *ratios, *here)
    return drawn


def show(comparisons: Sequence[Comparison], where: dict[str, Any], missing: Mapping[str, str] | None = None) -> None:
    """Print it. `missing`: scenarios without a result, and why."""
    console = Console(width=None if Console().is_terminal else 180)
    console.print(table(comparisons))
    for peer, why in _not_available(comparisons).items():
        console.print(f"{peer} is not available: {why}", markup=False)
    for scenario, why in (missing or {}).items():
        console.print(f"{scenario} was not measured to its end: {why}", markup=False)
    console.print(
        f"{where['processor']}, {where['cores']} cores, load {where['load_average'][0]}, Python {where['python']}. "
        "Ratios are what counts; the figures at the right are of this machine at this hour.",
        style="dim",
    )


def _not_available(comparisons: Sequence[Comparison]) -> dict[str, str]:
    return {peer: why for each in comparisons for peer, why in each.notes.get("not_available", {}).items()}


def write(
    path: Path,
    comparisons: Sequence[Comparison],
    where: dict[str, Any],
    rounds: int,
    missing: Mapping[str, str] | None = None,
) -> None:
    """Write it as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "machine": where,
        "rounds": rounds,
        "not_measured": dict(missing or {}),
        "comparisons": [each.as_json() for each in comparisons],
    }
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
