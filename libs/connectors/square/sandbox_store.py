"""What a simulated Square account holds, and how its lists and searches choose from it."""

from __future__ import annotations

import base64
import copy
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from libs.canonical.identity import digest
from libs.canonical.moments import TimeError, parse_time

Object = dict[str, Any]
# Square's cursors are short-lived; five minutes is what sellers' developers report.
CURSOR_LIFE = timedelta(minutes=5)


class Refused(Exception):
    """An answer other than success: status, and Square's category, code, detail and field."""

    def __init__(self, status: int, category: str, code: str, detail: str, field: str | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.error = {"category": category, "code": code, "detail": detail, **({"field": field} if field else {})}


def bad_request(code: str, detail: str, field: str | None = None) -> Refused:
    """400 with Square's code."""
    return Refused(400, "INVALID_REQUEST_ERROR", code, detail, field)


def not_found(detail: str) -> Refused:
    """404 as Square words it."""
    return Refused(404, "INVALID_REQUEST_ERROR", "NOT_FOUND", detail)


def _by_id(each: Mapping[str, Any]) -> str:
    return str(each["id"])


def _by_shelf(count: Mapping[str, Any]) -> str:
    return f"{count['catalog_object_id']}@{count['location_id']}:{count['state']}"


KEYS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "orders": _by_id,
    "payments": _by_id,
    "refunds": _by_id,
    "customers": _by_id,
    "catalog": _by_id,
    "locations": _by_id,
    "counts": _by_shelf,
    "team_members": _by_id,
}


class Store:
    """Objects by kind and id."""

    def __init__(self) -> None:
        self.kinds: dict[str, dict[str, Object]] = {kind: {} for kind in KEYS}

    def load(self, objects: Mapping[str, Any]) -> None:
        """Adds or replaces objects by id; raises ValueError for a kind that Square does not have here."""
        for kind, found in objects.items():
            if kind not in KEYS:
                raise ValueError(f"no objects of kind {kind!r}; there are: {', '.join(KEYS)}")
            for each in found:
                self.kinds[kind][KEYS[kind](each)] = copy.deepcopy(dict(each))
                for variation in (each.get("item_data") or {}).get("variations") or ():
                    self.kinds[kind][variation["id"]] = copy.deepcopy(variation)

    def one(self, kind: str, object_id: str) -> Object:
        """An object; raises Refused (404)."""
        found = self.kinds[kind].get(object_id)
        if found is None or found.get("is_deleted"):
            raise not_found(f"{kind} with id {object_id} not found")
        return found

    def all(self, kind: str) -> list[Object]:
        """Every object of a kind."""
        return list(self.kinds[kind].values())

    def related(self, objects: Iterable[Object]) -> list[Object]:
        """What catalogue objects refer to: a variation's item, an item's categories."""
        catalog = self.kinds["catalog"]
        chosen = {each["id"] for each in objects}
        queue, found = list(objects), {}
        while queue:
            each = queue.pop()
            item = each.get("item_data") or {}
            ids = [(each.get("item_variation_data") or {}).get("item_id"), item.get("category_id")]
            ids += [category.get("id") for category in item.get("categories") or ()]
            ids += [(item.get("reporting_category") or {}).get("id")]
            for object_id in ids:
                if object_id in catalog and object_id not in found and object_id not in chosen:
                    found[object_id] = catalog[object_id]
                    queue.append(catalog[object_id])
        return list(found.values())


def ordered(objects: Iterable[Object], key: str, order: str = "ASC") -> list[Object]:
    """By time and id; what has no such time comes first."""
    timed = [
        ((parse_time(each[key]).timestamp() if each.get(key) else 0.0, str(each.get("id"))), each) for each in objects
    ]
    timed.sort(key=lambda pair: pair[0], reverse=order == "DESC")
    return [each for _, each in timed]


def moment(text: Any, field: str) -> datetime | None:
    """A time of a filter; raises Refused when it is none."""
    if text is None:
        return None
    try:
        return parse_time(text)
    except TimeError:
        raise bad_request("INVALID_TIME", f"{field} is not a valid RFC 3339 timestamp", field) from None


def between(objects: Iterable[Object], key: str, begin: datetime | None, end: datetime | None) -> list[Object]:
    """Those whose time is from `begin` on and before `end`; without a time they are left out when either is given."""
    if begin is None and end is None:
        return list(objects)
    if begin is not None and end is not None and end < begin:
        raise bad_request("INVALID_TIME_RANGE", "the end of the range is before its beginning")
    timed = ((each, parse_time(each[key])) for each in objects if each.get(key))
    return [each for each, at in timed if (begin is None or at >= begin) and (end is None or at < end)]


class Listings:
    """Lists that are being paged through: what was found at first stays as it is until the last page."""

    # More searches than this at one time are not to be expected of one seller's connection.
    KEPT = 32

    def __init__(self) -> None:
        self._found: OrderedDict[str, list[Object]] = OrderedDict()

    def page(
        self,
        name: str,
        find: Callable[[], list[Object]],
        query: Mapping[str, Any],
        now: datetime,
        *,
        default: int,
        largest: int,
    ) -> tuple[list[Object], str | None]:
        """One page and the cursor of the next. A cursor is good for its own query only, and not for long."""
        limit = _limit(query.get("limit"), default, largest)
        own = {key: value for key, value in query.items() if key != "cursor"}
        asked = digest(name, json.dumps(own, sort_keys=True, default=str))
        start = _offset(query.get("cursor"), asked, now)
        found = self._found.get(asked) if start else None
        if found is None:
            found = self._found[asked] = find()
            while len(self._found) > self.KEPT:
                self._found.popitem(last=False)
        end = start + limit
        if end >= len(found):
            self._found.pop(asked, None)
            return found[start:end], None
        words = json.dumps([end, asked, now.isoformat()]).encode()
        return found[start:end], base64.urlsafe_b64encode(words).decode()


def _limit(stated: Any, default: int, largest: int) -> int:
    try:
        limit = default if stated is None else int(stated)
    except (TypeError, ValueError):
        raise bad_request("EXPECTED_INTEGER", "limit is no integer", "limit") from None
    if limit < 1:
        raise bad_request("VALUE_TOO_LOW", "limit must be at least 1", "limit")
    if limit > largest:
        raise bad_request("VALUE_TOO_HIGH", f"limit must be at most {largest}", "limit")
    return limit


def _offset(cursor: Any, asked: str, now: datetime) -> int:
    if cursor is None:
        return 0
    try:
        offset, query, issued = json.loads(base64.urlsafe_b64decode(cursor))
        valid = query == asked and now - datetime.fromisoformat(issued) <= CURSOR_LIFE
    except (TypeError, ValueError):
        valid = False
    if not valid:
        raise bad_request("INVALID_CURSOR", "the cursor is invalid, expired or of another query", "cursor")
    return int(offset)
