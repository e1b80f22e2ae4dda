"""Poll and backfill: pages that list what changed in a span of time, by id only.

Each object listed is then fetched like one that a webhook named, so that both ways show the same. Whole orders on a
page would soon pass the 1000 points that one query may cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from libs.connectors.contract.http import Request, Response
from libs.connectors.contract.source import Notification, Period, Pull
from libs.connectors.shopify import shape
from libs.connectors.shopify.answers import data
from libs.connectors.shopify.assembly import with_variables
from libs.connectors.shopify.queries import request

PAGE = 250  # the most that Shopify gives a page
LEVEL_PAGE = 100

# feed -> the operation that lists it, and the field of its answer
_LISTS = {"orders": ("Orders", "orders"), "customers": ("Customers", "customers"), "products": ("Products", "products")}


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _changed(period: Period) -> str:
    """Shopify's search syntax. Its times have whole seconds, so a begun second at the end is asked once more."""
    return f"updated_at:>='{_time(period.begin)}' AND updated_at:<='{_time(period.end)}'"


def first(feed: str, period: Period, account_id: str, location_ids: Sequence[str]) -> Request:
    """The first page of a feed; raises KeyError for a feed that the manifest does not name.

    Orders are asked for all locations: a filter by location would leave out online orders, which have none.
    """
    if feed == "inventory":
        places = " OR ".join(f"id:{place}" for place in location_ids if place.isdecimal())
        return request(
            "Levels", first=LEVEL_PAGE, after=None, location=None, locations=places or None, query=_changed(period)
        )
    operation, _ = _LISTS[feed]
    return request(operation, first=PAGE, after=None, query=_changed(period))


def following(feed: str, sent: Request, response: Response) -> Request | None:
    """The next page; None after the last. Stock goes through the locations one by one, each in pages of its own."""
    answer = data(response)
    if feed == "inventory":
        places = shape.dig(answer, "locations")
        inside = [cursor for place in _objects(places) if (cursor := shape.after(shape.dig(place, "inventoryLevels")))]
        if inside:
            return with_variables(sent, after=inside[0])
        place = shape.after(places)
        return None if place is None else with_variables(sent, after=None, location=place)
    cursor = shape.after(shape.dig(answer, _LISTS[feed][1]))
    return None if cursor is None else with_variables(sent, after=cursor)


def found(feed: str, response: Response) -> Sequence[Notification]:
    """The objects on a page, each as a notification that `identify` understands."""
    answer = data(response)
    shop = shape.dig(answer, "shop", "myshopifyDomain")
    listed = _levels(answer) if feed == "inventory" else _listed(answer, _LISTS[feed][1])
    return [
        Notification({}, {"feed": feed, "shop": shop, "id": object_id, "updated_at": changed})
        for object_id, changed in listed
    ]


def _objects(connection: Any) -> list[Mapping[str, Any]]:
    nodes = shape.dig(connection, "nodes")
    return [node for node in nodes if isinstance(node, Mapping)] if isinstance(nodes, list) else []


def _listed(answer: Any, field: str) -> list[tuple[str | None, Any]]:
    return [(shape.number(node, "id"), node.get("updatedAt")) for node in _objects(shape.dig(answer, field))]


def _levels(answer: Any) -> list[tuple[str | None, Any]]:
    return [
        (f"{shape.number(level, 'item', 'id')}@{shape.number(place, 'id')}", level.get("updatedAt"))
        for place in _objects(shape.dig(answer, "locations"))
        for level in _objects(shape.dig(place, "inventoryLevels"))
    ]


pull = Pull(first=first, following=following, found=found, overlap_seconds=600)
