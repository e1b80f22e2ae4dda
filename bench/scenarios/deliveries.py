"""One connection's deliveries to an HTTP target, one POST an event, keys in order, 32 calls at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from bench.contestants.task import TOPIC
from bench.measuring import OURS, Comparison, Contestant, Run, compare, interleaved
from bench.scenarios.refunds import refunds
from bench.sizes import Sizes
from bench.stand import Stand, free_port


async def run(stand: Stand, sizes: Sizes) -> Sequence[Comparison]:
    """The engine against a bare loop with the same ledger rows, and one without any, by the target's answer time."""
    await stand.fresh([TOPIC, "dlq.bench"])
    await stand.fill(refunds(max(events for _, events in sizes.deliveries)))
    port = free_port()
    target = await stand.serve("answerer", "bench.contestants.answerer", str(port), port=port)
    numbers = count()
    found: list[Comparison] = []
    for answer_ms, events in sizes.deliveries:

        def contestant(name: str, ledger: bool = True, ms: int = answer_ms, events: int = events) -> Contestant:
            async def once() -> Run:
                return await stand.run(
                    name, name=f"deliveries-{next(numbers)}", events=events, ledger=ledger, url=f"{target.url}/{ms}"
                )

            return once

        rounds = await interleaved(
            {
                OURS: contestant("engine"),
                "bare loop": contestant("deliveries.bare"),
                "bare, no ledger": contestant("deliveries.bare", ledger=False),
            },
            sizes.rounds,
        )
        found += compare("deliveries", f"{answer_ms} ms", rounds, {"events": events})
    await stand.stop(target)
    return found
