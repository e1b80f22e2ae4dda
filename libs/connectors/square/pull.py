"""Polling and backfill: what to ask, how to go on, and what was found.

Every feed is asked by time of change, so that an offline sale uploaded days later is found too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from libs.canonical.identity import digest
from libs.connectors.contract.http import Request, Response
from libs.connectors.contract.source import Notification, Period, Pull
from libs.connectors.square import calls
from libs.connectors.square.node import objects_in, text_in

# Square API reference, SearchOrders.location_ids: at most ten, and at least one.
_LOCATIONS_A_SEARCH = 10
# ListPaymentRefunds and SearchCustomers give at most a hundred a page.
_PAGE = "100"


@dataclass(frozen=True)
class OrdersWalk(Request):
    """A search for orders, or the list of locations before it, with what is still to be searched after it."""

    begin: str = ""
    end: str = ""
    rest: tuple[str, ...] = ()


def _orders(period: Period, location_ids: Sequence[str]) -> Request:
    begin, end = calls.rfc3339(period.begin), calls.rfc3339(period.end)
    if location_ids:
        return _orders_at(tuple(location_ids), begin, end)
    listing = calls.get("/v2/locations")
    return OrdersWalk(listing.method, listing.path, headers=listing.headers, begin=begin, end=end)


def _orders_at(location_ids: tuple[str, ...], begin: str, end: str) -> OrdersWalk:
    search = calls.post(
        "/v2/orders/search",
        {
            "location_ids": list(location_ids[:_LOCATIONS_A_SEARCH]),
            "query": {
                "filter": {
                    "date_time_filter": {"updated_at": {"start_at": begin, "end_at": end}},
                    "state_filter": {"states": ["OPEN", "COMPLETED", "CANCELED"]},
                },
                "sort": {"sort_field": "UPDATED_AT", "sort_order": "ASC"},
            },
            "limit": 100,
        },
    )
    rest = location_ids[_LOCATIONS_A_SEARCH:]
    return OrdersWalk(
        search.method, search.path, headers=search.headers, json=search.json, begin=begin, end=end, rest=rest
    )


def _refunds(period: Period, location_ids: Sequence[str]) -> Request:
    return calls.get(
        "/v2/refunds",
        updated_at_begin_time=calls.rfc3339(period.begin),
        updated_at_end_time=calls.rfc3339(period.end),
        sort_field="UPDATED_AT",
        sort_order="ASC",
        limit=_PAGE,
        # Square takes one location or none; of several, all are asked and the others left out later.
        **({"location_id": location_ids[0]} if len(location_ids) == 1 else {}),
    )


def _customers(period: Period, location_ids: Sequence[str]) -> Request:
    changed = {"start_at": calls.rfc3339(period.begin), "end_at": calls.rfc3339(period.end)}
    return calls.post("/v2/customers/search", {"limit": 100, "query": {"filter": {"updated_at": changed}}})


def _catalogue(period: Period, location_ids: Sequence[str]) -> Request:
    return calls.catalogue_since(period.begin)


def _inventory(period: Period, location_ids: Sequence[str]) -> Request:
    body: dict[str, Any] = {
        "updated_after": calls.rfc3339(period.begin),
        "states": ["IN_STOCK"],
        "limit": 100,
    }
    return calls.post(
        "/v2/inventory/counts/batch-retrieve",
        {**body, **({"location_ids": list(location_ids)} if location_ids else {})},
    )


def _first(feed: str, period: Period, account_id: str, location_ids: Sequence[str]) -> Request:
    return _FEEDS[feed].first(period, location_ids)


def _following(feed: str, request: Request, response: Response) -> Request | None:
    following = calls.next_page(request, response)
    if following is not None or not isinstance(request, OrdersWalk):
        return following
    listed = tuple(each for place in objects_in(response.json, "locations") if (each := text_in(place, "id")))
    left = request.rest or listed
    return _orders_at(left, request.begin, request.end) if left else None


def _found(feed: str, response: Response) -> Sequence[Notification]:
    return tuple(
        Notification({}, {"type": f"{feed}.found", "event_id": f"{feed}:{object_id}:{stamp}", "data": data})
        for object_id, stamp, data in _FEEDS[feed].found(response.json)
    )


# Of each object: its id, what tells its versions apart, and the notification's data.
Found = Iterator[tuple[str, str, dict[str, Any]]]


def _listed(key: str, name: str) -> Callable[[Any], Found]:
    def read(page: Any) -> Found:
        for each in objects_in(page, key):
            object_id, stamp = text_in(each, "id") or "", text_in(each, "updated_at") or ""
            yield object_id, stamp, {"type": name, "id": object_id, "object": {name: each}}

    return read


def _counts(page: Any) -> Found:
    for count in objects_in(page, "counts"):
        name = f"{text_in(count, 'catalog_object_id')}@{text_in(count, 'location_id')}"
        stamp = text_in(count, "calculated_at") or ""
        yield name, stamp, {"type": "inventory_counts", "id": name, "object": {"inventory_counts": [count]}}


def _page_of_catalogue(page: Any) -> Found:
    """A page is one root, since its variations need the items beside them. The last page is named by the time of the
    catalogue (as Square's own notification is), one before it also by its cursor."""
    objects = objects_in(page, "objects")
    if not objects:
        return
    newest = max((text_in(each, "updated_at") or "" for each in objects), default="")
    stamp = text_in(page, "latest_time") or newest
    cursor = text_in(page, "cursor")
    name = f"{stamp}#{digest(cursor)}" if cursor else stamp
    yield name, newest, {"type": "catalog", "id": name, "object": {"catalog": _without_cursor(page)}}


def _without_cursor(page: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in page.items() if key != "cursor"}


@dataclass(frozen=True)
class _Feed:
    first: Callable[[Period, Sequence[str]], Request]
    found: Callable[[Any], Found]


_FEEDS = {
    "orders": _Feed(_orders, _listed("orders", "order")),
    "refunds": _Feed(_refunds, _listed("refunds", "refund")),
    "customers": _Feed(_customers, _listed("customers", "customer")),
    "catalogue": _Feed(_catalogue, _page_of_catalogue),
    "inventory": _Feed(_inventory, _counts),
}

# Square's lists lag by seconds (ListPayments: eventually consistent); five minutes is ample.
pull = Pull(first=_first, following=_following, found=_found, overlap_seconds=300)
