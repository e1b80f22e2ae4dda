"""What is compared, by name; each is `run(stand, sizes)` and gives comparisons, one with long cases case by case."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence

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

_Found = Sequence[Comparison]
Scenario = Callable[[Stand, Sizes], Awaitable[_Found] | AsyncIterator[_Found]]

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


async def comparisons(name: str, stand: Stand, sizes: Sizes) -> AsyncGenerator[_Found, None]:
    """What a scenario finds, as it finds it; raises BenchFailed."""
    running = SCENARIOS[name](stand, sizes)
    if isinstance(running, AsyncIterator):
        async for found in running:
            yield found
    else:
        yield await running
