"""Orders as sales and refunds."""

from __future__ import annotations

from typing import Any

import pytest

from libs.canonical.day import Component, DayLine, lines_of_refund, lines_of_sale, merge
from libs.canonical.kinds import Kind
from libs.canonical.sale import Refund, Sale, check_refund, check_sale, money_hash
from libs.connectors.contract.source import Root, SourceSettings, Unmappable
from libs.connectors.shopify import shape
from tests.connectors.shopify.till import (
    SOURCE,
    events_of,
    line,
    order,
    outcome,
    payment,
    refund,
    shop_with,
    snapshot,
    webhook,
)


def sale_of(order_: dict[str, Any], payments: list[dict[str, Any]]) -> Sale:
    data = events_of(order_, payments)[0].data
    assert isinstance(data, Sale)
    return data


def refunds_of(order_: dict[str, Any], payments: list[dict[str, Any]]) -> list[Refund]:
    return [event.data for event in events_of(order_, payments) if isinstance(event.data, Refund)]


def test_a_tip_adjusted_later_is_the_same_sale_with_other_money() -> None:
    before = order("22.00", [line(1, "20.00")], total_tip_received="2.00")
    after = order("25.00", [line(1, "20.00")], total_tip_received="5.00", updated_at="2026-02-01T13:00:00-05:00")
    was, now = events_of(before, [payment(901, "22.00")])[0], events_of(after, [payment(901, "25.00")])[0]
    assert was.id == now.id
    assert now.version > was.version
    assert isinstance(was.data, Sale)
    assert isinstance(now.data, Sale)
    assert money_hash(was.data) != money_hash(now.data)
    assert check_sale(was.data) == check_sale(now.data) == ()


def test_a_change_without_money_leaves_the_money_hash() -> None:
    plain = order("20.00", [line(1, "20.00")])
    noted = {**plain, "note": "Gift wrap", "updated_at": "2026-03-01T13:00:00-05:00", "user_id": 1}
    assert money_hash(sale_of(plain, [payment(901, "20.00")])) == money_hash(sale_of(noted, [payment(901, "20.00")]))


def test_one_rate_in_two_notations_is_one_money_hash() -> None:
    hashes = {
        money_hash(
            sale_of(
                order("21.00", [line(1, "20.00", tax_lines=[{"title": "GST", "rate": rate, "price": "1.00"}])]),
                [payment(901, "21.00")],
            )
        )
        for rate in (0.05, "0.0500", "0.05")
    }
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("new_goods", "paid_on_top", "paid_out"),
    [("40.00", "10.00", None), ("30.00", None, None), ("20.00", None, "10.00")],
)
def test_the_books_of_an_exchange_hold_only_the_real_money(
    new_goods: str, paid_on_top: str | None, paid_out: str | None
) -> None:
    total = {"40.00": "100.00", "30.00": "90.00", "20.00": "80.00"}[new_goods]
    swapped = order(
        total,
        [line(1, "30.00"), line(2, "30.00"), line(3, new_goods)],
        refunds=[refund(801, [(1, 1, "30.00")], paid_out)],
    )
    payments = [payment(901, "60.00")] + ([payment(902, paid_on_top)] if paid_on_top else [])
    events = events_of(swapped, payments)
    books: list[DayLine] = []
    for event in events:
        if isinstance(event.data, Sale):
            assert not check_sale(event.data)
            assert event.data.exchange_refund_id == "801"
            books += lines_of_sale(event.data)
        if isinstance(event.data, Refund):
            assert not check_refund(event.data)
            assert event.data.total.minor == 3000
            books += lines_of_refund(event.data)
    tenders = {each.group: each.amount.minor for each in merge(books) if each.component is Component.TENDER}
    expected = 6000 + (1000 if paid_on_top else 0) - (1000 if paid_out else 0)
    assert tenders == {"card": expected}


def test_a_return_is_paid_once_also_when_the_money_follows_by_itself() -> None:
    given_back = order(
        "60.00",
        [line(1, "30.00"), line(2, "30.00")],
        refunds=[refund(802, [], "30.00"), refund(801, [(1, 1, "30.00")], None)],
    )
    first, second = refunds_of(given_back, [payment(901, "60.00")])
    assert [check_refund(each) for each in (first, second)] == [(), ()]
    assert (first.id, second.id) == ("801", "802")
    books = merge((*lines_of_refund(first), *lines_of_refund(second)))
    assert {each.component: each.amount.minor for each in books} == {Component.RETURNS: -3000, Component.TENDER: -3000}
    assert second.refunded_to_date == first.refunded_to_date


