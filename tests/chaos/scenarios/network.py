"""The network lies: a faulty proxy before a target, before every broker, before PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence

from tests.chaos.proxy import FAULTS, Proxy
from tests.chaos.scenario import Scenario
from tests.chaos.world import World

_SINKS = ("quickbooks#1", "quickbooks#2", "hubspot")


async def _each_fault(world: World, chance: random.Random, seconds: float, proxies: Sequence[Proxy]) -> None:
    """Every fault once, in seeded order, two thirds of the time; in between the network is whole."""
    each = seconds / len(FAULTS)
    async with world.traffic.flowing():
        for kind in chance.sample(FAULTS, len(FAULTS)):
            for proxy in proxies:
                await proxy.order(kind)
            world.faults += 1
            await asyncio.sleep(each * 2 / 3)
            for proxy in proxies:
                await proxy.order("none")
            await asyncio.sleep(each / 3)


async def _before_target(world: World, chance: random.Random, seconds: float) -> None:
    proxy = Proxy(0, int(world.sandbox.rsplit(":", 1)[1]))
    await proxy.open()
    try:
        content = json.dumps(world.content()).replace(world.sandbox, f"http://127.0.0.1:{proxy.port}")
        await world.configure(json.loads(content))
        await world.start(*_SINKS)
        await _each_fault(world, chance, seconds, [proxy])
        await world.settle()
    finally:
        await proxy.close()


async def _before_kafka(world: World, chance: random.Random, seconds: float) -> None:
    await world.start(*_SINKS, env=world.through_proxies)
    await _each_fault(world, chance, seconds, world.broker_proxies)


async def _before_postgres(world: World, chance: random.Random, seconds: float) -> None:
    await world.start(*_SINKS, env=world.through_proxies)
    await _each_fault(world, chance, seconds, [world.database_proxy])


NETWORK_TARGET = Scenario("network_target", "a faulty proxy before the targets", _before_target, 12)
NETWORK_KAFKA = Scenario("network_kafka", "a faulty proxy before every broker", _before_kafka, 12)
NETWORK_POSTGRES = Scenario("network_postgres", "a faulty proxy before PostgreSQL", _before_postgres, 12)
