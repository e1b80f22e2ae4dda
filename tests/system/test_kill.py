"""Every service dies by kill -9 again and again while sales flow: nothing is lost, nothing happens twice."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from typing import Any

import aiohttp
import pytest

from libs.runtime.business_clock import set_business_clock
from tests.system import square_till as till
from tests.system.installation import SERVICES, Installation
from tests.system.sales import NOON

KILLS_EACH = int(os.environ.get("TILLSTREAM_KILLS", "5"))
SEED = int(os.environ.get("TILLSTREAM_SEED", "20261122"))


async def _send(installation: Installation, object_: dict[str, Any], type_: str, event_id: str) -> None:
    """Send a webhook as a vendor does: again and again until it is acknowledged."""
    while True:
        try:
            if await installation.square_webhook(type_, object_, event_id) == 200:
                return
        except (aiohttp.ClientError, TimeoutError):
            pass
        await asyncio.sleep(0.3)


@pytest.mark.timeout(600)
async def test_kill_minus_nine_of_every_service(installation: Installation) -> None:
    """At seeded moments each service is killed and started again, with webhooks coming in all the time."""
    random_ = random.Random(SEED)
    content = installation.content()
    content["connections"][0]["poll"] = {"feeds": ["orders", "refunds"], "every_seconds": 1}
    await installation.configure(content)
    await installation.start(*SERVICES)
    await set_business_clock(installation.pool, NOON, 0)
    await installation.load("square", {"locations": [till.LOCATION], "catalog": [till.variation("SKU1")]})
    sold: dict[str, int] = {}
    refunded: dict[str, int] = {}
    over = asyncio.Event()

    async def sell() -> None:
        number = 0
        while not over.is_set():
            order = till.order(number, price=random_.randint(100, 9_999), tax=random_.randint(0, 700))
            sold[order["id"]] = order["total_money"]["amount"]
            payment = till.payment(order)
            await installation.load("square", {"orders": [order], "payments": [payment]})
            await _send(installation, {"payment": payment}, "payment.updated", f"p{number}")
            if number % 7 == 3:
                back = till.refund(order, sold[order["id"]] // 2)
                refunded[order["id"]] = back["amount_money"]["amount"]
                paid = till.payment(order, refunded=back["amount_money"]["amount"], refund_ids=(back["id"],))
                await installation.load("square", {"refunds": [back], "payments": [paid]})
                await _send(installation, {"refund": back}, "refund.updated", f"r{number}")
            number += 1
            await asyncio.sleep(0.1)

    till_at_work = asyncio.create_task(sell())
    victims = [name for name in SERVICES for _ in range(KILLS_EACH)]
    random_.shuffle(victims)
    for name in victims:
        await asyncio.sleep(random_.uniform(0.1, 1.5))
        await installation.kill(name)
        await installation.start(name)
    over.set()
    await till_at_work
    await set_business_clock(installation.pool, NOON.replace(day=20), 0)

    async def everything_arrived() -> bool:
        expected = len(sold) + len(refunded)
        receipts = await installation.deliveries("qbo-receipts")
        journal = await installation.deliveries("qbo-journal")
        crm = await installation.deliveries("hubspot-main")
        return (
            receipts.get("delivered") == expected
            and crm.get("delivered") == expected
            and journal.get("delivered", 0) > expected
            and not any(states.get("claimed") or states.get("parked") for states in (receipts, journal, crm))
        )

    await installation.until(everything_arrived, "everything has arrived", seconds=120)
    companies = (await installation.state("quickbooks"))["companies"]
    cents = [round(float(r["TotalAmt"]) * 100) for r in companies["1001"]["SalesReceipt"]]
    assert Counter(cents) == Counter(sold.values()), "each sale has exactly one receipt"
    backs = [round(float(r["TotalAmt"]) * 100) for r in companies["1001"]["RefundReceipt"]]
    assert Counter(backs) == Counter(refunded.values()), "each refund has exactly one refund receipt"
    debits = sum(
        round(float(line["Amount"]) * 100) * (1 if line["JournalEntryLineDetail"]["PostingType"] == "Debit" else -1)
        for entry in companies["1002"]["JournalEntry"]
        for line in entry["Line"]
        if line["JournalEntryLineDetail"]["AccountRef"]["value"] == "91"
    )
    assert debits == sum(sold.values()) - sum(refunded.values()), "card clearing holds what was paid less refunds"
    orders = (await installation.state("hubspot"))["orders"]
    assert len(orders) == len(sold)
    by_id = {order["properties"]["pos_order_id"].rsplit(":", 1)[-1]: order["properties"] for order in orders}
    assert {key: round(float(p["hs_total_price"]) * 100) for key, p in by_id.items()} == sold
    assert await installation.count("select count(*) from delivery where state = 'dead'") == 0
    assert len(victims) == KILLS_EACH * len(SERVICES)
