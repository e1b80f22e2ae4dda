"""Brokers and PostgreSQL die by kill -9 and are started again."""

from __future__ import annotations

import asyncio
import random

from tests.chaos.scenario import Scenario
from tests.chaos.world import World


async def _leader_killed(world: World, chance: random.Random, seconds: float) -> None:
    """The broker that leads one partition after the other dies; the others have all that was confirmed."""
    await world.start("quickbooks#1", "quickbooks#2", "hubspot")
    partition = chance.randrange(4)
    async with world.traffic.flowing():
        async for _ in world.moments(seconds, 0.5, 1.5):
            node = await world.leader("retail.sales", partition)
            await asyncio.to_thread(world.stack.kill_broker, node)
            world.kills += 1
            await asyncio.sleep(chance.uniform(0.5, 3))
            await asyncio.to_thread(world.stack.start_broker, node)
            partition = (partition + 1) % 4
    world.notes["longest wait for Kafka's confirmation"] = f"{world.traffic.longest_silence:.1f} s"


async def _postgres_killed(world: World, chance: random.Random, seconds: float) -> None:
    """The ledger goes away under the sinks and comes back."""
    await world.start("quickbooks#1", "quickbooks#2", "hubspot")
    async with world.traffic.flowing():
        async for _ in world.moments(seconds, 0.5, 2):
            await asyncio.to_thread(world.stack.kill_postgres)
            world.kills += 1
            await asyncio.sleep(chance.uniform(0.2, 3))
            await asyncio.to_thread(world.stack.start_postgres)


LEADER_KILLED = Scenario(
    "leader_killed", "the broker that leads a partition dies and comes back", _leader_killed, 10, 2
)
POSTGRES_KILLED = Scenario("postgres_killed", "PostgreSQL dies and comes back", _postgres_killed, 8, 2)
