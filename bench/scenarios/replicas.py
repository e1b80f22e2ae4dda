"""Several processes of the engine on one topic, against one: what sharing a connection's partitions brings.

On a machine with two cores, Kafka, PostgreSQL and the target among them, more than two processes cannot be faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from bench.contestants.task import TOPIC
from bench.measuring import Comparison, Contestant, Run, compare, interleaved, versus
from bench.referee import appointed
from bench.scenarios.ownership import settled
from bench.scenarios.refunds import refunds
from bench.sizes import Sizes
from bench.stand import Stand

_PARTITIONS = 12  # as in production
_ANSWER_MS = 20
_numbers = count(1)


async def run(stand: Stand, sizes: Sizes) -> Sequence[Comparison]:
    """The events come when every process owns its share: nobody is timed while the group still moves."""
    async with appointed(stand) as referee:
        records = refunds(sizes.replica_events)

        def contestant(replicas: int) -> Contestant:
            async def once() -> Run:
                name = f"replicas-{next(_numbers)}"
                await stand.fresh([TOPIC, "dlq.bench"], _PARTITIONS)
                urls = [referee.url(name, answer_ms=_ANSWER_MS)]
                engines = [stand.endless("engine", name, urls=urls) for _ in range(replicas)]
                try:
                    await settled(stand, name, owners=replicas, partitions=_PARTITIONS)
                    await stand.fill(records)
                    return await referee.measure(engines, name, sizes.replica_events)
                finally:
                    await stand.stop(*engines)

            return once

        names = {replicas: _name(replicas) for replicas in sizes.replicas}
        rounds = await interleaved({names[n]: contestant(n) for n in sizes.replicas}, sizes.rounds)
    one, *more = names.values()
    notes = {"events": sizes.replica_events, "partitions": _PARTITIONS, "answer_ms": _ANSWER_MS}
    return [each for name in more for each in compare("replicas", name, versus(rounds, name, one), notes)]


def _name(replicas: int) -> str:
    return "1 process" if replicas == 1 else f"{replicas} processes"
