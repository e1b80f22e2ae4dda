"""Hours of sales need no more memory than minutes."""

from __future__ import annotations

import asyncio
import random
import statistics

import psutil

from tests.chaos.scenario import Scenario
from tests.chaos.world import Unkept, World

_SINKS = ("quickbooks", "hubspot")
_MIB = 1024 * 1024
# What it may grow by from when it is warm to the end: noise of the allocator, not a leak.
_SHARE, _LEAST = 0.10, 12 * _MIB


async def _soak(world: World, chance: random.Random, seconds: float) -> None:
    """The memory of each sink in the second quarter of the time against that in the last."""
    world.traffic.rate = 30
    await world.start(*_SINKS)
    processes = {name: psutil.Process(world.processes[name].pid) for name in _SINKS}
    samples: dict[str, list[int]] = {name: [] for name in _SINKS}
    async with world.traffic.flowing():
        for _ in range(40):
            await asyncio.sleep(seconds / 40)
            for name, process in processes.items():
                samples[name].append(process.memory_info().rss)
    for name, taken in samples.items():
        warm, end = statistics.median(taken[10:20]), statistics.median(taken[30:])
        world.notes[f"memory of {name}"] = f"{warm / _MIB:.0f} MiB warm, {end / _MIB:.0f} MiB at the end"
        if end - warm > max(_LEAST, warm * _SHARE):
            raise Unkept(f"{name} grew from {warm / _MIB:.0f} to {end / _MIB:.0f} MiB")


SOAK = Scenario("soak", "sales all the time, and no memory kept for them", _soak, 10, 4)
