"""One healthy connection beside a dead and a slow one in one process, against the same among three healthy ones.

Latency is from the moment an event is sent to Kafka to its arrival at the healthy target.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from itertools import count

from bench.contestants.task import TOPIC
from bench.measuring import OURS, Comparison, compare_latencies, turned
from bench.progress import say
from bench.referee import Referee, appointed
from bench.scenarios.refunds import refunds
from bench.sizes import Sizes
from bench.stand import BenchFailed, Stand, free_port
from libs.runtime.kafka.writer import Outgoing, Writer

_HEALTHY_MS, _SLOW_MS = 20, 5000
_AGAINST = "three healthy"
_WARM_UP_SECONDS = 3
_BURST_SECONDS = 0.02
_PATIENCE = 120.0
_numbers = count(1)

# Answer time of each connection; None: nobody listens there.
_BESIDE: Mapping[str, tuple[int | None, ...]] = {
    OURS: (_HEALTHY_MS, None, _SLOW_MS),
    _AGAINST: (_HEALTHY_MS, _HEALTHY_MS, _HEALTHY_MS),
}


async def run(stand: Stand, sizes: Sizes) -> Sequence[Comparison]:
    """The first connection's latencies; all three get the same events at the same pace."""
    per_second, _ = sizes.isolation
    async with appointed(stand) as referee:
        rounds: list[dict[str, list[float]]] = []
        for number in range(sizes.isolation_rounds):
            rounds.append(
                {who: await _once(stand, referee, sizes, _BESIDE[who]) for who in turned(list(_BESIDE), number)}
            )
            say(f"round {number + 1} of {sizes.isolation_rounds}")
    notes = {"samples_a_round": len(rounds[0][OURS]), "healthy_ms": _HEALTHY_MS, "slow_ms": _SLOW_MS}
    return [compare_latencies("isolation", f"{per_second}/s beside dead and slow", _AGAINST, rounds, notes)]


async def _once(stand: Stand, referee: Referee, sizes: Sizes, answers: Sequence[int | None]) -> list[float]:
    name = f"isolation-{next(_numbers)}"
    await stand.fresh([TOPIC, "dlq.bench"])
    urls = [
        f"http://127.0.0.1:{free_port()}" if ms is None else referee.url(name, f"c{place}", answer_ms=ms)
        for place, ms in enumerate(answers)
    ]
    per_second, seconds = sizes.isolation
    warm_up = per_second * _WARM_UP_SECONDS
    records = refunds(warm_up + per_second * seconds)
    process = stand.endless("engine", name, urls=urls)
    try:
        await _send(stand, records[:1], per_second)

        async def reached(events: int) -> bool:
            process.must_run()
            return len(await referee.times(name, "c0")) >= events

        await stand.until(lambda: reached(1), "the first event is at the healthy target")
        sent = [0.0, *await _send(stand, records[1:], per_second)]
        await stand.until(lambda: reached(len(records)), "all are at the healthy target", seconds=_PATIENCE)
        times = await referee.times(name, "c0")
        if (await referee.told(name))["out_of_order"]:
            raise BenchFailed(f"{name}: events arrived after later ones of their key")
    finally:
        stand.kill(process)  # the slow connection's calls are not waited for
    return sorted(times[number] - sent[number] for number in range(warm_up, len(records)))


async def _send(stand: Stand, records: Sequence[Outgoing], per_second: int) -> list[float]:
    """Send them at that pace; gives when each was sent, in seconds of `time.monotonic()`."""
    writer = Writer(stand.kafka_settings)
    await writer.start()
    sent: list[float] = []
    under_way: list[asyncio.Task[object]] = []
    began = time.monotonic()
    try:
        while len(sent) < len(records):
            due = min(len(records), int((time.monotonic() - began) * per_second) + 1)
            if due > len(sent):
                burst = records[len(sent) : due]
                sent += [time.monotonic()] * len(burst)
                under_way.append(asyncio.create_task(writer.send_all(burst)))
            await asyncio.sleep(_BURST_SECONDS)
        await asyncio.gather(*under_way)
    finally:
        await writer.stop()
    return sent
