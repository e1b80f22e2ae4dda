"""What is compared, by name; each is `run(stand, sizes) -> comparisons`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from bench.measuring import Comparison
from bench.scenarios import deliveries, end_to_end, engine, ingest, transform
from bench.sizes import Sizes
from bench.stand import Stand

Scenario = Callable[[Stand, Sizes], Awaitable[Sequence[Comparison]]]

SCENARIOS: Mapping[str, Scenario] = {
    "ingest": ingest.run,
    "transform": transform.run,
    "engine": engine.run,
    "deliveries": deliveries.run,
    "end-to-end": end_to_end.run,
}
