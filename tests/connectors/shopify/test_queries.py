"""Every query is one that Shopify's published schema accepts, and the simulator answers as that schema says."""

from __future__ import annotations

import gzip
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from graphql import GraphQLSchema, build_client_schema, execute_sync, parse, validate

from libs.connectors.contract.http import Request
from libs.connectors.shopify.pull import first
from libs.connectors.shopify.queries import DOCUMENTS, gid, request
from libs.connectors.shopify.sandbox import ShopifySimulator
from tests.connectors.shopify.till import ALL_TIME, SHOP, ask, line, order, payment, refund
from tools.golden import read_json

ROOT = Path(__file__).parents[3]
SPECS = Path(os.environ.get("TILLSTREAM_VENDOR_SPECS", ROOT / "../shared/vendor-specs"))
SCHEMA = SPECS / "shopify/admin-graphql-2026-07.introspection.json.gz"

pytestmark = pytest.mark.skipif(
    not SCHEMA.exists(), reason=f"Shopify's schema is not at {SCHEMA}: set TILLSTREAM_VENDOR_SPECS"
)


@cache
def schema() -> GraphQLSchema:
    with gzip.open(SCHEMA) as file:
        found = json.load(file)
    # Shopify's own schema breaks a rule on deprecated interface fields, which is not ours to judge.
    return build_client_schema(found.get("data", found), assume_valid=True)


@pytest.mark.parametrize("operation", DOCUMENTS)
def test_the_schema_accepts_the_query(operation: str) -> None:
    assert not validate(schema(), parse(DOCUMENTS[operation]))


def test_a_wrong_query_is_noticed() -> None:
    assert validate(schema(), parse(DOCUMENTS["Shop"].replace("ianaTimezone", "timeZone")))


def everything() -> ShopifySimulator:
    shop = ShopifySimulator()
    tax = {"title": "GST", "rate": 0.05, "price": "1.00"}
    discount = {"amount": "1.00", "discount_application_index": 0}
    lines = [
        line(1, "20.00", tax_lines=[tax], discount_allocations=[discount], duties=[{"id": 5, "price": "1.00"}]),
        line(2, "20.00", product_id=None, variant_id=None, attributed_staffs=[{"id": "gid://shopify/StaffMember/7"}]),
    ]
    back = refund(
        801,
        [(1, 1, "20.00")],
        "20.00",
        order_adjustments=[{"id": 41, "amount": "1.00", "tax_amount": "0.00", "reason": "Restock"}],
        refund_shipping_lines=[{"id": 61, "shipping_line_id": 51, "subtotal_amount": "3.00", "tax_amount": "0.10"}],
        duties=[{"duty_id": 5, "amount": "1.00"}],
    )
    shop.load(
        {
            "orders": [
                order(
                    "50.00",
                    lines,
                    refunds=[back],
                    customer={"id": 71, "first_name": "Ada", "email": "ada@example.org", "phone": "+14165550123"},
                    cancelled_at="2026-02-05T10:00:00Z",
                    cancel_reason="staff",
                    discount_applications=[{"type": "discount_code", "code": "TEN"}],
                    shipping_lines=[{"id": 51, "title": "Post", "price": "3.00", "tax_lines": [tax]}],
                    additional_fees=[{"id": 9, "name": "Deposit", "price": "0.10", "tax_lines": [tax]}],
                    transactions=[payment(901, "50.00"), {**payment(902, "1.00", "cash"), "amount_rounding": "0.02"}],
                )
            ],
            "customers": [
                {
                    "id": 71,
                    "email": "ada@example.org",
                    "created_at": "2026-01-01T00:00:00Z",
                    "updated_at": "2026-02-01T00:00:00Z",
                    "default_address": {"address1": "1 Peel", "country_code": "CA"},
                    "tags": "a, b",
                }
            ],
            "products": [
                {
                    "id": 81,
                    "title": "Shirt",
                    "updated_at": "2026-02-01T00:00:00Z",
                    "variants": [{"id": 91, "sku": "S-1", "price": "20.00", "inventory_item_id": 46}],
                }
            ],
            "inventory_levels": [
                {"inventory_item_id": 46, "location_id": 579177, "available": 3, "updated_at": "2026-02-01T00:00:00Z"}
            ],
        }
    )
    return shop


QUERIES: dict[str, Request] = {
    "Order": request("Order", id=gid("Order", "5900000000001")),
    "OrderLines": request("OrderLines", id=gid("Order", "5900000000001"), after=None),
    "RefundLines": request("RefundLines", id=gid("Refund", "801"), after=None),
    "Shop": request("Shop"),
    "Customer": request("Customer", id=gid("Customer", "71")),
    "Product": request("Product", id=gid("Product", "81")),
    "ProductVariants": request("ProductVariants", id=gid("Product", "81"), after=None),
    "Stock": request("Stock", id=gid("InventoryItem", "46"), location=gid("Location", "579177")),
    "Orders": first("orders", ALL_TIME, SHOP, ()),
    "Customers": first("customers", ALL_TIME, SHOP, ()),
    "Products": first("products", ALL_TIME, SHOP, ()),
    "Levels": first("inventory", ALL_TIME, SHOP, ()),
}


def plain(value: Any) -> Any:
    """Exact numbers as the schema's Float gives them."""
    return json.loads(json.dumps(value, default=float))


@pytest.mark.parametrize("operation", DOCUMENTS)
def test_the_simulator_answers_in_the_shape_of_the_schema(operation: str) -> None:
    asked = QUERIES[operation]
    answer = read_json(ask(everything(), asked).body)["data"]
    assert next(value for key, value in answer.items() if key != "shop" or operation == "Shop"), "an empty answer"
    # The answer, taken as the data behind the schema, must come out of the query as it went in.
    again = execute_sync(schema(), parse(asked.json["query"]), answer, variable_values=asked.json["variables"])
    assert not again.errors
    assert plain(again.data) == plain(answer)
