"""Replicas of a sink die, come and go, and are told to stop."""

from __future__ import annotations

import random
import signal
import subprocess
import time

from tests.chaos.scenario import Scenario
from tests.chaos.world import Unkept, World

_REPLICAS = ("quickbooks#1", "quickbooks#2", "quickbooks#3")
_STOPS_WITHIN = 30.0


async def _kill_loop(world: World, chance: random.Random, seconds: float) -> None:
    await world.start(*_REPLICAS, "hubspot")
    async with world.traffic.flowing():
        async for _ in world.moments(seconds, 0.3, 1.5):
            name = chance.choice((*_REPLICAS, "hubspot"))
            await world.kill(name)
            await world.start(name, wait=False)


async def _rebalance_storm(world: World, chance: random.Random, seconds: float) -> None:
    """One replica stays; the others come and go, with a farewell or without: nobody owns anything for long."""
    await world.start(_REPLICAS[0], "hubspot")
    async with world.traffic.flowing():
        async for _ in world.moments(seconds, 1, 2):
            name = chance.choice(_REPLICAS[1:])
            world.faults += 1
            if name not in world.processes:
                await world.start(name, wait=False)
            elif chance.random() < 0.5:
                await world.kill(name)
            else:
                await world.stop(name)


async def _told_to_stop(world: World, chance: random.Random, seconds: float) -> None:
    """Each replica is told to stop while it is at work, at last all of them."""
    await world.start(*_REPLICAS, "hubspot")
    longest = 0.0
    async with world.traffic.flowing():
        async for _ in world.moments(seconds, 0.3, 1.0):
            name = chance.choice((*_REPLICAS, "hubspot"))
            longest = max(longest, await _stop(world, name))
            await world.start(name)
        for name in (*_REPLICAS, "hubspot"):
            longest = max(longest, await _stop(world, name))
        held = await world.count("select count(*) from delivery where state = 'claimed' and lease_until > now()")
        if held:
            raise Unkept(f"{held} claims were left behind with a lease that others have to wait for")
    world.notes["slowest stop"] = f"{longest:.1f} s"
    await world.start(_REPLICAS[0], "hubspot")


async def _stop(world: World, name: str) -> float:
    """Tell a service to stop; gives the seconds that it took. Raises Unkept."""
    world.faults += 1
    began = time.monotonic()
    try:
        status = await world.stop(name, signal.SIGTERM)
    except subprocess.TimeoutExpired:
        raise Unkept(f"{name} had not stopped 40 s after SIGTERM") from None
    took = time.monotonic() - began
    if status != 0:
        raise Unkept(f"{name} ended with {status} after SIGTERM")
    if took > _STOPS_WITHIN:
        raise Unkept(f"{name} took {took:.0f} s to stop, more than {_STOPS_WITHIN:.0f}")
    return took


KILL_LOOP = Scenario(
    "kill_loop", "three replicas of a sink, and another sink, die by kill -9 in turn", _kill_loop, 8, 3
)
REBALANCE_STORM = Scenario(
    "rebalance_storm", "replicas of a sink come and go every second or two", _rebalance_storm, 8, 2
)
TOLD_TO_STOP = Scenario("told_to_stop", "SIGTERM to each replica under load", _told_to_stop, 5)
