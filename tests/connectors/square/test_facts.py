"""One fact is one event: whatever was notified, however often, and by whatever way it came."""

from __future__ import annotations

from typing import Any

import pytest

from libs.canonical.day import Component, lines_of_refund, lines_of_sale, merge, paid_for, paid_with
from libs.canonical.event import AnyEvent
from libs.canonical.identity import fact_id
from libs.canonical.kinds import Kind
from libs.canonical.sale import Refund, Sale, TenderType, check_refund, check_sale, money_hash
from libs.connectors.contract.http import Response
from libs.connectors.contract.source import Snapshot, SourceSettings
from tests.connectors.square.recorded import CASES, events_of, events_of_case, source
from tools.golden import write_json

MERCHANT = "MLTILL0000001"


def sale_of(events: list[AnyEvent], sale_id: str) -> Sale:
    (event,) = [event for event in events if event.kind is Kind.SALE_COMPLETED and event.entity_id == sale_id]
    assert isinstance(event.data, Sale)
    return event.data


def webhook(type_: str, name: str, body: dict[str, Any], object_id: str) -> dict[str, Any]:
    data = {"type": name, "id": object_id, "object": {name: body}}
    return {"merchant_id": MERCHANT, "type": type_, "event_id": "e", "created_at": "2025-09-01T00:00:00Z", "data": data}


def test_a_tip_adjusted_later_is_the_same_sale_with_other_money() -> None:
    (before,), (after,) = events_of_case("card_sale_with_tip"), events_of_case("tip_adjusted_later")
    assert before.id == after.id
    assert before.version < after.version
    assert isinstance(before.data, Sale)
    assert isinstance(after.data, Sale)
    assert money_hash(before.data) != money_hash(after.data)
    assert (before.data.tip.minor, after.data.tip.minor) == (200, 350)
    assert before.data.closed_at == after.data.closed_at


def test_a_fee_moves_no_money_of_the_sale() -> None:
    (before,), (after,) = events_of_case("card_sale_with_tip"), events_of_case("fee_only_update")
    assert before == after


def test_a_sale_has_the_id_of_its_order_alone() -> None:
    (event,) = events_of_case("card_sale_with_tip")
    assert event.id == fact_id(event.account, "sale.completed", "OrdDemo1")


def test_a_split_sale_is_one_sale_by_either_payment() -> None:
    case = CASES["split_tender"]
    first, second = (
        events_of(webhook("payment.updated", "payment", case.parts[f"payment:{name}"], name), case.parts)
        for name in ("PaySplitA", "PaySplitB")
    )
    assert first == second
    assert len(first) == 1
    assert len(sale_of(first, "OrdSplit1").tenders) == 2


@pytest.mark.parametrize(
    "name",
    [
        "partial_refund_with_goods",
        "two_refunds_of_an_amount",
        "refund_of_split_tender",
        "refund_with_tip_and_service_charge",
        "exchange_for_less",
        "exchange_for_more",
        "exchange_even",
    ],
)
def test_whatever_of_a_trade_is_notified_no_fact_is_told_in_two_ways(name: str) -> None:
    case = CASES[name]
    told = {event.id: event for event in events_of(case.notification.body, case.parts)}
    for part, body in case.parts.items():
        kind, _, object_id = part.partition(":")
        if kind == "order":
            notified = webhook("order.updated", "order_updated", {"order_id": object_id}, object_id)
        elif kind in ("payment", "refund"):
            notified = webhook(f"{kind}.updated", kind, body, object_id)
        else:
            continue
        again = events_of(notified, case.parts)
        assert again, part
        for event in again:
            assert event == told[event.id], f"told otherwise by {part}"


@pytest.mark.parametrize("name", sorted(name for name, case in CASES.items() if case.pulled))
def test_found_by_a_feed_it_is_the_same_event(name: str) -> None:
    case = CASES[name]
    assert case.pulled is not None
    page = Response(200, {}, write_json(case.pulled.page).encode())
    found = [
        event
        for notification in source.pull.found(case.pulled.feed, page)
        for event in events_of({**notification.body, "merchant_id": MERCHANT}, case.parts, case.settings)
    ]
    assert found == events_of(case.notification.body, case.parts, case.settings)


def trades() -> list[tuple[str, AnyEvent]]:
    named = [
        name for name in CASES if name not in ("body_without_type", "payment_without_order_id", "no_time_zone_known")
    ]
    return [(name, event) for name in named for event in events_of_case(name)]


def test_every_sale_and_refund_adds_up_and_balances_in_the_books() -> None:
    seen = 0
    for name, event in trades():
        data = event.data
        if not isinstance(data, (Sale, Refund)):
            continue
        seen += 1
        failing = check_sale(data) if isinstance(data, Sale) else check_refund(data)
        if name == "sale_that_does_not_add_up":
            assert [each.what for each in failing] == ["total"]
            continue
        assert failing == (), name
        lines = lines_of_sale(data) if isinstance(data, Sale) else lines_of_refund(data)
        assert paid_for(lines, data.currency) == paid_with(lines, data.currency), name
    assert seen > 50


def test_an_exchange_nets_to_what_was_paid() -> None:
    paid = {"exchange_for_more": 2500, "exchange_even": 0, "exchange_for_less": -1500}
    for name, net in paid.items():
        new = [event.data for event in events_of_case(name) if event.entity_id.startswith("OrdExc")]
        sales = [each for each in new if isinstance(each, Sale)]
        refunds = [each for each in new if isinstance(each, Refund)]
        lines = merge([line for sale in sales for line in lines_of_sale(sale)])
        lines = merge([*lines, *(line for refund in refunds for line in lines_of_refund(refund))])
        money = sum(line.amount.minor for line in lines if line.component is Component.TENDER)
        assert money == net, name
        assert not [line for line in lines if line.group == TenderType.EXCHANGE], name
        assert sales[0].exchange_refund_id == refunds[0].id
        assert refunds[0].sale_id == "OrdOld1"


def test_goods_given_back_whole_leave_nothing_in_the_books() -> None:
    events = events_of_case("refund_with_tip_and_service_charge")
    (sale,) = [event.data for event in events if isinstance(event.data, Sale)]
    (refund,) = [event.data for event in events if isinstance(event.data, Refund)]
    sums: dict[Component, int] = {}
    for line in (*lines_of_sale(sale), *lines_of_refund(refund)):
        sums[line.component] = sums.get(line.component, 0) + line.amount.minor
    assert sums.pop(Component.GROSS_SALES) == -sums.pop(Component.RETURNS)
    assert set(sums.values()) == {0}


def test_a_root_that_is_not_squares_cannot_be_read() -> None:
    from libs.connectors.contract.source import Unmappable

    moment = "2025-09-01T00:00:00Z"
    snapshot = Snapshot.model_validate(
        {
            "vendor": "square",
            "account_id": MERCHANT,
            "connection": "c",
            "root_kind": "booking",
            "root_id": "b",
            "parts": {},
            "via": "poll",
            "notified_as": "x",
            "received_at": moment,
            "assembled_at": moment,
        }
    )
    with pytest.raises(Unmappable, match="no root called"):
        source.to_canonical(snapshot, SourceSettings())
