"""What one of Square's notifications is about.

Bodies are those of webhooks, or of an object found on a page of a feed: the same envelope with the type
`<feed>.found` and without `merchant_id` (see `pull`).
"""

from __future__ import annotations

from collections.abc import Callable

from libs.connectors.contract.source import Identified, MalformedNotification, Notification, Root, Unmappable
from libs.connectors.square.node import Node

# Object ids of Square are at most 192 characters (Square API reference, WebhookEvent data.id); more is damage.
_LONGEST_ID = 255

Roots = tuple[Root, ...]


class _NoEffect(Exception):
    """Nothing follows from this notification; the message says why."""


def identify(notification: Notification) -> Identified:
    """The roots to read. Raises MalformedNotification for a body that is none of Square's notifications."""
    try:
        envelope = Node(notification.body)
        kind = envelope.need("type")
        account = envelope.text("merchant_id") or ""
        if not account and not kind.endswith(".found"):
            raise envelope.wrong("merchant_id", "is missing")
        delivery = envelope.need("event_id")
        roots, reason = _roots(kind, envelope)
    except Unmappable as error:
        raise MalformedNotification(str(error)) from None
    return Identified(account, kind, delivery, roots, reason)


def _roots(kind: str, envelope: Node) -> tuple[Roots, str | None]:
    read = _READERS.get(kind)
    if read is None:
        return (), _UNUSED.get(kind) or _UNUSED.get(kind.partition(".")[0]) or f"type not used: {kind[:80]}"
    try:
        return read(envelope, envelope.child("data")), None
    except _NoEffect as error:
        return (), str(error)


def _id(node: Node, key: str) -> str:
    value = node.need(key)
    if len(value) > _LONGEST_ID:
        raise node.wrong(key, "is too long for an id")
    return value


def _id_of(data: Node, wrapped: Node, key: str) -> str:
    """The object's own id, or that of `data` when the notification comes without the object."""
    return _id(wrapped, key) if wrapped else _id(data, "id")


def _object(data: Node, name: str) -> Node:
    return data.child("object").child(name)


def _payment(envelope: Node, data: Node) -> Roots:
    """The payment's order. The payment itself is read again: notifications arrive late and in any order."""
    payment = _object(data, "payment")
    if payment.text("order_id") is None and payment.text("status") in ("APPROVED", "PENDING", "CANCELED", "FAILED"):
        raise _NoEffect("a payment without an order that took no money")
    return (Root("order", _id(payment, "order_id")),)


def _refund(envelope: Node, data: Node) -> Roots:
    """The refund. Only its payment tells which sale it belongs to, so the sale is found when it is assembled."""
    return (Root("refund", _id_of(data, _object(data, "refund"), "id")),)


def _order(name: str) -> Callable[[Node, Node], Roots]:
    def read(envelope: Node, data: Node) -> Roots:
        return (Root("order", _id_of(data, _object(data, name), "order_id")),)

    return read


def _order_found(envelope: Node, data: Node) -> Roots:
    """A page holds whole orders, and the sale's version is the order's: it need not be read again."""
    order = _object(data, "order")
    order_id = _id(order, "id")
    return (Root("order", order_id, {f"order:{order_id}": order.value}),)


def _customer(envelope: Node, data: Node) -> Roots:
    customer = _object(data, "customer")
    customer_id = _id_of(data, customer, "id")
    return (Root("customer", customer_id, {f"customer:{customer_id}": customer.value} if customer else {}),)


def _customer_deleted(envelope: Node, data: Node) -> Roots:
    """Square still sends the last body; only that the customer is gone is kept of it."""
    envelope.need_moment("created_at")
    customer_id = _id_of(data, _object(data, "customer"), "id")
    return (Root("customer", customer_id, {"deleted_at": envelope.need("created_at")}),)


def _stock(envelope: Node, data: Node) -> Roots:
    """One root for each count on the shelf: SOLD, WASTE, IN_TRANSIT and the like are no shelf stock."""
    counts = [count for count in data.child("object").children("inventory_counts") if count.text("state") == "IN_STOCK"]
    if not counts:
        raise _NoEffect("no count of stock on the shelf")
    return tuple(
        Root("stock", f"{_id(count, 'catalog_object_id')}@{_id(count, 'location_id')}", {"count": count.value})
        for count in counts
    )


def _catalogue(envelope: Node, data: Node) -> Roots:
    """Square says only when the catalogue changed: what changed is searched for."""
    version = _object(data, "catalog_version")
    version.need_moment("updated_at")
    return (Root("catalogue", _id(version, "updated_at")),)


def _catalogue_found(envelope: Node, data: Node) -> Roots:
    page = _object(data, "catalog")
    return (Root("catalogue", _id(data, "id"), {"catalogue": [page.value]}),)


_READERS: dict[str, Callable[[Node, Node], Roots]] = {
    "payment.created": _payment,
    "payment.updated": _payment,
    "refund.created": _refund,
    "refund.updated": _refund,
    "order.created": _order("order_created"),
    "order.updated": _order("order_updated"),
    "order.fulfillment.updated": _order("order_fulfillment_updated"),
    "customer.created": _customer,
    "customer.updated": _customer,
    "customer.deleted": _customer_deleted,
    "inventory.count.updated": _stock,
    "catalog.version.updated": _catalogue,
    "orders.found": _order_found,
    "refunds.found": _refund,
    "customers.found": _customer,
    "inventory.found": _stock,
    "catalogue.found": _catalogue_found,
}

# By whole type or by its first word.
_UNUSED = {
    "webhooks": "a test from Square's developer portal",
    "location": "a location is read when one of its sales is",
    "team_member": "staff are known by the id on each payment",
    "payout": "payouts are not read",
    "dispute": "disputes are not read",
    "invoice": "an invoice that is paid comes as an order",
    "gift_card": "gift cards sold and taken in payment come with their order",
    "loyalty": "loyalty accounts are not read",
    "terminal": "what a terminal takes comes as a payment or refund",
    "oauth": "access was revoked: Square will refuse the connection's calls until it is authorised again",
}
