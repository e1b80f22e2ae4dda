"""Events that wait, drained under a limit of the connection: how close to the limit the engine gets."""

from __future__ import annotations

from collections.abc import Sequence

from bench.contestants.task import TOPIC
from bench.measuring import OURS, Comparison, Run, Spread
from bench.progress import say
from bench.referee import appointed
from bench.scenarios.refunds import refunds
from bench.sizes import Sizes
from bench.stand import BenchFailed, Stand

_ANSWER_MS = 20


async def run(stand: Stand, sizes: Sizes) -> Sequence[Comparison]:
    """The rate of the engine divided by the limit; more calls in any second than allowed fail the bench."""
    events, limit = sizes.drain
    await stand.fresh([TOPIC, "dlq.bench"])
    await stand.fill(refunds(events))
    async with appointed(stand) as referee:
        rounds: list[Run] = []
        busiest: list[float] = []
        for number in range(sizes.drain_rounds):
            name = f"drain-{number}"
            url = referee.url(name, answer_ms=_ANSWER_MS)
            engine = stand.endless("engine", name, urls=[url], calls_per_second=limit)
            try:
                rounds.append(await referee.measure([engine], name, events))
            finally:
                await stand.stop(engine)
            busiest.append((await referee.told(name))["busiest_second"])
            if busiest[-1] > limit:
                raise BenchFailed(f"{busiest[-1]} calls in one second, {limit} allowed")
            say(f"round {number + 1} of {sizes.drain_rounds}: {rounds[-1].rate:,.1f}/s of {limit}/s allowed")
    against = "the limit"
    ours = {
        "events_per_second": Spread.of([run.rate for run in rounds]),
        "cpu_ms_per_event": Spread.of([1000 * run.cpu_per_event for run in rounds]),
        "busiest_second": Spread.of(busiest),
    }
    return [
        Comparison(
            "drain",
            f"{events:,} events, {limit} calls/s",
            against,
            {"of_limit": Spread.of([run.rate / limit for run in rounds])},
            {OURS: ours, against: {"events_per_second": Spread.of([float(limit)])}},
            {"events": events, "answer_ms": _ANSWER_MS},
        )
    ]
