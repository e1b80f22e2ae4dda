"""What a snapshot needs: every object that hangs together with its root, followed link by link.

An order leads to the payments of its tenders, a payment to its refunds, a refund to the order that lists the goods
brought back, such an order to the sale they came from. Whichever of them was notified, the same objects come together,
and so the same facts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from libs.canonical.moments import parse_time
from libs.connectors.contract.source import Fetch
from libs.connectors.square import calls
from libs.connectors.square.node import objects_in, text_in

# Square's searches lag by seconds; the time in the notification is that of the change.
_CATALOGUE_MARGIN = timedelta(minutes=1)


def assemble(root_kind: str, root_id: str, parts: Mapping[str, Any]) -> Sequence[Fetch]:
    """What is still to be fetched; nothing: the snapshot is complete. A kind that is not ours needs nothing."""
    return tuple(_missing(tuple(_ROOTS.get(root_kind, _nothing)(root_id, parts)), parts))


def _missing(start: tuple[Fetch, ...], parts: Mapping[str, Any]) -> Iterator[Fetch]:
    """All that can be reached and is not there yet, each once."""
    waiting, seen = list(start), {fetch.part for fetch in start}
    while waiting:
        fetch = waiting.pop(0)
        if fetch.part not in parts:
            yield fetch
            continue
        for link in _LINKS.get(fetch.part.partition(":")[0], _no_links)(parts[fetch.part]):
            if link.part not in seen:
                seen.add(link.part)
                waiting.append(link)


def _of_order(order: Any) -> Iterator[Fetch]:
    if location_id := text_in(order, "location_id"):
        yield calls.location(location_id)
    for holder in (order, *objects_in(order, "tenders")):
        if payment_id := text_in(holder, "payment_id"):
            yield calls.payment(payment_id)
        if customer_id := text_in(holder, "customer_id"):
            yield calls.customer(customer_id)
    returns = objects_in(order, "returns")
    lines = [*objects_in(order, "line_items"), *(line for each in returns for line in objects_in(each, _RETURNED))]
    for line in lines:
        if object_id := text_in(line, "catalog_object_id"):
            yield calls.catalogue_object(object_id)
    for each in returns:
        if source_id := text_in(each, "source_order_id"):
            yield calls.order(source_id, optional=True)


_RETURNED = "return_line_items"


def _of_payment(payment: Any) -> Iterator[Fetch]:
    if customer_id := text_in(payment, "customer_id"):
        yield calls.customer(customer_id)
    if order_id := text_in(payment, "order_id"):
        yield calls.order(order_id, optional=True)
    refund_ids = payment.get("refund_ids") if isinstance(payment, Mapping) else None
    for refund_id in refund_ids if isinstance(refund_ids, list) else ():
        if isinstance(refund_id, str) and refund_id:
            yield calls.refund(refund_id, optional=True)


def _of_refund(refund: Any) -> Iterator[Fetch]:
    if payment_id := text_in(refund, "payment_id"):
        yield calls.payment(payment_id)
    if order_id := text_in(refund, "order_id"):
        yield calls.order(order_id, optional=True)
    if location_id := text_in(refund, "location_id"):
        yield calls.location(location_id)


def _of_catalogue_object(answer: Any) -> Iterator[Fetch]:
    """The category of the item that a variation belongs to."""
    for item in objects_in(answer, "related_objects"):
        if category_id := category_of(item.get("item_data")):
            yield calls.catalogue_object(category_id)


def category_of(item_data: Any) -> str | None:
    """The category an item is reported under (CatalogItem: reporting_category, else the first of categories, else the
    category_id of older catalogues)."""
    first = next(iter(objects_in(item_data, "categories")), None)
    return text_in(item_data, "reporting_category", "id") or text_in(first, "id") or text_in(item_data, "category_id")


def _no_links(part: Any) -> Iterator[Fetch]:
    yield from ()


_LINKS: dict[str, Callable[[Any], Iterator[Fetch]]] = {
    "order": _of_order,
    "payment": _of_payment,
    "refund": _of_refund,
    "catalog": _of_catalogue_object,
}


def _customer_root(root_id: str, parts: Mapping[str, Any]) -> Iterator[Fetch]:
    if "deleted_at" not in parts:
        yield calls.customer(root_id)


def _stock_root(root_id: str, parts: Mapping[str, Any]) -> Iterator[Fetch]:
    if item_id := text_in(parts.get("count"), "catalog_object_id"):
        yield calls.catalogue_object(item_id)


def _catalogue_root(root_id: str, parts: Mapping[str, Any]) -> Iterator[Fetch]:
    if "catalogue" not in parts:
        search = calls.catalogue_since(parse_time(root_id) - _CATALOGUE_MARGIN)
        yield Fetch("catalogue", search, items=lambda answer: [answer.json], next_page=calls.next_page)


def _nothing(root_id: str, parts: Mapping[str, Any]) -> Iterator[Fetch]:
    yield from ()


_ROOTS: dict[str, Callable[[str, Mapping[str, Any]], Iterator[Fetch]]] = {
    "order": lambda root_id, _: iter((calls.order(root_id),)),
    "refund": lambda root_id, _: iter((calls.refund(root_id),)),
    "customer": _customer_root,
    "stock": _stock_root,
    "catalogue": _catalogue_root,
}
