"""Which objects is a notification about? Topic, shop and ids of a webhook are in its headers, never in the body.

A webhook is only a hint: what it is about is always asked by GraphQL, although the body mostly is the whole object.
An order's transactions must be asked for anyway, and one answer that holds order, transactions and refunds of the same
moment adds up, where an older body with newer payments would not; poll and backfill then give the very same content.
Only what GraphQL cannot say is kept of a body: staff and device at the till (a special right), the refund of an
order that is out of reach, and that a customer was erased.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from libs.canonical.identity import digest
from libs.connectors.contract.source import Identified, MalformedNotification, Notification, Root
from libs.connectors.shopify.headers import header
from libs.connectors.shopify.node import id_text

_SHOP = re.compile(r"[a-z0-9][a-z0-9-]{0,80}\.myshopify\.com")
_STOCK = re.compile(r"[0-9]{1,20}@[0-9]{1,20}")

Body = Mapping[str, Any]
Headers = Mapping[str, str]


def _id(body: Body, *keys: str) -> str:
    for key in keys:
        if found := id_text(body.get(key)):
            return found
    raise MalformedNotification(f"{' or '.join(keys)} is missing or no id")


def _order(body: Body, headers: Headers) -> Root:
    seen = {key: body[key] for key in ("user_id", "device_id") if id_text(body.get(key))}
    return Root("order", _id(body, "id"), {"till": seen} if seen else {})


def _order_of(body: Body, headers: Headers) -> Root:
    return Root("order", _id(body, "order_id"))


def _edited_order(body: Body, headers: Headers) -> Root:
    edit = body.get("order_edit")
    return Root("order", _id(edit if isinstance(edit, Mapping) else body, "order_id", "id"))


def _order_of_refund(body: Body, headers: Headers) -> Root:
    return Root("order", _id(body, "order_id"), {"refund": dict(body)})


def _customer(body: Body, headers: Headers) -> Root:
    return Root("customer", _id(body, "id"))


def _deleted_customer(body: Body, headers: Headers) -> Root:
    return _erased(_id(body, "id"), headers, on_request=False)


def _redacted_customer(body: Body, headers: Headers) -> Root:
    person = body.get("customer")
    if not isinstance(person, Mapping):
        raise MalformedNotification("customer is missing or no object")
    return _erased(_id(person, "id"), headers, on_request=True)


def _erased(customer_id: str, headers: Headers, *, on_request: bool) -> Root:
    # Neither body says when; the header does, and is the same when the webhook is sent again.
    erasure = {"on_request": on_request, "at": header(headers, "triggered-at")}
    return Root("customer", customer_id, {"erasure": erasure})


def _product(body: Body, headers: Headers) -> Root:
    return Root("product", _id(body, "id"))


def _stock(body: Body, headers: Headers) -> Root:
    return Root("stock", f"{_id(body, 'inventory_item_id')}@{_id(body, 'location_id')}")


ROOTS: dict[str, Callable[[Body, Headers], Root]] = {
    "orders/create": _order,
    "orders/paid": _order,
    "orders/updated": _order,
    "orders/cancelled": _order,
    "orders/fulfilled": _order,
    "orders/partially_fulfilled": _order,
    "orders/edited": _edited_order,
    "refunds/create": _order_of_refund,
    "order_transactions/create": _order_of,
    "tender_transactions/create": _order_of,
    "customers/create": _customer,
    "customers/update": _customer,
    "customers/enable": _customer,
    "customers/disable": _customer,
    "customers/delete": _deleted_customer,
    "customers/redact": _redacted_customer,
    "products/create": _product,
    "products/update": _product,
    "inventory_levels/connect": _stock,
    "inventory_levels/update": _stock,
}

NO_EFFECT = {
    "app/uninstalled": "the app was removed from the shop: its token is dead, nothing more will come",
    "customers/data_request": "a request for a customer's data: to be answered by the shop's owner within 30 days",
    "inventory_items/update": "SKU and cost are read with the product, which Shopify reports as well",
    "orders/delete": "a deleted order shows no money: its sale stays as it was",
    "products/delete": "a deleted product does not name its variants: its last state stays",
    "shop/redact": "a request to erase a shop 48 hours after the app was removed: for the operator",
}

# What a feed's pages list: the kind of root, and how its id looks.
FEED_ROOTS = {
    "orders": ("order", re.compile(r"[0-9]{1,20}")),
    "customers": ("customer", re.compile(r"[0-9]{1,20}")),
    "products": ("product", re.compile(r"[0-9]{1,20}")),
    "inventory": ("stock", _STOCK),
}


def identify(notification: Notification) -> Identified:
    """The root objects of a webhook, or of an object found on a feed's page; raises MalformedNotification."""
    body = notification.body
    if not isinstance(body, Mapping):
        raise MalformedNotification("the body is no JSON object")
    topic = header(notification.headers, "topic")
    return _pulled(body) if topic is None else _webhook(topic, body, notification.headers)


def _shop(value: object) -> str:
    domain = value.lower() if isinstance(value, str) else ""
    if not _SHOP.fullmatch(domain):
        raise MalformedNotification("the shop domain is missing or none of Shopify's")
    return domain


def _webhook(topic: str, body: Body, headers: Headers) -> Identified:
    shop = _shop(header(headers, "shop-domain"))
    delivery = header(headers, "webhook-id") or digest(topic, json.dumps(body, sort_keys=True, default=str))
    read = ROOTS.get(topic)
    if read is None:
        reason = NO_EFFECT.get(topic, f"{topic[:60]} is not used")
        return Identified(shop, topic, delivery, no_effect=reason)
    return Identified(shop, topic, delivery, (read(body, headers),))


def _pulled(body: Body) -> Identified:
    """An object listed by `pull.found`: {"feed", "shop", "id", "updated_at"}."""
    feed, found, changed = body.get("feed"), body.get("id"), body.get("updated_at")
    kind, form = FEED_ROOTS.get(feed if isinstance(feed, str) else "", ("", _STOCK))
    if not kind:
        raise MalformedNotification("neither a topic header nor a known feed")
    if not isinstance(found, str) or not form.fullmatch(found):
        raise MalformedNotification("id is missing or no id")
    delivery = digest("pulled", str(feed), found, str(changed))
    return Identified(_shop(body.get("shop")), str(feed), delivery, (Root(kind, found),))
