"""The simulator refuses what Shopify refuses, in its words."""

from __future__ import annotations

from datetime import timedelta

import pytest

from libs.connectors.contract.http import Request
from libs.connectors.contract.target import Throttled
from libs.connectors.shopify import connector
from libs.connectors.shopify.answers import judge
from libs.connectors.shopify.queries import gid, request
from libs.connectors.shopify.sandbox import ShopifySimulator
from tests.connectors.shopify.till import NOW, ORDER_ID, ask, line, order, payment

ONE = request("Order", id=gid("Order", str(ORDER_ID)))


@pytest.mark.parametrize("token", [None, "", "shpat-other"])
def test_a_wrong_token_is_refused(token: str | None) -> None:
    answer = ask(ShopifySimulator(), ONE, token=token)
    assert answer.status == 401
    assert answer.json == {"errors": "[API] Invalid API key or access token (unrecognized login or wrong password)"}


def test_a_token_expires() -> None:
    shop = ShopifySimulator()
    shop.configure({"tokens": {"short": (NOW + timedelta(minutes=60)).isoformat(), "long": None}})
    assert ask(shop, ONE, token="short").status == 200
    late = NOW + timedelta(minutes=60)
    assert ask(shop, ONE, token="short", now=late).status == 401
    assert ask(shop, ONE, token="long", now=late).status == 200
    assert ask(shop, ONE).status == 401


def test_the_bucket_empties_and_fills_again() -> None:
    shop = ShopifySimulator()
    shop.configure({"points_maximum": 100, "points_per_second": 50})
    costs = [ask(shop, ONE).json["extensions"]["cost"] for _ in range(2)]
    assert [cost["throttleStatus"]["currentlyAvailable"] for cost in costs] == [60, 20]
    refused = ask(shop, ONE)
    assert refused.status == 200
    assert "data" not in refused.json
    verdict = judge(refused)
    assert isinstance(verdict, Throttled)
    assert verdict.after == pytest.approx(0.4)
    assert judge(ask(shop, ONE, now=NOW + timedelta(seconds=0.4))) is None
    assert shop.counters() == {"Order": 3, "throttled": 1}


def test_an_unknown_query_or_address_is_refused() -> None:
    assert judge(ask(ShopifySimulator(), Request("POST", ONE.path, json={"query": "query X { shop { id } }"})))
    assert ask(ShopifySimulator(), Request("POST", "/admin/api/2026-07/orders.json", json={})).status == 404
    assert ask(ShopifySimulator(), Request("POST", ONE.path, json={})).status == 400


def test_loading_replaces_and_reading_back_shows_it() -> None:
    shop = ShopifySimulator()
    shop.load({"orders": [order("1.00", [line(1, "1.00")], transactions=[payment(1, "1.00")])]})
    shop.load(
        {"orders": [order("2.00", [line(1, "2.00")])], "transactions": [{**payment(2, "1.00"), "order_id": ORDER_ID}]}
    )
    state = shop.state()
    assert [each["total_price"] for each in state["orders"]] == ["2.00"]
    assert [each["id"] for each in state["transactions"][str(ORDER_ID)]] == [1, 2]
    state["orders"].clear()
    assert shop.state()["orders"]
    shop.reset()
    assert not shop.state()["orders"]


def test_the_connector_offers_it() -> None:
    shop = connector.simulator()
    assert shop.vendor == connector.manifest.vendor
    assert shop.limits()["points_maximum"] == 2000
