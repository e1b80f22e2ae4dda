"""The engine's own cost: a target without calls, so that nothing but reading, lanes and ledger is left.

The engine always writes its ledger, which is the promise; what the ledger costs is seen in the bare loop without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import count

from bench.contestants.task import TOPIC
from bench.measuring import OURS, Comparison, Contestant, Run, compare, interleaved
from bench.scenarios.refunds import refunds
from bench.sizes import Sizes
from bench.stand import Stand


async def run(stand: Stand, sizes: Sizes) -> Sequence[Comparison]:
    """The engine against bare loops and FastStream in batches; against FastStream by record with fewer events."""
    await stand.fresh([TOPIC, "dlq.bench"])
    await stand.fill(refunds(sizes.engine_events))
    numbers = count()

    def contestant(name: str, events: int, *, single: bool = False, ledger: bool = True) -> Contestant:
        async def once() -> Run:
            return await stand.run(name, name=f"engine-{next(numbers)}", events=events, single=single, ledger=ledger)

        return once

    many = partial(contestant, events=sizes.engine_events)
    few = partial(contestant, events=sizes.slow_engine_events)
    batches = await interleaved(
        {
            OURS: many("engine"),
            "bare loop": many("engine.bare"),
            "bare, no ledger": many("engine.bare", ledger=False),
            "FastStream, batches": many("engine.faststream_batches"),
        },
        sizes.rounds,
    )
    single = await interleaved(
        {OURS: few("engine"), "FastStream, single": few("engine.faststream_single", single=True)}, sizes.rounds
    )
    return [
        *compare("engine", "no call", batches, {"events": sizes.engine_events}),
        *compare("engine", "no call", single, {"events": sizes.slow_engine_events}),
    ]
