"""What must be fetched to read a root: the object itself, with whatever did not fit on its first page, and the shop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from libs.connectors.contract.http import Request, Response
from libs.connectors.contract.source import Fetch
from libs.connectors.shopify import shape
from libs.connectors.shopify.answers import data
from libs.connectors.shopify.node import id_text
from libs.connectors.shopify.queries import gid, request

Parts = Mapping[str, Any]

# Time zone and currency of a shop practically never change.
SHOP_SECONDS = 86_400


def _object(part: str, asked: Request, field: str, read: Callable[[Any], Any]) -> Fetch:
    """One object by its id. Shopify answers null, not 404, for one that is not there."""
    return Fetch(part, asked, optional=True, items=lambda response: read(shape.dig(data(response), field)))


def _rest(part: str, asked: Request, path: tuple[str, str], read: Callable[[Any], Any]) -> Fetch:
    """The pages of a connection behind its first one."""

    def items(response: Response) -> list[Any]:
        return shape.nodes(shape.dig(data(response), *path), read)

    def next_page(sent: Request, response: Response) -> Request | None:
        cursor = shape.after(shape.dig(data(response), *path))
        return None if cursor is None else with_variables(sent, after=cursor)

    return Fetch(part, asked, items=items, next_page=next_page)


def with_variables(sent: Request, **variables: Any) -> Request:
    """The same query with some other variables."""
    return replace(sent, json={**sent.json, "variables": {**sent.json["variables"], **variables}})


def _shop() -> Fetch:
    return Fetch(
        "shop",
        request("Shop"),
        reference=SHOP_SECONDS,
        items=lambda response: shape.shop(shape.dig(data(response), "shop")),
    )


def _order(order_id: str, parts: Parts) -> list[Fetch]:
    order = gid("Order", order_id)
    wanted = [_object("order", request("Order", id=order), "order", shape.order), _shop()]
    found = parts.get("order")
    if cursor := shape.dig(found, "line_items_after"):
        asked = request("OrderLines", id=order, after=cursor)
        wanted.append(_rest("more_line_items", asked, ("order", "lineItems"), shape.line))
    refunds = shape.dig(found, "refunds")
    for refund in refunds if isinstance(refunds, list) else ():
        cursor, refund_id = shape.dig(refund, "refund_line_items_after"), id_text(shape.dig(refund, "id"))
        if cursor and refund_id:
            asked = request("RefundLines", id=gid("Refund", refund_id), after=cursor)
            part = f"more_refund_line_items:{refund_id}"
            wanted.append(_rest(part, asked, ("refund", "refundLineItems"), shape.refund_line))
    return wanted


def _customer(customer_id: str, parts: Parts) -> list[Fetch]:
    if "erasure" in parts:
        return []
    return [_object("customer", request("Customer", id=gid("Customer", customer_id)), "customer", shape.customer)]


def _product(product_id: str, parts: Parts) -> list[Fetch]:
    product = gid("Product", product_id)
    wanted = [_object("product", request("Product", id=product), "product", shape.product), _shop()]
    if cursor := shape.dig(parts.get("product"), "variants_after"):
        asked = request("ProductVariants", id=product, after=cursor)
        wanted.append(_rest("more_variants", asked, ("product", "variants"), shape.variant))
    return wanted


def _stock(root_id: str, parts: Parts) -> list[Fetch]:
    item, _, location = root_id.partition("@")
    asked = request("Stock", id=gid("InventoryItem", item), location=gid("Location", location))
    return [_object("stock", asked, "inventoryItem", shape.stock)]


_WANTED: dict[str, Callable[[str, Parts], list[Fetch]]] = {
    "order": _order,
    "customer": _customer,
    "product": _product,
    "stock": _stock,
}


def assemble(root_kind: str, root_id: str, parts: Parts) -> Sequence[Fetch]:
    """What is still to be fetched; empty: the snapshot is complete, or the root is of no kind known here."""
    wanted = _WANTED.get(root_kind)
    return [fetch for fetch in wanted(root_id, parts) if fetch.part not in parts] if wanted else []
