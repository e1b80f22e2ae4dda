"""Sums of sales and refunds, and their figures in the books."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given

from libs.canonical.day import (
    Component,
    DayLine,
    lines_of_refund,
    lines_of_sale,
    merge,
    paid_for,
    paid_with,
    reverse,
    tax_group,
    tender_group,
)
from libs.canonical.money import Money
from libs.canonical.sale import (
    Discount,
    Sale,
    ServiceCharge,
    Tax,
    Tender,
    TenderType,
    check_refund,
    check_sale,
    money_hash,
)
from tests.canonical.generated_sales import refund_of_everything, sales
from tests.system.sales import refund, sale, usd

GOODS = {Component.GROSS_SALES, Component.RETURNS, Component.DISCOUNTS}


def _figures(lines: tuple[DayLine, ...]) -> dict[tuple[Component, str], int]:
    return {(line.component, line.group): line.amount.minor for line in lines}


@given(sales())
def test_what_was_paid_for_is_how_it_was_paid(generated: Sale) -> None:
    """A sale that adds up makes figures that add up: nothing of it is missing or counted twice."""
    assert check_sale(generated) == ()
    lines = lines_of_sale(generated)
    assert paid_for(lines, generated.currency) == paid_with(lines, generated.currency) == generated.total


@given(sales())
def test_a_refund_of_everything_pays_everything_back(generated: Sale) -> None:
    """Checked like a sale; in the books both sides are minus the sale's total."""
    back = refund_of_everything(generated)
    assert check_refund(back) == ()
    lines = lines_of_refund(back)
    assert paid_for(lines, back.currency) == paid_with(lines, back.currency) == -generated.total


@given(sales(discounted=False))
def test_a_refund_of_everything_reverses_the_sale_line_by_line(generated: Sale) -> None:
    """Every figure of the sale stands there with the opposite sign, tax too; goods stand under returns instead."""
    sold = _figures(lines_of_sale(generated))
    moved = {(Component.RETURNS if c is Component.GROSS_SALES else c, g): -amount for (c, g), amount in sold.items()}
    assert _figures(lines_of_refund(refund_of_everything(generated))) == moved


@given(sales())
def test_with_discounts_only_goods_are_netted(generated: Sale) -> None:
    """Tax, tips, charges, rounding and tenders cancel exactly; goods come back net of their discount, in sum equal."""
    netted = GOODS | {Component.GIFT_CARDS_SOLD, Component.SHIPPING, Component.DONATIONS}
    left = merge([*lines_of_sale(generated), *lines_of_refund(refund_of_everything(generated))])
    assert {line.component for line in left} <= netted
    assert sum(line.amount.minor for line in left) == 0


@given(sales())
def test_the_order_of_lines_and_tenders_is_no_money(generated: Sale) -> None:
    """A vendor that lists them in another order has amended nothing, and the figures are the same."""
    turned = generated.model_copy(
        update={
            "lines": generated.lines[::-1], "tenders": generated.tenders[::-1],
            "service_charges": generated.service_charges[::-1],
        }
    )  # fmt: skip
    assert money_hash(turned) == money_hash(generated)
    assert lines_of_sale(turned) == lines_of_sale(generated)


def test_refunded_tax_has_the_opposite_sign() -> None:
    """10.80 back of which 0.80 tax: minus ten, minus eighty cents, paid out ten eighty."""
    assert _figures(lines_of_refund(refund(1).data)) == {
        (Component.RETURNS, ""): -1000,
        (Component.TAX, "Sales tax @ 0.08"): -80,
        (Component.TENDER, "card"): -1080,
    }


def test_inclusive_tax_is_taken_out_of_sales_and_of_charges() -> None:
    """11.90 with 1.90 VAT inside, 2.38 delivery with 0.38 inside: ten and two are sales, 2.28 are tax."""
    vat = {"name": "VAT", "rate": Decimal("0.190"), "inclusive": True}
    bought = sale(1).data
    line = bought.lines[0].model_copy(
        update={"gross": usd(1190), "taxes": (Tax(amount=usd(190), **vat),), "total": usd(1190)}
    )
    charge = ServiceCharge(name="Delivery", amount=usd(238), taxes=(Tax(amount=usd(38), **vat),), total=usd(238))
    tender = bought.tenders[0].model_copy(update={"amount": usd(1428)})
    whole = bought.model_copy(
        update={"lines": (line,), "service_charges": (charge,), "tenders": (tender,), "total": usd(1428)}
    )
    assert check_sale(whole) == ()
    expected = {
        (Component.GROSS_SALES, ""): 1000,
        (Component.SERVICE_CHARGES, "Delivery"): 200,
        (Component.TAX, "VAT @ 0.19"): 228,
        (Component.TENDER, "card"): 1428,
    }
    assert _figures(lines_of_sale(whole)) == expected
    back = _figures(lines_of_refund(refund_of_everything(whole)))
    assert back.pop((Component.RETURNS, "")) == -1000
    assert back == {place: -amount for place, amount in expected.items() if place[0] not in GOODS}


def test_a_charge_for_staff_is_a_tip() -> None:
    """An automatic gratuity is not the seller's revenue."""
    gratuity = ServiceCharge(name="Gratuity", amount=usd(200), total=usd(200), paid_to_staff=True)
    lines = lines_of_sale(sale(1).data.model_copy(update={"service_charges": (gratuity,), "tip": usd(100)}))
    assert {g: a for (c, g), a in _figures(lines).items() if c is Component.TIPS} == {"Gratuity": 200, "": 100}


