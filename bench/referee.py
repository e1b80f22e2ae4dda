"""Figures taken at the HTTP target, the same way for everybody: what arrived, when, in which order, at which cost.

The clock runs from the first tenth of the events to the last; CPU seconds and memory are read from outside.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import aiohttp

from bench.measuring import Run
from bench.stand import BenchFailed, Served, Stand, free_port

_EVERY = 0.01  # seconds
_PATIENCE = 120.0  # seconds without anything new


@dataclass
class Referee:
    """The HTTP target, and what it saw."""

    served: Served
    http: aiohttp.ClientSession

    def url(self, run: str, connection: str = "it", *, answer_ms: int = 0) -> str:
        """Where a connection's events are sent in that run; each is answered after so many milliseconds."""
        return f"{self.served.url}/{answer_ms}/{run}/{connection}"

    async def told(self, run: str) -> Mapping[str, Any]:
        """The counters of a run: bench/contestants/answerer.py says which."""
        async with self.http.get(f"{self.served.url}/runs/{run}") as answer:
            return cast(Mapping[str, Any], await answer.json())

    async def times(self, run: str, connection: str) -> dict[int, float]:
        """When each refund of a connection arrived, by its number, in seconds of `time.monotonic()`."""
        async with self.http.get(f"{self.served.url}/times/{run}") as answer:
            found = await answer.json()
        # Ours adds the request's own path to the connection's.
        return {
            int(n): at for key, times in found.items() if key.split("/")[0] == connection for n, at in times.items()
        }

    async def measure(self, processes: Sequence[Served], run: str, events: int, *, of: str | None = None) -> Run:
        """Wait until so many events have arrived (`of`: of sales so named) and give what they took.

        Raises BenchFailed when nothing more arrives, a process ends, or the events of a sale arrived out of order.
        """

        def count(told: Mapping[str, Any]) -> int:
            return int(told["of"].get(of, 0) if of else told["distinct"])

        began = before = cpu = None
        memory, seen, last_new = 0.0, -1, time.monotonic()
        while True:
            now, told = time.monotonic(), await self.told(run)
            if (arrived := count(told)) > seen:
                seen, last_new = arrived, now
            memory = max(memory, sum(process.memory_mb for process in processes))
            if began is None and arrived >= max(1, events // 10):
                if arrived >= events:
                    raise BenchFailed(f"{run} was through at once: {events} events are too few to be timed")
                began, before, cpu = now, arrived, _cpu(processes)
            if began is not None and before is not None and cpu is not None and arrived >= events:
                if told["out_of_order"]:
                    raise BenchFailed(f"{run}: {told['out_of_order']} events arrived after later ones of their key")
                return Run(arrived - before, told["last_at"] - began, _cpu(processes) - cpu, memory)
            for process in processes:
                process.must_run()
            if now - last_new > _PATIENCE:
                raise BenchFailed(f"{run}: {arrived} of {events} events, and nothing new for {_PATIENCE:g} s")
            await asyncio.sleep(_EVERY)


def _cpu(processes: Sequence[Served]) -> float:
    return sum(process.cpu_seconds for process in processes)


@asynccontextmanager
async def appointed(stand: Stand) -> AsyncIterator[Referee]:
    """The target, for as long as it is needed."""
    port = free_port()
    served = await stand.serve("answerer", "bench.contestants.answerer", str(port), port=port)
    try:
        async with aiohttp.ClientSession() as http:
            yield Referee(served, http)
    finally:
        await stand.stop(served)
