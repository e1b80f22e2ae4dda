"""Notifications as Square writes them: for the demo and for tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from libs.connectors.square.signature import HEADER
from libs.connectors.square.signature import sign as signature

# Square names the object in `data.object` by these words (Square API reference, *Event schemas).
_WRAPPED = {
    "payment.created": "payment",
    "payment.updated": "payment",
    "refund.created": "refund",
    "refund.updated": "refund",
    "order.created": "order_created",
    "order.updated": "order_updated",
    "order.fulfillment.updated": "order_fulfillment_updated",
    "inventory.count.updated": "inventory_counts",
    "catalog.version.updated": "catalog_version",
    "customer.created": "customer",
    "customer.updated": "customer",
    "customer.deleted": "customer",
}
_ORDER_FIELDS = ("version", "location_id", "state", "created_at", "updated_at")


def notification(type_: str, obj: Any, merchant_id: str, event_id: str, created_at: str) -> dict[str, Any]:
    """The body of a webhook about that object: for an order Square sends little more than its id.

    `obj` is the whole object; a list of counts for inventory. Raises ValueError for a type that is not written here.
    """
    name = _WRAPPED.get(type_)
    if name is None:
        raise ValueError(f"no notification of type {type_!r} is written here")
    body: dict[str, Any] = {"merchant_id": merchant_id, "type": type_, "event_id": event_id, "created_at": created_at}
    if isinstance(obj, Mapping) and isinstance(obj.get("location_id"), str):
        body["location_id"] = obj["location_id"]
    content = _order(obj, type_) if type_.startswith("order.") else obj
    body["data"] = {"type": name, "object": {name: content}}
    if type_ != "catalog.version.updated":
        # A list of counts has no id: Square gives its notification one of its own.
        body["data"]["id"] = obj["id"] if isinstance(obj, Mapping) else event_id
    if type_ == "customer.deleted":
        body["data"]["deleted"] = True
    return body


def _order(order: Mapping[str, Any], type_: str) -> dict[str, Any]:
    left_out = () if type_ != "order.created" else ("updated_at",)
    told = {key: order[key] for key in _ORDER_FIELDS if key in order and key not in left_out}
    return {"order_id": order["id"], **told}


def sign(body: bytes, url: str, key: str) -> dict[str, str]:
    """The headers that Square adds to a webhook with that body, sent to that registered URL."""
    return {"content-type": "application/json", HEADER: signature(body, url, key)}
