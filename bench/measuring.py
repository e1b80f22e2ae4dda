"""Figures of one run, and what two contestants' runs, made side by side, say of each other."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.progress import say


@dataclass(frozen=True)
class Run:
    """One run: events handled in that many seconds, for that many CPU seconds of the processes that handled them.

    `memory_mb` is the most that was seen of their resident memory, 0 where nobody looked.
    """

    events: int
    seconds: float
    cpu_seconds: float
    memory_mb: float = 0.0

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
    results = []
    for number in range(rounds):
        found = {name: await contestants[name]() for name in turned(list(contestants), number)}
        say(f"round {number + 1} of {rounds}: " + ", ".join(f"{name} {run.rate:,.0f}/s" for name, run in found.items()))
        results.append(found)
    return results


def turned(names: Sequence[str], round_number: int) -> list[str]:
    """The contestants in the order of that round."""
    first = round_number % len(names)
    return [*names[first:], *names[:first]]


def versus(rounds: Sequence[Mapping[str, Run]], ours: str, *others: str) -> list[dict[str, Run]]:
    """The same rounds with one of the contestants in our place, and of the others only these."""
    return [{OURS: each[ours], **{other: each[other] for other in others}} for each in rounds]


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
                name: Spread.of([figure(each[OURS]) / figure(each[other]) for each in rounds])
                for name, figure in _figures(rounds).items()
            },
            {
                who: {
                    _ABSOLUTE[name]: Spread.of([_SCALE.get(name, 1) * figure(each[who]) for each in rounds])
                    for name, figure in _figures(rounds).items()
                }
                for who in (OURS, other)
            },
            notes or {},
        )
        for other in rounds[0]
        if other != OURS
    ]


_ABSOLUTE = {"throughput": "events_per_second", "cpu": "cpu_ms_per_event", "memory": "memory_mb"}
_SCALE = {"cpu": 1000.0}


def _figures(rounds: Sequence[Mapping[str, Run]]) -> dict[str, Callable[[Run], float]]:
    """What can be told of every run: CPU is counted in ticks of 10 ms, and a short run may not have used one."""
    runs = [run for each in rounds for run in each.values()]
    found: dict[str, Callable[[Run], float]] = {"throughput": lambda run: run.rate}
    if all(run.cpu_seconds for run in runs):
        found["cpu"] = lambda run: run.cpu_per_event
    if all(run.memory_mb for run in runs):
        found["memory"] = lambda run: run.memory_mb
    return found


def compare_latencies(
    scenario: str,
    case: str,
    other: str,
    rounds: Sequence[Mapping[str, Sequence[float]]],
    notes: Mapping[str, Any] | None = None,
) -> Comparison:
    """Ours against another by latency: of each round the sorted seconds of both."""
    shares = {"p50": 0.5, "p99": 0.99}
    each = {
        who: {name: [_quantile(result[who], share) for result in rounds] for name, share in shares.items()}
        for who in (OURS, other)
    }
    return Comparison(
        scenario,
        case,
        other,
        {
            f"latency_{name}": Spread.of([a / b for a, b in zip(each[OURS][name], each[other][name], strict=True)])
            for name in shares
        },
        {
            who: {f"{name}_ms": Spread.of([1000 * seconds for seconds in figures]) for name, figures in found.items()}
            for who, found in each.items()
        },
        notes or {},
    )


def _quantile(latencies: Sequence[float], share: float) -> float:
    return latencies[min(len(latencies) - 1, int(len(latencies) * share))]
