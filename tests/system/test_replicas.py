"""Several replicas of a sink: partitions move to and fro, and every effect still happens once and in order."""

from __future__ import annotations

import asyncio
import time

from libs.runtime.kafka.writer import Writer
from tests.system.installation import Installation
from tests.system.sales import outgoing, refund, sale


async def test_rebalances_lose_and_double_nothing(installation: Installation) -> None:
    """A second replica comes and goes while sales and their refunds are delivered."""
    await installation.start("quickbooks")
    writer = Writer(installation.kafka_settings)
    total = 0
    for round_ in range(3):
        events = [sale(n) for n in range(total, total + 40)] + [refund(n) for n in range(total, total + 40, 8)]
        total += 40
        await writer.send_all([outgoing(event) for event in events])
        await installation.start("quickbooks#2")
        await asyncio.sleep(1 + round_ * 0.5)
        await installation.stop("quickbooks#2") if round_ % 2 else await installation.kill("quickbooks#2")

    async def all_there() -> bool:
        return (await installation.deliveries("qbo-receipts")).get("delivered", 0) == total + total // 8

    await installation.until(all_there, "every sale and refund is delivered", seconds=90)
    company = (await installation.state("quickbooks"))["companies"]["1001"]
    assert len(company["SalesReceipt"]) == total
    assert len(company["RefundReceipt"]) == total // 8
    owners = await installation.pool.fetch("select epoch from partition_owner where connection = 'qbo-receipts'")
    assert max(row["epoch"] for row in owners) > 1, "partitions did change hands"
    await writer.stop()


async def test_an_operator_pauses_every_replica_within_five_seconds(installation: Installation) -> None:
    """After the pause nothing more is sent by any replica, also across a restart; a resume goes on."""
    await installation.start("quickbooks", "quickbooks#2")
    writer = Writer(installation.kafka_settings)
    await writer.send_all([outgoing(sale(n)) for n in range(10)])

    async def ten() -> bool:
        return (await installation.deliveries("qbo-receipts")).get("delivered", 0) == 10

    await installation.until(ten, "ten are delivered")
    started = time.monotonic()
    await installation.pool.execute(
        "update connection_state set paused_by = 'ana', paused_reason = 'stocktaking' where connection = 'qbo-receipts'"
    )
    await asyncio.sleep(4)
    assert time.monotonic() - started < 5
    await writer.send_all([outgoing(sale(n)) for n in range(10, 20)])
    await installation.stop("quickbooks#2")
    await installation.start("quickbooks#2")
    await asyncio.sleep(3)
    assert len((await installation.state("quickbooks"))["companies"]["1001"]["SalesReceipt"]) == 10
    await installation.pool.execute("update connection_state set paused_by = null where connection = 'qbo-receipts'")

    async def twenty() -> bool:
        return (await installation.deliveries("qbo-receipts")).get("delivered", 0) == 20

    await installation.until(twenty, "the rest follows")
    assert await installation.count("select count(*) from delivery where state = 'dead'") == 0
    await writer.stop()


async def test_locations_that_are_not_configured_are_filtered_and_counted(installation: Installation) -> None:
    """offered = delivered + filtered: an event that is not for the target still has its row and its rule."""
    content = installation.content()
    for connection in content["connections"]:
        if connection["id"] == "qbo-receipts":
            connection["locations"] = ["L1"]
    await installation.configure(content)
    await installation.start("quickbooks")
    writer = Writer(installation.kafka_settings)
    await writer.send_all([outgoing(sale(n, location_id="L1" if n % 3 else "L2")) for n in range(30)])

    async def accounted() -> bool:
        return await installation.deliveries("qbo-receipts") == {"delivered": 20, "filtered": 10}

    await installation.until(accounted, "all thirty are accounted for")
    rules = await installation.pool.fetch("select distinct reason from delivery where state = 'filtered'")
    assert [row["reason"] for row in rules] == ["location L2 is not among the configured locations"]
    await writer.stop()
