"""The story is the same in every run, and its parts fit together before anybody else touches them."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal

import pytest

from libs.connectors.contract.connector import connector
from libs.connectors.contract.source import Webhook
from libs.runtime.configuration.reading import parse_configuration
from tests.demo.paper_run import LAST_DAY
from tests.demo.paper_run import story as told
from tools.demo import shopify_shapes, square_shapes
from tools.demo.baskets import DAYS, STORES
from tools.demo.configuration import configuration
from tools.demo.hooks import as_json
from tools.demo.story import Story, all_hooks, tell


@pytest.fixture(scope="module")
def story() -> Story:
    return told()


def test_the_same_day_tells_the_same_story(story: Story) -> None:
    again = tell(LAST_DAY)
    assert [hook.body for hook in all_hooks(again)] == [hook.body for hook in all_hooks(story)]
    assert as_json(again.master) == as_json(story.master)


def test_it_is_as_large_as_promised(story: Story) -> None:
    assert len(story.sales) >= 2000
    assert len(story.stores) == STORES
    assert Counter(store.books for store in story.stores) == {"qbo-receipts": 10, "qbo-journal": 10}
    assert Counter(store.vendor for store in story.stores) == {"square": 15, "shopify": 5}
    assert len({store.timezone for store in story.stores}) >= 3
    assert {sale.day for sale in story.sales} == set(range(DAYS))
    assert sum(sale.store.books == "qbo-receipts" for sale in story.sales) <= 800, "each becomes a receipt"


def test_real_edge_cases_stay(story: Story) -> None:
    lines = [line for sale in story.sales for line in sale.lines]
    assert any(line.quantity == 0 for line in lines)
    assert any(sale.total == 0 for sale in story.sales)
    assert any(line.quantity != line.quantity.to_integral_value() for line in lines), "fuel in odd units"


def test_every_sale_is_paid_to_the_cent(story: Story) -> None:
    exchanged = Counter[str]()
    for back in story.happenings.give_backs:
        if back.new:
            exchanged[back.new.id] += back.total
    for sale in story.sales:
        assert sum(payment.amount for payment in sale.payments) + exchanged[sale.id] == sale.total
        for line in sale.lines:
            assert line.gross == int((line.price * line.quantity).quantize(Decimal(1)))


def test_no_two_things_share_an_id(story: Story) -> None:
    assert len({sale.id for sale in story.sales}) == len(story.sales)
    payments = [payment.id for sale in story.sales for payment in sale.payments]
    assert len(set(payments)) == len(payments)
    orders = [
        deed.load["shopify"]["orders"][0]
        for day in story.days
        for deed in day
        if "orders" in deed.load.get("shopify", {})
    ]
    lines = {(line["id"], order["id"]) for order in orders for line in order["line_items"]}
    assert len({line for line, _ in lines}) == len(lines)


def test_the_webhooks_are_signed_as_the_vendors_sign(story: Story) -> None:
    """The connectors' own verification accepts the first of each vendor, and refuses it altered."""
    from datetime import UTC, datetime

    from libs.connectors.contract.source import SignatureInvalid

    secrets = {"signature_key": square_shapes.SIGNATURE_KEY, "client_secret": shopify_shapes.CLIENT_SECRET}
    urls = {"square": square_shapes.PUBLIC_URL, "shopify": shopify_shapes.PUBLIC_URL}
    for vendor, url in urls.items():
        hook = next(each for each in all_hooks(story) if each.connection == f"{vendor}-main")
        source = connector(vendor).source
        assert source is not None
        headers = {name.lower(): value for name, value in hook.headers.items()}
        source.verify(Webhook(headers, hook.body, url), secrets, datetime.now(UTC))
        with pytest.raises(SignatureInvalid):
            source.verify(Webhook(headers, hook.body + b" ", url), secrets, datetime.now(UTC))


def test_the_planted_numbers_are_in_what_is_sent(story: Story) -> None:
    sent = b"".join(as_json(deed.load) for day in story.days for deed in day)
    for sale in story.happenings.planted:
        assert sale.planted is not None
        assert any(needle.encode() in sent for needle in sale.planted.needles)


def test_the_configuration_is_one(story: Story) -> None:
    known = parse_configuration(configuration(story.stores, "http://127.0.0.1:1"))
    assert [connection.id for connection in known.targets()] == ["qbo-receipts", "qbo-journal", "hubspot-main"]


def test_no_personal_data_is_real(story: Story) -> None:
    bodies = [json.loads(hook.body) for hook in all_hooks(story) if b"customer" in hook.body[:400]]
    people = {sale.person for sale in story.sales if sale.person}
    assert bodies
    assert people
    assert all(person.email.endswith(("@example.org", "@example.net")) for person in people)
    assert all("555" in person.phone for person in people)