def test_refunds_add_up_in_the_order_they_were_made() -> None:
    given_back = order(
        "60.00",
        [line(1, "20.00", 3)],
        refunds=[refund(803, [(1, 1, "20.00")], "20.00"), refund(801, [(1, 1, "20.00")], "20.00")],
    )
    shown = refunds_of(given_back, [payment(901, "60.00")])
    assert [(each.id, each.refunded_to_date and each.refunded_to_date.minor) for each in shown] == [
        ("801", 2000),
        ("803", 4000),
    ]


@pytest.mark.parametrize(
    ("more", "kinds"),
    [
        ({"financial_status": "voided"}, [Kind.SALE_COMPLETED, Kind.SALE_VOIDED]),
        ({"financial_status": "paid"}, [Kind.SALE_COMPLETED]),
        (
            {"financial_status": "refunded", "refunds": [refund(801, [(1, 1, "20.00")], "20.00")]},
            [Kind.SALE_COMPLETED, Kind.REFUND_COMPLETED],
        ),
        (
            {"refunds": [refund(801, [(1, 1, "20.00")], None, order_adjustments=[{"id": 1, "amount": "20.00"}])]},
            [Kind.SALE_COMPLETED, Kind.REFUND_COMPLETED],
        ),
    ],
    ids=["payment voided", "money kept", "paid back", "goods back, money kept"],
)
def test_a_cancelled_sale_is_void_only_when_its_money_is_undone(more: dict[str, Any], kinds: list[Kind]) -> None:
    cancelled = order("20.00", [line(1, "20.00")], cancelled_at="2026-02-01T13:00:00-05:00", **more)
    assert [event.kind for event in events_of(cancelled, [payment(901, "20.00")])] == kinds


def test_a_cancelled_sale_of_nothing_is_void() -> None:
    free = order("0.00", [line(1, "0.00")], cancelled_at="2026-02-01T13:00:00-05:00")
    assert [event.kind for event in events_of(free, [])] == [Kind.SALE_COMPLETED, Kind.SALE_VOIDED]


def test_a_configured_zone_wins_over_the_shops() -> None:
    late = order("20.00", [line(1, "20.00")], processed_at="2026-02-01T23:30:00-05:00")
    late |= {"created_at": late["processed_at"], "updated_at": late["processed_at"]}
    shop = shop_with(late, [payment(901, "20.00")])
    configured = SourceSettings.model_validate({"locations": {"579177": {"timezone": "Europe/Paris"}}})
    days = []
    for settings in (SourceSettings(), configured):
        data = outcome(shop, webhook("orders/paid", late), settings).events[0].data
        assert isinstance(data, Sale)
        days.append(data.business_day.isoformat())
    assert days == ["2026-02-01", "2026-02-02"]


def test_no_zone_anywhere_cannot_be_mapped() -> None:
    shop = shop_with(order("20.00", [line(1, "20.00")]), [payment(901, "20.00")])
    shop.load({"shop": {"iana_timezone": None}})
    with pytest.raises(Unmappable, match="time zone"):
        outcome(shop, webhook("orders/paid", {"id": 5900000000001}))


def test_a_list_that_was_cut_is_never_read_as_whole() -> None:
    many = [payment(1000 + number, "1.00", kind="refund") for number in range(11)]
    cut = order("20.00", [line(1, "20.00")], refunds=[{**refund(801, [], None), "transactions": many}])
    with pytest.raises(Unmappable, match="too_long"):
        events_of(cut, [payment(901, "20.00")])


def test_all_pages_of_lines_are_read() -> None:
    lines = [line(number, "1.00") for number in range(1, 131)]
    returned = [(number, 1, "1.00") for number in range(1, 96)]
    long = order("130.00", lines, refunds=[refund(801, returned, "95.00")])
    events = events_of(long, [payment(901, "130.00")])
    shown = [event.data for event in events if isinstance(event.data, (Sale, Refund))]
    assert [len(data.lines) for data in shown] == [130, 95]
    assert not check_sale(sale_of(long, [payment(901, "130.00")]))


def test_of_a_card_only_brand_and_last_four_pass() -> None:
    full = {
        "id": "gid://shopify/OrderTransaction/1",
        "paymentDetails": {"company": "Visa", "number": "4242 4242 4242 4242", "name": "A BUYER", "bin": "424242"},
        "receiptJson": "{}",
    }
    shaped: Any = shape.order({"transactions": [full]})
    assert shaped["transactions"][0]["card_last4"] == "4242"
    assert "424242" not in str(shaped).replace("4242", "", 1)
    assert "BUYER" not in str(shaped)


def test_an_unknown_kind_of_root_cannot_be_mapped() -> None:
    shop = shop_with(order("20.00", [line(1, "20.00")]), [])
    with pytest.raises(Unmappable):
        SOURCE.to_canonical(snapshot(shop, Root("payout", "1")), SourceSettings())
