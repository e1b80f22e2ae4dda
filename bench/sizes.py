"""How much each scenario runs: enough for a steady figure, less with --quick, almost nothing in the smoke test."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Deliveries:
    """One case of `deliveries`: how long the target takes to answer, how many events, in how many partitions."""

    answer_ms: int
    events: int
    partitions: int = 4


@dataclass(frozen=True)
class Sizes:
    """Numbers of events of one run, and of rounds. `peers`: whether other people's software takes part.

    `drain`: events that wait, and calls a second that are allowed. `blocked_keys` wait behind a dead letter, and
    `blocked_events` arrive, of which every second is for one of them. `isolation`: events a second, and seconds.
    """

    rounds: int
    ingest_requests: int
    ingest_kilobytes: tuple[int, ...]
    snapshots: int
    engine_events: int
    slow_engine_events: int
    deliveries: tuple[Deliveries, ...]
    sales_per_second: int
    sales_seconds: int
    sales_rounds: int
    peers: bool
    drain: tuple[int, int]
    drain_rounds: int
    replicas: tuple[int, ...]
    replica_events: int
    connections: tuple[int, ...]
    connection_events: int
    blocked_keys: int
    blocked_events: int
    isolation: tuple[int, int]
    isolation_rounds: int


FULL = Sizes(
    rounds=5,
    ingest_requests=2000,
    ingest_kilobytes=(1, 4, 12),
    snapshots=6000,
    engine_events=40000,
    slow_engine_events=1200,
    deliveries=(
        Deliveries(0, 10000),
        Deliveries(20, 4000),
        Deliveries(20, 4000, partitions=32),
        Deliveries(100, 1000),
    ),
    sales_per_second=100,
    sales_seconds=20,
    sales_rounds=3,
    peers=True,
    drain=(100_000, 500),
    drain_rounds=3,
    replicas=(1, 2, 4),
    replica_events=8000,
    connections=(1, 10, 100),
    connection_events=10000,
    blocked_keys=10000,
    blocked_events=20000,
    isolation=(100, 105),
    isolation_rounds=3,
)
QUICK = Sizes(
    rounds=3,
    ingest_requests=1000,
    ingest_kilobytes=(1, 4, 12),
    snapshots=4000,
    engine_events=20000,
    slow_engine_events=800,
    deliveries=(Deliveries(0, 6000), Deliveries(20, 3000), Deliveries(20, 3000, partitions=32), Deliveries(100, 800)),
    sales_per_second=25,
    sales_seconds=8,
    sales_rounds=2,
    peers=True,
    drain=(6000, 200),
    drain_rounds=2,
    replicas=(1, 2, 4),
    replica_events=6000,
    connections=(1, 10, 100),
    connection_events=6000,
    blocked_keys=10000,
    blocked_events=10000,
    isolation=(50, 30),
    isolation_rounds=2,
)
TINY = Sizes(
    rounds=1,
    ingest_requests=400,
    ingest_kilobytes=(1,),
    snapshots=1200,
    engine_events=1500,
    slow_engine_events=300,
    deliveries=(Deliveries(0, 400),),
    sales_per_second=5,
    sales_seconds=2,
    sales_rounds=1,
    peers=False,
    drain=(400, 200),
    drain_rounds=1,
    replicas=(1, 2),
    replica_events=600,
    connections=(1, 3),
    connection_events=600,
    blocked_keys=100,
    blocked_events=400,
    isolation=(25, 4),
    isolation_rounds=1,
)
