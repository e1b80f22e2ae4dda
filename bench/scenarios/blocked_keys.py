"""Many keys that wait behind a dead letter, while events go on arriving for them and for free keys.

Both sides get the same events. On one nothing is blocked, so all are delivered; on the other every second event is for
a blocked key and is parked. What counts is how the events of the free keys get on, and the memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count

import asyncpg
from aiokafka.partitioner import murmur2

from bench.contestants.task import TOPIC
from bench.measuring import OURS, Comparison, Contestant, Run, compare, interleaved
from bench.referee import appointed
from bench.scenarios.refunds import refund
from bench.sizes import Sizes
from bench.stand import PARTITIONS, Stand

_FREE, _HELD = "sale", "held"
_PER_SALE = 4
_numbers = count(1)
# The dead letters as the engine writes them, without the bytes.
_BLOCK = """
insert into delivery (connection, event_id, kind, order_key, entity_id, version, occurred_at, topic, partition,
    position, epoch, state, class, reason, in_topic, dead_at)
select $1, 'dead-' || key, 'refund.completed', key, key, 0, $2, $3, partition, 0, 0, 'dead', 'poison', 'of the bench',
    true, $2
from unnest($4::text[], $5::int[]) as blocked(key, partition)
"""


async def run(stand: Stand, sizes: Sizes) -> Sequence[Comparison]:
    """Throughput and CPU are those of the free keys' events, memory is the process's."""
    await stand.fresh([TOPIC, "dlq.bench"])
    held = [refund(n, f"{_HELD}-{n % sizes.blocked_keys}") for n in range(0, sizes.blocked_events, 2)]
    free = [refund(n, f"{_FREE}-{n // 2 // _PER_SALE}") for n in range(1, sizes.blocked_events, 2)]
    await stand.fill([record for pair in zip(held, free, strict=True) for record in pair])
    keys = sorted({refund(n, f"{_HELD}-{n}").key or b"" for n in range(sizes.blocked_keys)})
    async with appointed(stand) as referee:

        def contestant(blocked: Sequence[bytes]) -> Contestant:
            async def once() -> Run:
                name = f"blocked-{next(_numbers)}"
                await _block(stand, f"{name}-0", blocked)
                process = stand.endless("engine", name, urls=[referee.url(name)])
                try:
                    return await referee.measure([process], name, len(free), of=_FREE)
                finally:
                    await stand.stop(process)

            return once

        rounds = await interleaved({OURS: contestant(keys), "nothing blocked": contestant([])}, sizes.rounds)
    notes = {"blocked_keys": sizes.blocked_keys, "events_of_free_keys": len(free), "events_of_blocked_keys": len(held)}
    return compare("blocked-keys", f"{sizes.blocked_keys:,} keys blocked", rounds, notes)


async def _block(stand: Stand, connection: str, keys: Sequence[bytes]) -> None:
    partitions = [(murmur2(key) & 0x7FFFFFFF) % PARTITIONS for key in keys]
    database = await asyncpg.connect(stand.postgres)
    try:
        await database.execute(_BLOCK, connection, datetime.now(UTC), TOPIC, [key.decode() for key in keys], partitions)
    finally:
        await database.close()
