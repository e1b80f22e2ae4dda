"""How much each scenario runs: enough for a steady figure, less with --quick, almost nothing in the smoke test."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Numbers of events of one run, and of rounds. `answer_ms`: how long the HTTP target takes to answer."""

    rounds: int
    ingest_requests: int
    ingest_kilobytes: tuple[int, ...]
    snapshots: int
    engine_events: int
    slow_engine_events: int
    deliveries: tuple[tuple[int, int], ...]  # (answer_ms, events)
    sales_per_second: int
    sales_seconds: int
    sales_rounds: int


FULL = Sizes(5, 2000, (1, 4, 12), 6000, 8000, 1200, ((0, 3000), (20, 3000), (100, 1500)), 100, 20, 3)
QUICK = Sizes(3, 1000, (1, 4, 12), 4000, 5000, 800, ((0, 2000), (20, 2000), (100, 1000)), 25, 8, 2)
TINY = Sizes(1, 60, (1,), 1200, 1500, 300, ((0, 300),), 5, 2, 1)
