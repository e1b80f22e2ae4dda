"""Events on the retail topics reach each target once and in order, through real processes."""

from __future__ import annotations

from datetime import timedelta

from libs.canonical.sale import CustomerRef
from libs.runtime.business_clock import set_business_clock
from libs.runtime.kafka.writer import Writer
from tests.system.installation import Installation
from tests.system.sales import NOON, customer, outgoing, refund, sale


async def test_sales_refunds_and_customers_arrive_once(installation: Installation) -> None:
    """Receipts, journals and CRM orders agree with what was sold, and every event is accounted for."""
    await set_business_clock(installation.pool, NOON, 0)  # the day is not over while it is being entered
    await installation.start("quickbooks", "hubspot", "books")
    writer = Writer(installation.kafka_settings)
    ana = CustomerRef(id="c1", email="ana@example.org", given_name="Ana", family_name="Ruiz")
    events = [sale(n, customer=ana if n % 2 else None) for n in range(40)]
    records = [outgoing(e) for e in events] + [outgoing(refund(n)) for n in (3, 4)]
    records += [outgoing(customer("c1", 1, email="ana@example.org"))]
    await writer.send_all(records)
    await writer.send_all(records[:10])  # a repeat of everything is no second effect

    async def all_delivered() -> bool:
        receipts = await installation.deliveries("qbo-receipts")
        crm = await installation.deliveries("hubspot-main")
        return receipts.get("delivered", 0) >= 42 and crm.get("delivered", 0) == 43

    await installation.until(all_delivered, "receipts and CRM have everything")
    entered = "select count(*) from book_entry"
    await installation.until(lambda: _counts(installation, entered, 42), "everything is entered")
    await set_business_clock(installation.pool, NOON + timedelta(days=2), 0)
    await installation.until(lambda: _books_closed(installation), "the journal company has its day", seconds=20)
    quickbooks = await installation.state("quickbooks")
    receipts = quickbooks["companies"]["1001"]
    assert len(receipts["SalesReceipt"]) == 40
    assert len(receipts["RefundReceipt"]) == 2
    assert len(quickbooks["companies"]["1002"]["JournalEntry"]) == 1
    hubspot = await installation.state("hubspot")
    assert len(hubspot["orders"]) == 40
    await writer.stop()


async def _counts(installation: Installation, query: str, wanted: int) -> bool:
    return await installation.count(query) == wanted


async def _books_closed(installation: Installation) -> bool:
    return (await installation.deliveries("qbo-journal")).get("delivered", 0) == 43
