"""Every service of the whole flow dies by kill -9, from the webhook to the day's journal."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import aiohttp

from libs.runtime.business_clock import set_business_clock
from tests.chaos.scenario import Scenario
from tests.chaos.standing import card_clearing
from tests.chaos.world import Unkept, World
from tests.system import square_till as till
from tests.system.installation import SERVICES
from tests.system.sales import NOON

_JOURNAL_REALM = "1002"
_EVERY = 0.25  # seconds between sales


class _Shop:
    """Rings up sales and refunds at Square and sends their webhooks. `cents`: what was paid less what was returned."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self._world, self._chance = world, chance
        self.cents = 0

    async def sell(self, over: asyncio.Event) -> None:
        """Sell until it is over."""
        number = 0
        while not over.is_set():
            order = till.order(number, price=self._chance.randint(100, 9_999), tax=self._chance.randint(0, 700))
            amount = order["total_money"]["amount"]
            payment = till.payment(order)
            await self._world.load("square", {"orders": [order], "payments": [payment]})
            self._world.rung.add(f"square:ML1:sale:{order['id']}")
            self.cents += amount
            await self._send({"payment": payment}, "payment.updated", f"p{number}")
            if number % 7 == 3:
                await self._give_back(order, amount // 2, number)
            number += 1
            await asyncio.sleep(_EVERY)

    async def _give_back(self, order: dict[str, Any], amount: int, number: int) -> None:
        back = till.refund(order, amount)
        paid = till.payment(order, refunded=amount, refund_ids=(back["id"],))
        await self._world.load("square", {"refunds": [back], "payments": [paid]})
        self._world.rung.add(f"square:ML1:refund:{back['id']}")
        self.cents -= amount
        await self._send({"refund": back}, "refund.updated", f"r{number}")

    async def _send(self, object_: dict[str, Any], type_: str, event_id: str) -> None:
        """As a vendor does: again and again until it is acknowledged."""
        while True:
            try:
                if await self._world.square_webhook(type_, object_, event_id) == 200:
                    self._world.acknowledged.add(event_id)
                    return
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.3)


async def _all_services(world: World, chance: random.Random, seconds: float) -> None:
    content = world.content(journal=True)
    content["connections"][0]["poll"] = {"feeds": ["orders", "refunds"], "every_seconds": 1}
    await world.configure(content)
    await world.start(*SERVICES)
    await set_business_clock(world.pool, NOON, 0)
    await world.load("square", {"locations": [till.LOCATION], "catalog": [till.variation("SKU1")]})
    shop, over = _Shop(world, random.Random(chance.random())), asyncio.Event()
    selling = asyncio.create_task(shop.sell(over))
    victims: list[str] = []
    async for _ in world.moments(seconds, 0.3, 1.5):
        victims = victims or chance.sample(tuple(SERVICES), len(SERVICES))
        name = victims.pop()
        await world.kill(name)
        await world.start(name, wait=False)
    over.set()
    await selling
    await set_business_clock(world.pool, NOON.replace(day=20), 0)
    await world.settle()
    posted = card_clearing(await world.state("quickbooks"), _JOURNAL_REALM)
    if posted != shop.cents:
        raise Unkept(f"the day's journal has {posted} cents on card clearing, the till took {shop.cents}")


ALL_SERVICES = Scenario("all_services", "every service, from webhook to journal, dies by kill -9", _all_services, 10, 3)
