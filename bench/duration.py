"""About how long each scenario takes: rates as they were on two shared cores, so that nobody waits in the dark."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.contestants.task import CONCURRENCY
from bench.sizes import Deliveries, Sizes

_START = 4.0  # seconds for a process to start, join its group and end
_RATE = 500.0  # deliveries a second of the engine


def _deliveries(sizes: Sizes) -> float:
    return sizes.rounds * sum(_case(case, peers=sizes.peers) for case in sizes.deliveries)


def _case(case: Deliveries, *, peers: bool) -> float:
    """One round: three of our own with 32 calls at once, two peers with one for each partition and one with 32."""
    by_keys = min(_RATE, CONCURRENCY * 1000 / max(1, case.answer_ms))
    by_partitions = min(1000.0, case.partitions * 1000 / max(1, case.answer_ms))
    calls = [by_keys] * 3 + ([by_partitions, by_partitions, by_keys] if peers else [])
    return sum(_START + case.events / rate for rate in calls)


_SECONDS: Mapping[str, Callable[[Sizes], float]] = {
    "ingest": lambda s: 15 + s.rounds * len(s.ingest_kilobytes) * s.ingest_requests / 250,
    "transform": lambda s: s.rounds * (2 * _START + s.snapshots / 500),
    "engine": lambda s: s.rounds * (6 * _START + s.engine_events / 1500 + s.slow_engine_events / 200),
    "deliveries": _deliveries,
    "drain": lambda s: s.drain[0] / 3000 + s.drain_rounds * (_START + s.drain[0] / s.drain[1]),
    "replicas": lambda s: s.rounds * sum(_START * (n + 1) + s.replica_events / _RATE for n in s.replicas),
    "connections": lambda s: s.rounds * sum(2 * _START + s.connection_events / _RATE for _ in s.connections),
    "blocked-keys": lambda s: s.rounds * 2 * (_START + s.blocked_events / _RATE),
    "isolation": lambda s: s.isolation_rounds * 2 * (3 * _START + s.isolation[1]),
    "end-to-end": lambda s: s.sales_rounds * 2 * (30 + 3 * s.sales_seconds),
}


def minutes(scenario: str, sizes: Sizes) -> float:
    """Minutes that a scenario takes, within a factor of two."""
    return _SECONDS[scenario](sizes) / 60
