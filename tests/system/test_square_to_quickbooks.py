"""A till's webhooks become receipts, a journal and CRM orders, through every service."""

from __future__ import annotations

import asyncio

from tests.system import square_till as till
from tests.system.installation import FLOW, Installation


async def test_signed_webhooks_become_documents(installation: Installation) -> None:
    """Payment and order webhooks of one sale, repeated and out of order, make one receipt with the right total."""
    await installation.start(*FLOW)
    orders = [till.order(n, tip=100 if n % 5 == 0 else 0) for n in range(20)]
    await installation.load(
        "square",
        {
            "locations": [till.LOCATION],
            "catalog": [till.variation("SKU1")],
            "orders": orders,
            "payments": [till.payment(o) for o in orders],
        },
    )
    for n, order in enumerate(orders):
        paid = {"payment": till.payment(order)}
        updated = {"order_updated": {"order_id": order["id"], "version": 4, "location_id": "L1", "state": "COMPLETED"}}
        answers = await asyncio.gather(
            installation.square_webhook("order.updated", updated, f"e{n}-1"),
            installation.square_webhook("payment.created", paid, f"e{n}-2"),
            installation.square_webhook("payment.updated", paid, f"e{n}-3"),
            installation.square_webhook("payment.updated", paid, f"e{n}-3"),
        )
        assert set(answers) == {200}

    async def delivered() -> bool:
        return (await installation.deliveries("qbo-receipts")).get("delivered", 0) >= 20

    await installation.until(delivered, "all receipts are written")
    receipts = (await installation.state("quickbooks"))["companies"]["1001"]["SalesReceipt"]
    assert sorted(receipt["TotalAmt"] for receipt in receipts) == [10.8] * 16 + [11.8] * 4
    assert await installation.count("select count(*) from notification") == 60
    assert await installation.count("select sum(repeats) from notification_repeat") == 20

    traces = await installation.pool.fetch("select traceparent from delivery where kind = 'sale.completed'")
    assert all(len((row["traceparent"] or "").split("-")) == 4 for row in traces), "a trace leads to every delivery"

    # Tips adjusted and a refund: an update and a refund receipt, not a second receipt.
    order = till.order(3, tip=250) | {"version": 5, "updated_at": "2026-11-18T13:00:00Z"}
    refunded = till.refund(orders[4], 500)
    await installation.load(
        "square",
        {
            "orders": [order],
            "payments": [till.payment(order), till.payment(orders[4], refunded=500, refund_ids=(refunded["id"],))],
            "refunds": [refunded],
        },
    )
    assert await installation.square_webhook("payment.updated", {"payment": till.payment(order)}, "tip") == 200
    assert await installation.square_webhook("refund.updated", {"refund": refunded}, "refund") == 200

    async def corrected() -> bool:
        company = (await installation.state("quickbooks"))["companies"]["1001"]
        return len(company.get("RefundReceipt", [])) == 1 and 13.3 in [r["TotalAmt"] for r in company["SalesReceipt"]]

    await installation.until(corrected, "tip and refund are in the books")
    company = (await installation.state("quickbooks"))["companies"]["1001"]
    assert len(company["SalesReceipt"]) == 20
    assert company["RefundReceipt"][0]["TotalAmt"] == 5.0
