"""Replicas of a sink die and come and go."""

from __future__ import annotations

import random

from tests.chaos.scenario import Scenario
from tests.chaos.world import World

_REPLICAS = ("quickbooks#1", "quickbooks#2", "quickbooks#3")


async def _kill_loop(world: World, chance: random.Random, seconds: float) -> None:
    await world.start(*_REPLICAS, "hubspot")
    async with world.traffic.flowing():
        async for _ in world.moments(seconds, 0.3, 1.5):
            name = chance.choice((*_REPLICAS, "hubspot"))
            await world.kill(name)
            await world.start(name, wait=False)


KILL_LOOP = Scenario("kill_loop", "three replicas of a sink, and another sink, die by kill -9 in turn", _kill_loop, 8)
