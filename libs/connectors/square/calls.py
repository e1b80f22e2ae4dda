"""Calls to Square: the pinned API version, and the objects that a snapshot is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from libs.connectors.contract.http import Request, Response
from libs.connectors.contract.source import Fetch

# Every call is pinned to the version this connector was written against (Square API reference, Square-Version).
API_VERSION = "2025-08-20"
_HEADERS = {"square-version": API_VERSION}
# A name, SKU, category or time zone may be this old (seconds) before it is asked again.
REFERENCE_AGE = 3600


def get(path: str, **query: str) -> Request:
    """A read by address."""
    return Request("GET", path, query=query, headers=_HEADERS)


def post(path: str, body: Mapping[str, Any]) -> Request:
    """A search: Square's searches are POSTs that change nothing."""
    return Request("POST", path, headers=_HEADERS, json=dict(body))


def _member(name: str) -> Any:
    def read(response: Response) -> Any:
        body = response.json
        return body.get(name) if isinstance(body, Mapping) else None

    return read


def order(order_id: str, *, optional: bool = False) -> Fetch:
    """An order; its part is `order:<id>` (RetrieveOrder)."""
    return _one("order", order_id, f"/v2/orders/{_segment(order_id)}", optional=optional)


def payment(payment_id: str) -> Fetch:
    """A payment; its part is `payment:<id>` (GetPayment). The order's tender says enough when there is none."""
    return _one("payment", payment_id, f"/v2/payments/{_segment(payment_id)}", optional=True)


def refund(refund_id: str, *, optional: bool = False) -> Fetch:
    """A refund; its part is `refund:<id>` (GetPaymentRefund)."""
    return _one("refund", refund_id, f"/v2/refunds/{_segment(refund_id)}", optional=optional)


def customer(customer_id: str) -> Fetch:
    """A customer; its part is `customer:<id>` (RetrieveCustomer). A deleted one is no longer there."""
    return _one("customer", customer_id, f"/v2/customers/{_segment(customer_id)}", optional=True)


def location(location_id: str) -> Fetch:
    """A location; its part is `location:<id>` (RetrieveLocation)."""
    return _one("location", location_id, f"/v2/locations/{_segment(location_id)}", optional=True, age=REFERENCE_AGE)


def catalogue_object(object_id: str) -> Fetch:
    """A catalogue object with those it refers to; its part is `catalog:<id>` and holds the whole answer.

    Of a variation the answer's `related_objects` has the item it belongs to (RetrieveCatalogObject).
    """
    request = get(f"/v2/catalog/object/{_segment(object_id)}", include_related_objects="true")
    return Fetch(f"catalog:{object_id}", request, reference=REFERENCE_AGE, optional=True)


def _one(kind: str, object_id: str, path: str, *, optional: bool, age: int = 0) -> Fetch:
    return Fetch(f"{kind}:{object_id}", get(path), reference=age, optional=optional, items=_member(kind))


def _segment(text: str) -> str:
    return quote(text, safe="")


def catalogue_since(begin: datetime) -> Request:
    """Everything in the catalogue that changed after that time, deleted objects too, with the items of variations."""
    return post(
        "/v2/catalog/search",
        {
            "object_types": ["ITEM", "ITEM_VARIATION"],
            "begin_time": rfc3339(begin),
            "include_deleted_objects": True,
            "include_related_objects": True,
            # An item has up to 250 variations: a hundred items keep a page far below what one record may hold.
            "limit": 100,
        },
    )


def next_page(request: Request, response: Response) -> Request | None:
    """The same search at the answer's cursor (Square: a cursor is only good for its original query)."""
    body = response.json
    cursor = body.get("cursor") if isinstance(body, Mapping) else None
    if not isinstance(cursor, str) or not cursor:
        return None
    if request.method == "GET":
        return request.with_query(cursor=cursor)
    return replace(request, json={**request.json, "cursor": cursor})


def rfc3339(moment: datetime) -> str:
    """A time as Square's filters want it, in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
