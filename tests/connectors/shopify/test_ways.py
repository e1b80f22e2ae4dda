"""Webhook, poll and backfill show the same events, whichever comes first and however often."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import pytest

from libs.connectors.contract.source import Outcome, Period, SourceSettings
from libs.connectors.shopify.sandbox import ShopifySimulator
from tests.connectors.shopify.till import (
    ALL_TIME,
    SOURCE,
    line,
    order,
    outcome,
    payment,
    pulled,
    refund,
    shop_with,
    snapshot,
    webhook,
)

SOLD = order(
    "60.00",
    [line(1, "20.00", 3)],
    financial_status="partially_refunded",
    refunds=[refund(801, [(1, 1, "20.00")], "20.00")],
)
PAID = [payment(901, "45.00"), payment(902, "15.00", "cash")]
PRODUCT = {
    "id": 81,
    "title": "Shirt",
    "updated_at": "2026-02-01T00:00:00Z",
    "variants": [{"id": 91, "sku": "S-1", "price": "20.00", "inventory_item_id": 46}],
}
LEVEL = {"inventory_item_id": 46, "location_id": 579177, "available": 3, "updated_at": "2026-02-02T00:00:00Z"}
CUSTOMER = {"id": 71, "first_name": "Ada", "email": "ada@example.org", "updated_at": "2026-02-02T00:00:00Z"}


def shop() -> ShopifySimulator:
    filled = shop_with(SOLD, PAID)
    filled.load({"products": [PRODUCT], "inventory_levels": [LEVEL], "customers": [CUSTOMER]})
    return filled


@pytest.mark.parametrize(
    ("feed", "topic", "body", "kinds"),
    [
        ("orders", "orders/updated", SOLD, ["sale.completed", "refund.completed"]),
        ("orders", "refunds/create", SOLD["refunds"][0], ["sale.completed", "refund.completed"]),
        ("orders", "order_transactions/create", {"id": 901, "order_id": SOLD["id"]}, None),
        ("customers", "customers/update", CUSTOMER, ["customer.changed"]),
        ("products", "products/update", PRODUCT, ["product.changed", "price.changed"]),
        ("inventory", "inventory_levels/update", LEVEL, ["stock.counted"]),
    ],
)
def test_a_feed_shows_what_the_webhook_showed(
    feed: str, topic: str, body: dict[str, Any], kinds: list[str] | None
) -> None:
    seen = outcome(shop(), webhook(topic, body))
    assert kinds is None or [event.kind for event in seen.events] == kinds
    (listed,) = pulled(shop(), feed)
    found = without_till(outcome(shop(), listed))
    assert found == without_till(seen)
    identified = SOURCE.identify(listed)
    late = snapshot(shop(), identified.roots[0], via="backfill").model_copy(
        update={"received_at": datetime(2031, 1, 1, tzinfo=UTC)}
    )
    assert without_till(SOURCE.to_canonical(late, SourceSettings())) == found


def without_till(shown: Outcome) -> list[str]:
    """The events but for the till itself, which Shopify names in webhooks only."""
    return [
        event.model_copy(update={"data": event.data.model_copy(update={"register_id": None})}).model_dump_json()
        if "register_id" in type(event.data).model_fields
        else event.model_dump_json()
        for event in shown.events
    ]


def test_created_paid_and_updated_in_any_order_are_one_sale() -> None:
    topics = ("orders/create", "orders/paid", "orders/updated")
    for order_of_arrival in permutations(topics):
        ids = {outcome(shop(), webhook(topic, SOLD)).events[0].id for topic in order_of_arrival}
        assert len(ids) == 1


def test_a_stale_webhook_shows_what_is_true_now() -> None:
    stale = order("60.00", [line(1, "20.00", 3)], financial_status="pending", updated_at="2026-02-01T12:36:31-05:00")
    assert outcome(shop(), webhook("orders/create", stale)) == outcome(shop(), webhook("orders/updated", SOLD))


def test_staff_and_till_are_known_from_the_webhook_where_the_api_refuses_them() -> None:
    closed = shop()
    closed.configure({"denied": ["staffMember", "user", "device"]})
    sale: Any = outcome(closed, webhook("orders/paid", SOLD)).events[0].data
    assert (sale.staff_id, sale.register_id) == ("109650", "32921")
    (listed,) = pulled(closed, "orders")
    sale = outcome(closed, listed).events[0].data
    assert (sale.staff_id, sale.register_id) == (None, None)


def test_nothing_personal_is_kept_of_an_order_webhook() -> None:
    noisy = {**SOLD, "email": "ada@example.org", "customer": {"id": 71, "first_name": "Ada"}}
    (root,) = SOURCE.identify(webhook("orders/create", noisy)).roots
    assert root.have == {"till": {"user_id": 109650, "device_id": 32921}}


def test_an_object_listed_again_unchanged_is_the_same_delivery() -> None:
    first, second = pulled(shop(), "orders") + pulled(shop(), "orders")
    assert SOURCE.identify(first).delivery_id == SOURCE.identify(second).delivery_id
    touched = shop_with({**SOLD, "updated_at": "2026-03-01T00:00:00Z"}, PAID)
    assert SOURCE.identify(pulled(touched, "orders")[0]).delivery_id != SOURCE.identify(first).delivery_id


def test_a_feed_goes_through_all_pages_in_the_order_of_change() -> None:
    many = ShopifySimulator()
    many.load(
        {
            "orders": [
                order(
                    "1.00", [line(1, "1.00")], id=6000 + number, updated_at=f"2026-03-{number % 28 + 1:02d}T00:00:00Z"
                )
                for number in range(600)
            ]
        }
    )
    listed = pulled(many, "orders")
    assert {SOURCE.identify(each).roots[0].id for each in listed} == {str(6000 + number) for number in range(600)}
    changed = [each.body["updated_at"] for each in listed]
    assert changed == sorted(changed)
    assert many.counters()["Orders"] == 3


def test_a_period_holds_its_begin_and_leaves_out_what_is_outside() -> None:
    march = Period(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))
    many = ShopifySimulator()
    many.load(
        {
            "orders": [
                order("1.00", [line(1, "1.00")], id=number, updated_at=changed)
                for number, changed in enumerate(
                    (
                        "2026-02-28T23:59:59Z",
                        "2026-03-01T00:00:00Z",
                        "2026-03-31T19:59:59-04:00",
                        "2026-04-01T00:00:01Z",
                    ),
                    start=1,
                )
            ]
        }
    )
    assert [SOURCE.identify(each).roots[0].id for each in pulled(many, "orders", march)] == ["2", "3"]


def test_stock_is_listed_location_by_location_and_page_by_page() -> None:
    stocked = ShopifySimulator()
    levels = [
        {"inventory_item_id": item, "location_id": place, "available": 1, "updated_at": "2026-02-01T00:00:00Z"}
        for place in (11, 12, 13)
        for item in range(1, 131)
    ]
    stocked.load({"inventory_levels": levels, "locations": [{"id": 14}]})
    names = [SOURCE.identify(each).roots[0].id for each in pulled(stocked, "inventory", ALL_TIME)]
    assert sorted(names) == sorted(f"{each['inventory_item_id']}@{each['location_id']}" for each in levels)
    some = [SOURCE.identify(each).roots[0].id for each in pulled(stocked, "inventory", ALL_TIME, ("12", "online"))]
    assert {name.partition("@")[2] for name in some} == {"12"}
