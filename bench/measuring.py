"""Figures of one run, and what two contestants' runs, made side by side, say of each other."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Run:
    """One run: events handled in that many seconds, for that many CPU seconds of the process that handled them."""

    events: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    @property
    def cpu_per_event(self) -> float:
        """CPU seconds for one event."""
        return self.cpu_seconds / self.events


@dataclass(frozen=True)
class Spread:
    """The median of several figures, with the lowest and the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> Spread:
        """The spread of at least one figure."""
        return cls(statistics.median(figures), min(figures), max(figures))

    def as_json(self) -> dict[str, float]:
        """Rounded to what can be told apart."""
        return {name: round(getattr(self, name), 6) for name in ("median", "low", "high")}


@dataclass(frozen=True)
class Comparison:
    """One case of a scenario: ours against another, each figure a ratio ours / theirs within one round.

    `measures`: ratio name -> spread; `absolute`: contestant -> figure name -> spread, on this machine only.
    """

    scenario: str
    case: str
    against: str
    measures: Mapping[str, Spread]
    absolute: Mapping[str, Mapping[str, Spread]]
    notes: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Everything, plain."""
        return {
            "scenario": self.scenario,
            "case": self.case,
            "against": self.against,
            "ratios": {name: spread.as_json() for name, spread in self.measures.items()},
            "absolute": {
                who: {name: spread.as_json() for name, spread in figures.items()}
                for who, figures in self.absolute.items()
            },
            "notes": dict(self.notes),
        }


Contestant = Callable[[], Awaitable[Run]]
OURS = "tillstream"


async def interleaved(contestants: Mapping[str, Contestant], rounds: int) -> list[dict[str, Run]]:
    """Each contestant once a round, one at a time; the order turns, so that nobody always comes first."""
    names = list(contestants)
    results = []
    for number in range(rounds):
        turned = names[number % len(names) :] + names[: number % len(names)]
        results.append({name: await contestants[name]() for name in turned})
    return results


def compare(
    scenario: str, case: str, rounds: Sequence[Mapping[str, Run]], notes: Mapping[str, Any] | None = None
) -> list[Comparison]:
    """Ours against every other contestant of these rounds."""
    return [
        Comparison(
            scenario,
            case,
            other,
            {
                "throughput": Spread.of([each[OURS].rate / each[other].rate for each in rounds]),
                "cpu": Spread.of([each[OURS].cpu_per_event / each[other].cpu_per_event for each in rounds]),
            },
            {
                who: {
                    "events_per_second": Spread.of([each[who].rate for each in rounds]),
                    "cpu_ms_per_event": Spread.of([1000 * each[who].cpu_per_event for each in rounds]),
                }
                for who in (OURS, other)
            },
            notes or {},
        )
        for other in rounds[0]
        if other != OURS
    ]
