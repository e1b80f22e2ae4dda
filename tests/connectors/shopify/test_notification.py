"""Which roots a webhook is about."""

from __future__ import annotations

from typing import Any

import pytest

from libs.connectors.contract.source import MalformedNotification, Notification
from libs.connectors.shopify import connector
from libs.connectors.shopify.notification import FEED_ROOTS, NO_EFFECT, ROOTS, identify
from tests.connectors.shopify.till import SHOP, webhook


@pytest.mark.parametrize(
    ("topic", "body", "root"),
    [
        ("orders/create", {"id": 59}, ("order", "59")),
        ("orders/cancelled", {"id": "59"}, ("order", "59")),
        ("orders/edited", {"order_edit": {"id": 1, "order_id": 59}}, ("order", "59")),
        ("refunds/create", {"id": 801, "order_id": 59}, ("order", "59")),
        ("order_transactions/create", {"id": 901, "order_id": 59}, ("order", "59")),
        ("tender_transactions/create", {"id": 31, "order_id": 59}, ("order", "59")),
        ("customers/redact", {"customer": {"id": 71}}, ("customer", "71")),
        ("products/update", {"id": 81}, ("product", "81")),
        ("inventory_levels/update", {"inventory_item_id": 46, "location_id": 57}, ("stock", "46@57")),
    ],
)
def test_the_root_of(topic: str, body: dict[str, Any], root: tuple[str, str]) -> None:
    identified = identify(webhook(topic, body, webhook_id="w-7"))
    assert (identified.account_id, identified.type, identified.delivery_id) == (SHOP, topic, "w-7")
    assert [(found.kind, found.id) for found in identified.roots] == [root]
    assert identified.no_effect is None


@pytest.mark.parametrize("topic", [*NO_EFFECT, "checkouts/create"])
def test_no_root_but_a_reason(topic: str) -> None:
    identified = identify(webhook(topic, {"id": 1}))
    assert identified.roots == ()
    assert identified.no_effect


def test_the_shop_is_known_by_its_domain_however_it_is_written() -> None:
    sent = webhook("orders/create", {"id": 59})
    shouting = Notification({**sent.headers, "x-shopify-shop-domain": SHOP.upper()}, sent.body)
    assert identify(shouting).account_id == SHOP


@pytest.mark.parametrize("domain", ["", "example.com", "a.myshopify.com.example.com", "a b.myshopify.com"])
def test_a_webhook_of_no_shop_is_malformed(domain: str) -> None:
    sent = webhook("orders/create", {"id": 59})
    with pytest.raises(MalformedNotification):
        identify(Notification({**sent.headers, "x-shopify-shop-domain": domain}, sent.body))


@pytest.mark.parametrize("wrong", [None, "", "x", -1, True, 1.5, 10**30, [], {}])
def test_an_id_that_is_none_is_malformed(wrong: Any) -> None:
    for topic in ROOTS:
        body = {"id": wrong, "order_id": wrong, "customer": {"id": wrong}, "inventory_item_id": wrong, "location_id": 1}
        sent = webhook(topic, {})
        with pytest.raises(MalformedNotification):
            identify(Notification(sent.headers, body))


@pytest.mark.parametrize("body", [None, [], "text", 7, {"feed": "payouts", "id": "1", "shop": SHOP}, {"id": "1"}])
def test_a_body_that_is_no_object_or_of_no_feed_is_malformed(body: Any) -> None:
    with pytest.raises(MalformedNotification):
        identify(Notification({}, body))


def test_without_a_delivery_id_the_content_tells_repeats() -> None:
    sent = webhook("orders/create", {"id": 59})
    bare = {name: value for name, value in sent.headers.items() if "webhook-id" not in name}
    first, again, other = (identify(Notification(bare, {"id": number})).delivery_id for number in (59, 59, 60))
    assert first == again != other


def test_the_manifest_names_exactly_what_is_read() -> None:
    facts = connector.manifest.source
    assert facts is not None
    assert {topic for topic, kinds in facts.events.items() if kinds} == set(ROOTS)
    assert {topic for topic, kinds in facts.events.items() if not kinds} == set(NO_EFFECT)
    assert set(facts.feeds) == set(FEED_ROOTS)
