"""Many connections in one process against one, the same number of deliveries in all."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from bench.contestants.task import TOPIC
from bench.measuring import Comparison, Contestant, Run, compare, interleaved, versus
from bench.referee import appointed
from bench.scenarios.ownership import settled
from bench.scenarios.refunds import refunds
from bench.sizes import Sizes
from bench.stand import PARTITIONS, Stand

_ANSWER_MS = 20
_numbers = count(1)


async def run(stand: Stand, sizes: Sizes) -> Sequence[Comparison]:
    """Each connection reads the whole topic, so the topic holds the fewer events the more connections there are."""
    async with appointed(stand) as referee:

        def contestant(connections: int) -> Contestant:
            async def once() -> Run:
                name = f"connections-{next(_numbers)}"
                await stand.fresh([TOPIC, "dlq.bench"])
                records = refunds(sizes.connection_events // connections)
                urls = [referee.url(name, f"c{number}", answer_ms=_ANSWER_MS) for number in range(connections)]
                process = stand.endless("engine", name, urls=urls)
                try:
                    await settled(stand, name, owners=1, partitions=connections * PARTITIONS)
                    await stand.fill(records)
                    return await referee.measure([process], name, sizes.connection_events // connections * connections)
                finally:
                    await stand.stop(process)

            return once

        names = {n: "1 connection" if n == 1 else f"{n} connections" for n in sizes.connections}
        rounds = await interleaved({names[n]: contestant(n) for n in sizes.connections}, sizes.rounds)
    one, *more = names.values()
    notes = {"deliveries": sizes.connection_events, "answer_ms": _ANSWER_MS}
    return [each for name in more for each in compare("connections", name, versus(rounds, name, one), notes)]
