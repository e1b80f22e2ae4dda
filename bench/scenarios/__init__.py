"""What is compared, by name; each is `run(stand, sizes) -> comparisons`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from bench.measuring import Comparison
from bench.scenarios import (
    blocked_keys,
    connections,
    deliveries,
    drain,
    end_to_end,
    engine,
    ingest,
    isolation,
    replicas,
    transform,
)
from bench.sizes import Sizes
from bench.stand import Stand

Scenario = Callable[[Stand, Sizes], Awaitable[Sequence[Comparison]]]

SCENARIOS: Mapping[str, Scenario] = {
    "ingest": ingest.run,
    "transform": transform.run,
    "engine": engine.run,
    "deliveries": deliveries.run,
    "drain": drain.run,
    "replicas": replicas.run,
    "connections": connections.run,
    "blocked-keys": blocked_keys.run,
    "isolation": isolation.run,
    "end-to-end": end_to_end.run,
}