def test_a_refund_without_goods_is_a_return() -> None:
    """Money given back without saying for what still has its line."""
    plain = refund(1, amount=500, tax=0).data.model_copy(update={"lines": (), "unitemised": usd(500)})
    assert check_refund(plain) == ()
    assert _figures(lines_of_refund(plain)) == {(Component.RETURNS, ""): -500, (Component.TENDER, "card"): -500}


@pytest.mark.parametrize(
    ("change", "what"),
    [({"total": usd(1081)}, ["total", "tenders"]), ({"tip": usd(5)}, ["total"]), ({"tenders": ()}, ["tenders"])],
)
def test_sums_that_do_not_hold_are_named_with_both_figures(change: dict[str, Any], what: list[str]) -> None:
    """Each difference says what it is about, what was stated and what the parts make."""
    found = check_sale(sale(1).data.model_copy(update=change))
    assert [difference.what for difference in found] == what
    assert all(difference.amount for difference in found)
    assert all(str(d) == f"{d.what}: stated {d.stated}, its parts make {d.computed}" for d in found)


def test_a_line_that_does_not_add_up_is_named() -> None:
    """Also when the sale as a whole does: two wrongs that cancel are two wrongs."""
    line = sale(1).data.lines[0]
    wrong = line.model_copy(update={"discounts": (Discount(name="x", amount=usd(1)),)})
    assert [d.what for d in check_sale(sale(1).data.model_copy(update={"lines": (wrong,)}))] == ["line 1"]
    back = refund(1).data
    bad = back.lines[0].model_copy(update={"total": usd(1079)})
    assert [d.what for d in check_refund(back.model_copy(update={"lines": (bad,)}))] == ["line 1", "total"]
    assert [d.what for d in check_refund(back.model_copy(update={"tenders": ()}))] == ["tenders"]


VAT = Tax(name="VAT", amount=usd(10), inclusive=True)
CHARGE = ServiceCharge(name="Delivery", amount=usd(100), taxes=(VAT,), total=usd(100))
MONEY_CHANGES: dict[str, dict[str, Any]] = {
    "tip": {"tip": usd(1)},
    "rounding": {"rounding": usd(1)},
    "total": {"total": usd(1)},
    "tender": {"tenders": (Tender(id="pay-1", type=TenderType.CASH, amount=usd(1080), tip=usd(0)),)},
    "charge": {"service_charges": (CHARGE,)},
    "tax of a charge": {"service_charges": (CHARGE.model_copy(update={"taxes": ()}),)},
    "charge for staff": {"service_charges": (CHARGE.model_copy(update={"paid_to_staff": True}),)},
    "line": {"lines": ()},
    "tax of a line": {"lines": (sale(1).data.lines[0].model_copy(update={"taxes": (VAT,)}),)},
}


def test_every_change_of_money_is_seen() -> None:
    """Each of them makes another digest than the sale as it was, and than every other."""
    digests = {name: money_hash(sale(1).data.model_copy(update=change)) for name, change in MONEY_CHANGES.items()}
    repeated = [digest for digest, times in Counter(digests.values()).items() if times > 1]
    assert [name for name, digest in digests.items() if digest in repeated] == []
    assert money_hash(sale(1).data) not in digests.values()


def test_what_moves_no_money_is_not_seen() -> None:
    """Names, notes, times, staff, how a number is written: no amendment."""
    plain = sale(1).data
    line = plain.lines[0]
    same = line.model_copy(
        update={
            "name": "Kaffee", "note": "n", "staff_id": "s", "quantity": Decimal("1.000"),
            "taxes": (line.taxes[0].model_copy(update={"rate": Decimal("0.0800")}),),
        }
    )  # fmt: skip
    told_again = plain.model_copy(update={"lines": (same,), "note": "n", "staff_id": "s", "number": "other"})
    assert money_hash(told_again) == money_hash(plain)


def test_lines_without_ids_of_their_own_can_be_compared() -> None:
    """Two lines of one id, one with a SKU and one without, are still told apart."""
    line = sale(1).data.lines[0]
    pair = (line, line.model_copy(update={"sku": None}))
    hashes = {money_hash(sale(1).data.model_copy(update={"lines": lines})) for lines in (pair, pair[::-1])}
    assert len(hashes) == 1


def test_figures_are_merged_sorted_and_without_zeros() -> None:
    """Equal lines add up; what comes to nothing is no line; another currency is another line."""
    tax = DayLine(component=Component.TAX, group="a", amount=usd(5))
    gross = DayLine(component=Component.GROSS_SALES, amount=usd(7))
    euro = DayLine(component=Component.TAX, group="a", amount=Money(minor=1, currency="EUR"))
    assert merge([tax, gross, tax]) == (gross, tax.model_copy(update={"amount": usd(10)}))
    assert merge([tax, gross, *reverse([tax, gross])]) == ()
    assert merge([tax, euro, *reverse([tax])]) == (euro,)


def test_names_of_taxes_and_tenders_in_the_books() -> None:
    """As the target's mapping knows them: a rate is written one way, a card's brand is no part of it."""
    assert tax_group(Tax(name="Sales Tax", rate=Decimal("0.08250"), amount=usd(1))) == "Sales Tax @ 0.0825"
    assert tax_group(Tax(name="Sales Tax", rate=Decimal("0E-4"), amount=usd(0))) == "Sales Tax @ 0"
    assert tax_group(Tax(name="Sales Tax", amount=usd(1))) == "Sales Tax"
    plain = Tender(id="t", type=TenderType.CARD, amount=usd(1), tip=usd(0), card_brand="VISA")
    assert tender_group(plain) == "card"
    assert (
        tender_group(plain.model_copy(update={"type": TenderType.EXTERNAL, "label": "DoorDash"})) == "external:DoorDash"
    )
