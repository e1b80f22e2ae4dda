"""Receipts: QuickBooks' own total is the deposited tender, to the cent, and later changes reach the same document."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from libs.canonical.sale import Sale
from libs.connectors.contract.target import Deliver, Filtered, Hold, Ref
from tests.connectors.quickbooks.company import Client
from tests.connectors.quickbooks.samples import (
    ITEMS,
    SALES,
    TAXED,
    WRONG,
    YEN,
    amended,
    buyer,
    closed,
    line,
    off,
    refund,
    refund_line,
    refunded,
    sale,
    settings,
    sold,
    tax,
    tender,
    voided,
    with_differences,
)


def receipts(**more: Any) -> Client:
    return Client(settings("receipts", **more))


@pytest.mark.parametrize("as_line", [True, False])
@pytest.mark.parametrize("name", SALES)
def test_the_total_is_the_deposited_tender(name: str, as_line: bool) -> None:
    data, deposit = SALES[name]
    client = receipts(tax_as_line=as_line)
    client.deliver(sold(data))
    (receipt,) = client.stored("SalesReceipt")
    assert receipt["TotalAmt"] == Decimal(deposit) / 100


@given(
    st.lists(st.tuples(st.integers(0, 99999), st.integers(1, 7), st.integers(0, 900)), min_size=1, max_size=5),
    st.integers(0, 500),
    st.integers(0, 100),
)
@effort(max_examples=60, deadline=None)
def test_any_sale_is_accepted_with_the_total_of_its_main_tender(
    goods: list[tuple[int, int, int]], tip: int, cash_share: int
) -> None:
    lines = [
        line(gross, id=f"l{n}", quantity=str(count), taxes=[tax(on_top)], discounts=[off(gross // 3)])
        for n, (gross, count, on_top) in enumerate(goods)
    ]
    due = sum(each.total.minor for each in lines) + tip
    cash = due * cash_share // 100
    data = sale(lines, [tender(due - cash), tender(cash, "cash")], tip=tip)
    client = receipts()
    plan = client.plan(sold(data))
    if due == 0:
        assert plan == Filtered("zero total")
        return
    client.deliver(sold(data))
    (receipt,) = client.stored("SalesReceipt")
    assert receipt["TotalAmt"] == Decimal(max(cash, due - cash)) / 100


def test_yen() -> None:
    client = receipts(home_currency="JPY")
    client.deliver(sold(YEN))
    (receipt,) = client.stored("SalesReceipt")
    assert receipt["TotalAmt"] == 600
    assert receipt["DepositToAccountRef"] == {"value": "92"}


def test_tax_as_lines_is_exact_where_the_company_computes_tax_anew_and_a_total_is_not() -> None:
    # 0.78 collected; 8 % of the taxable 10.00 would be 0.80.
    data = SALES["several_taxes"][0]
    totals = {}
    for as_line in (True, False):
        client = receipts(tax_as_line=as_line)
        client.sandbox.configure({"tax_rate": "0.08"})
        client.deliver(sold(data))
        totals[as_line] = client.stored("SalesReceipt")[0]["TotalAmt"]
    assert totals == {True: Decimal("14.78"), False: Decimal("14.80")}


def test_liabilities_are_redeemed_and_never_deposited() -> None:
    client = receipts()
    client.deliver(sold(SALES["store_credit"][0]))
    (receipt,) = client.stored("SalesReceipt")
    assert receipt["DepositToAccountRef"] == {"value": "92"}
    payments = [each for each in receipt["Line"] if str(each.get("Description", "")).startswith("Paid by")]
    assert [(each["Amount"], each["SalesItemLineDetail"]["ItemRef"]["value"]) for each in payments] == [
        (Decimal("-10.00"), "25")
    ]


def test_a_sale_without_money_is_filtered_and_gets_its_receipt_when_it_is_amended() -> None:
    free = sale([line(500, discounts=[off(500)])], [])
    client = receipts()
    assert client.plan(sold(free)) == Filtered("zero total")
    client.deliver(amended(free, sale([line(500)], [tender(500)])))
    assert client.stored("SalesReceipt")[0]["TotalAmt"] == 5


def test_a_tip_adjusted_later_changes_the_same_receipt() -> None:
    before = SALES["tip"][0]
    after = sale([TAXED], [tender(1380, tip=300)], tip=300)
    client = receipts()
    client.deliver(sold(before))
    client.deliver(amended(before, after))
    client.deliver(amended(after, before, 2))
    (receipt,) = client.stored("SalesReceipt")
    assert receipt["TotalAmt"] == Decimal("12.80")
    assert receipt["SyncToken"] == "2"


def test_an_amendment_done_is_recognised_by_its_note_and_an_earlier_one_is_not() -> None:
    before = SALES["tip"][0]
    first, second = (
        amended(before, sale([TAXED], [tender(1080 + tip, tip=tip)], tip=tip), n) for n, tip in ((1, 300), (2, 400))
    )
    client = receipts()
    client.deliver(sold(before))
    change = client.deliver(first).steps[-1]
    assert client.look_up(change) is not None
    later = client.plan(second)
    assert isinstance(later, Deliver)
    assert client.look_up(later.steps[-1]) is None


def test_a_void_keeps_the_receipt_with_zero() -> None:
    data = SALES["plain"][0]
    client = receipts()
    client.deliver(sold(data))
    plan = client.plan(voided(data))
    assert isinstance(plan, Deliver)
    assert client.look_up(plan.steps[-1]) is None
    client.deliver(voided(data))
    (receipt,) = client.stored("SalesReceipt")
    assert receipt["TotalAmt"] == 0
    assert client.look_up(plan.steps[-1]) is not None


def test_changes_of_a_sale_that_is_not_here_are_filtered() -> None:
    data = SALES["tip"][0]
    client = receipts()
    rule = Filtered("the sale has no sales receipt here")
    assert client.plan(voided(data)) == rule
    assert client.plan(amended(data, SALES["plain"][0])) == rule


def test_a_sale_that_pays_out_is_a_refund_receipt_and_its_changes_are_held() -> None:
    data = sale(
        [line(500, id="new", sku="CAP"), line(-1200, id="back", quantity="-1", sku="SHIRT")], [tender(-700, "cash")]
    )
    client = receipts()
    client.deliver(sold(data))
    (receipt,) = client.stored("RefundReceipt")
    assert receipt["TotalAmt"] == 7
    assert client.stored("SalesReceipt") == []
    assert isinstance(client.plan(voided(data)), Hold)
    assert isinstance(client.plan(amended(data, SALES["plain"][0])), Hold)


def test_a_sale_that_comes_to_pay_out_is_held() -> None:
    data = SALES["plain"][0]
    client = receipts()
    client.deliver(sold(data))
    paying_out = sale([line(-300, quantity="-1")], [tender(-300)])
    assert isinstance(client.plan(amended(data, paying_out)), Hold)


REFUNDS = {
    "partial": (refund([refund_line(500, taxes=[tax(40)])], [tender(540)]), 540, "91"),
    "without a sale": (refund([refund_line(500)], [tender(500, "cash")], sale_id=None), 500, "92"),
    "split": (refund([refund_line(500, taxes=[tax(40)])], [tender(400), tender(140, "store_credit")]), 400, "91"),
    "store credit": (refund([refund_line(500)], [tender(500, "store_credit")]), 0, "92"),
    "without lines": (refund([], [tender(250)], unitemised=250), 250, "91"),
    "price alone": (refund([refund_line(200, quantity="0")], [tender(200)]), 200, "91"),
    "inclusive": (
        refund([refund_line(600, taxes=[tax(100, "0.2", "VAT", inclusive=True)])], [tender(600)]),
        600,
        "91",
    ),
    "discounted with tip": (refund([refund_line(600, discounts=[off(100)])], [tender(620)], tip=120), 620, "91"),
}


@pytest.mark.parametrize("name", REFUNDS)
def test_a_refund_pays_out_what_was_paid_out(name: str) -> None:
    data, paid, account = REFUNDS[name]
    client = receipts()
    client.deliver(refunded(data))
    (receipt,) = client.stored("RefundReceipt")
    assert receipt["TotalAmt"] == Decimal(paid) / 100
    assert receipt["DepositToAccountRef"] == {"value": account}


def test_a_refund_without_money_is_filtered() -> None:
    assert receipts().plan(refunded(refund([refund_line(0)], []))) == Filtered("zero total")


def test_a_difference_needs_an_item() -> None:
    held = receipts().plan(sold(WRONG))
    assert isinstance(held, Hold)
    assert "items.unexplained_differences" in held.reason
    config = with_differences("receipts")
    client = receipts(items=config["items"])
    client.deliver(sold(WRONG))
    (receipt,) = client.stored("SalesReceipt")
    assert receipt["TotalAmt"] == Decimal("10.75")


def test_a_refund_that_does_not_add_up_takes_its_difference_along() -> None:
    wrong = refund([refund_line(500)], [tender(505)])
    client = receipts(items=with_differences("receipts")["items"])
    client.deliver(refunded(wrong))
    assert client.stored("RefundReceipt")[0]["TotalAmt"] == Decimal("5.05")


def test_everything_unmapped_is_named_at_once() -> None:
    plan = Client(settings("receipts", items={}, accounts={}, walk_in_customer=None)).plan(sold(SALES["tip"][0]))
    assert plan == Hold(
        "not mapped: items.default_item; items.tips; items.taxes for 'Sales Tax @ 0.08'; walk_in_customer; "
        "accounts.tenders for 'card'"
    )


def test_items_by_sku_are_found_or_created_once() -> None:
    client = receipts(items=ITEMS | {"by_sku": True, "income_account": "79"})
    client.sandbox.load({"items": [{"Id": "500", "Name": "Old", "Sku": "00123", "Type": "NonInventory"}]})
    for number in ("A", "B"):
        client.deliver(sold(SALES["numeric_sku"][0].model_copy(update={"id": number})))
    first, second = client.stored("SalesReceipt")
    used = [each["SalesItemLineDetail"]["ItemRef"]["value"] for each in first["Line"][:2]]
    (created,) = client.stored("Item")
    assert used == ["500", created["Id"]]
    assert created["Sku"] == "A-00123"
    assert [each["SalesItemLineDetail"]["ItemRef"]["value"] for each in second["Line"][:2]] == used
    assert client.sandbox.counters()["queries"] == 2


def test_a_known_customer_is_named_and_an_unknown_one_is_the_walk_in() -> None:
    data = SALES["plain"][0].model_copy(update={"customer": buyer()})
    client = receipts(customers=True)
    client.sandbox.load({"customers": [{"Id": "88", "DisplayName": "Ada"}]})
    client.deliver(sold(data))
    client.known[Ref("customer", "square:ML1:customer:C7")] = "88"
    client.deliver(sold(data.model_copy(update={"id": "Ord10"})))
    assert [each["CustomerRef"]["value"] for each in client.stored("SalesReceipt")] == ["58", "88"]


def test_quantity_and_price_are_sent_as_far_as_they_make_the_amount() -> None:
    def detail(data: Sale) -> dict[str, Any]:
        plan = receipts().plan(sold(data))
        assert isinstance(plan, Deliver)
        found: dict[str, Any] = plan.steps[0].request.json["Line"][0]["SalesItemLineDetail"]
        return {key: found[key] for key in ("Qty", "UnitPrice") if key in found}

    assert detail(sale([line(1500, quantity="4")], [tender(1500)])) == {"Qty": 4, "UnitPrice": Decimal("3.75")}
    assert detail(SALES["thirds"][0]) == {"Qty": 3}
    assert detail(sale([line(100, quantity="0")], [tender(100)])) == {}


def test_departments_and_payment_methods_are_named() -> None:
    client = receipts(departments={"L1": "2"}, payment_methods={"groups": {"card": "3"}})
    client.deliver(sold(SALES["plain"][0]))
    (receipt,) = client.stored("SalesReceipt")
    assert receipt["DepartmentRef"] == {"value": "2"}
    assert receipt["PaymentMethodRef"] == {"value": "3"}


def test_every_write_carries_a_request_id_and_no_read_does() -> None:
    client = receipts()
    data = SALES["tip"][0]
    client.deliver(sold(data))
    client.deliver(voided(data))
    keys = {(each.method, len(each.query.get("requestid", ""))) for each in client.sent}
    assert keys == {("POST", 22), ("GET", 0)}
    assert all(each.query["minorversion"] == "75" for each in client.sent)


def test_the_closed_day_is_filtered() -> None:
    assert receipts().plan(closed(sold(SALES["plain"][0]))) == Filtered("sales are sent one by one")
