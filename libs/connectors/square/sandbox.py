"""A simulated Square: token, version, limits, reads and searches as its API answers them.

Eventual consistency is left out: what is loaded is seen at once.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote

from libs.canonical.moments import parse_time
from libs.connectors.contract.simulator import Fault, SimRequest, SimResponse, Simulator
from libs.connectors.square.calls import API_VERSION
from libs.connectors.square.sandbox_store import (
    KEYS,
    Listings,
    Object,
    Refused,
    Store,
    bad_request,
    between,
    moment,
    ordered,
)
from libs.connectors.square.webhooks import notification, sign

__all__ = ["SquareSandbox", "notification", "sign", "simulator"]

DEFAULT_TOKEN = "square-sandbox-token"  # noqa: S105 - a simulator's token opens nothing
# Square publishes no limits; this is an assumption, in calls and seconds.
ASSUMED_WINDOWS = ({"calls": 20, "seconds": 1},)
_VERSION = re.compile(r"20[0-9]{2}-[01][0-9]-[0-3][0-9]")
_FAULTS: dict[Fault, tuple[int, str, str, str]] = {
    "down": (503, "API_ERROR", "SERVICE_UNAVAILABLE", "Service Unavailable."),
    "error": (500, "API_ERROR", "INTERNAL_SERVER_ERROR", "An internal error has occurred."),
    "throttled": (429, "RATE_LIMIT_ERROR", "RATE_LIMITED", "The rate limit was exceeded."),
    "throttled_retry_after": (429, "RATE_LIMIT_ERROR", "RATE_LIMITED", "The rate limit was exceeded."),
    "unauthorized": (
        401,
        "AUTHENTICATION_ERROR",
        "UNAUTHORIZED",
        "This request could not be authorized.",
    ),
}

Answer = dict[str, Any]


def simulator() -> Simulator:
    """A Square account with nothing in it."""
    return SquareSandbox()


class SquareSandbox:
    """One seller's account.

    Options: `tokens` (token -> time until which it is good as RFC 3339 text, or null for ever) and `windows` (a list
    of {calls, seconds}; empty: no limit).
    """

    vendor = "square"

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Everything as new: no objects, the default token and the assumed limit."""
        self._store = Store()
        self._listings = Listings()
        self._tokens: dict[str, datetime | None] = {DEFAULT_TOKEN: None}
        self._windows: list[tuple[int, timedelta]] = []
        self._calls: deque[datetime] = deque()
        self._counts: Counter[str] = Counter()
        self.configure({"windows": ASSUMED_WINDOWS})

    def configure(self, options: Mapping[str, Any]) -> None:
        """Sets tokens and limits; raises ValueError for an option that there is not."""
        unknown = set(options) - {"tokens", "windows"}
        if unknown:
            raise ValueError(f"no such option: {', '.join(sorted(unknown))}; there are: tokens, windows")
        if "tokens" in options:
            self._tokens = {token: parse_time(until) if until else None for token, until in options["tokens"].items()}
        if "windows" in options:
            self._windows = [
                (int(each["calls"]), timedelta(seconds=float(each["seconds"]))) for each in options["windows"]
            ]

    def load(self, objects: Mapping[str, Any]) -> None:
        """Adds or replaces orders, payments, refunds, customers, catalog, locations, counts and team_members."""
        self._store.load(objects)
        self._counts["loaded"] += sum(len(found) for found in objects.values())

    def state(self) -> dict[str, Any]:
        """Everything stored, by kind."""
        return {kind: self._store.all(kind) for kind in KEYS}

    def counters(self) -> dict[str, int]:
        """How often each call was answered, by path and status."""
        return dict(self._counts)

    def limits(self) -> dict[str, Any]:
        """The windows in force."""
        return {
            "note": "Square publishes no limits: these are assumed",
            "windows": [{"calls": calls, "seconds": span.total_seconds()} for calls, span in self._windows],
        }

    def fault(self, fault: Fault) -> SimResponse:
        """A failure in Square's words. Square documents no Retry-After; it is sent where the fault asks for one."""
        if fault == "garbage":
            return SimResponse(200, b"<html><body>upstream connect error</body></html>", {"content-type": "text/html"})
        status, category, code, detail = _FAULTS[fault]
        headers = {"retry-after": "1"} if fault == "throttled_retry_after" else {}
        return _failed(Refused(status, category, code, detail), headers)

    def handle(self, request: SimRequest, now: datetime) -> SimResponse:
        """Answers a call: limits and token first, then the call itself."""
        name, response = self._answer(request, now)
        self._counts[f"{name} {response.status}"] += 1
        return response

    def _answer(self, request: SimRequest, now: datetime) -> tuple[str, SimResponse]:
        path = request.path.split("?")[0]
        for method, pattern, read in _ROUTES:
            match = re.fullmatch(pattern, path)
            if match and method == request.method:
                name = f"{method} {pattern.replace(_ID, '{id}')}"
                try:
                    self._admit(request, now)
                    answer = read(self, request, now, *(unquote(each) for each in match.groups()))
                except Refused as refused:
                    return name, _failed(refused)
                return name, SimResponse(200, answer, {"square-version": API_VERSION})
        known = any(re.fullmatch(pattern, path) for _, pattern, _ in _ROUTES)
        status, code = (405, "METHOD_NOT_ALLOWED") if known else (404, "NOT_FOUND")
        return "other", _failed(Refused(status, "INVALID_REQUEST_ERROR", code, "Resource not found."))

    def _admit(self, request: SimRequest, now: datetime) -> None:
        if not self._within_limits(now):
            raise Refused(*_FAULTS["throttled"])
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self._tokens:
            raise Refused(*_FAULTS["unauthorized"])
        until = self._tokens[token]
        if until is not None and until <= now:
            raise Refused(401, "AUTHENTICATION_ERROR", "ACCESS_TOKEN_EXPIRED", "The access token has expired.")
        version = request.headers.get("square-version", API_VERSION)
        if not _VERSION.fullmatch(version):
            raise bad_request("INVALID_SQUARE_VERSION_FORMAT", "Square-Version must be YYYY-MM-DD", "Square-Version")

    def _within_limits(self, now: datetime) -> bool:
        longest = max((span for _, span in self._windows), default=timedelta(0))
        while self._calls and now - self._calls[0] >= longest:
            self._calls.popleft()
        full = any(sum(now - at < span for at in self._calls) >= calls for calls, span in self._windows)
        if not full:
            self._calls.append(now)
        return not full

    # Reads

    def locations(self, request: SimRequest, now: datetime) -> Answer:
        """ListLocations."""
        return {"locations": self._store.all("locations")}

    def one(self, kind: str, object_id: str) -> Object:
        """One object by id; raises Refused (404)."""
        return self._store.one(kind, object_id)

    def catalogue_object(self, request: SimRequest, now: datetime, object_id: str) -> Answer:
        """RetrieveCatalogObject."""
        found = self._store.one("catalog", object_id)
        answer: Answer = {"object": found}
        if request.query.get("include_related_objects") == "true":
            answer["related_objects"] = self._store.related([found])
        return answer

    def search_orders(self, request: SimRequest, now: datetime) -> Answer:
        """SearchOrders."""
        body = _body(request)
        return self._page("orders", lambda: self._orders(body), body, now, 500, 1000)

    def _orders(self, body: Mapping[str, Any]) -> list[Object]:
        places = body.get("location_ids")
        if not places:
            raise bad_request("MISSING_REQUIRED_PARAMETER", "location_ids is required", "location_ids")
        if len(places) > 10:
            raise bad_request("ARRAY_LENGTH_TOO_LONG", "at most 10 location_ids", "location_ids")
        query = body.get("query") or {}
        wanted = query.get("filter") or {}
        states = (wanted.get("state_filter") or {}).get("states")
        sort = query.get("sort") or {}
        key = str(sort.get("sort_field", "CREATED_AT")).lower()
        found = [each for each in self._store.all("orders") if each.get("location_id") in places]
        found = [each for each in found if not states or each.get("state") in states]
        for field, span in (wanted.get("date_time_filter") or {}).items():
            if field != key:
                raise bad_request("BAD_REQUEST", "sort_field must match the time that is filtered by", "query.sort")
            found = _in_range(found, field, span)
        return ordered(found, key, sort.get("sort_order", "DESC"))

    def batch_orders(self, request: SimRequest, now: datetime) -> Answer:
        """BatchRetrieveOrders: unknown ids are left out."""
        ids = _body(request).get("order_ids") or []
        if not 1 <= len(ids) <= 100:
            raise bad_request("ARRAY_LENGTH_TOO_LONG", "between 1 and 100 order_ids", "order_ids")
        orders = self._store.kinds["orders"]
        return {"orders": [orders[each] for each in ids if each in orders]}

    def payments(self, request: SimRequest, now: datetime) -> Answer:
        """ListPayments: without a location only the main one's, which is the first."""
        location_id = request.query.get("location_id") or next(iter(self._store.kinds["locations"]), None)
        return self._page(
            "payments", lambda: self._by_query("payments", request.query, location_id), request.query, now, 100, 100
        )

    def refunds(self, request: SimRequest, now: datetime) -> Answer:
        """ListPaymentRefunds: without a location those of all."""
        location_id = request.query.get("location_id")
        return self._page(
            "refunds", lambda: self._by_query("refunds", request.query, location_id), request.query, now, 100, 100
        )

    def _by_query(self, kind: str, query: Mapping[str, str], location_id: str | None) -> list[Object]:
        found = [each for each in self._store.all(kind) if location_id in (None, each.get("location_id"))]
        if query.get("status"):
            found = [each for each in found if each.get("status") == query["status"]]
        for key, prefix in (("created_at", ""), ("updated_at", "updated_at_")):
            begin, end = (
                moment(query.get(f"{prefix}{name}_time"), f"{prefix}{name}_time") for name in ("begin", "end")
            )
            found = between(found, key, begin, end)
        return ordered(found, query.get("sort_field", "CREATED_AT").lower(), query.get("sort_order", "DESC"))

    def search_customers(self, request: SimRequest, now: datetime) -> Answer:
        """SearchCustomers by times; sorted by name, as Square does when not told otherwise."""
        body = _body(request)
        return self._page("customers", lambda: self._customers(body), body, now, 100, 100)

    def _customers(self, body: Mapping[str, Any]) -> list[Object]:
        wanted = (body.get("query") or {}).get("filter") or {}
        found = self._store.all("customers")
        for field in ("created_at", "updated_at"):
            found = _in_range(found, field, wanted.get(field) or {})
        return sorted(
            found, key=lambda each: (each.get("given_name") or "", each.get("family_name") or "", str(each["id"]))
        )

    def search_catalogue(self, request: SimRequest, now: datetime) -> Answer:
        """SearchCatalogObjects by type and time of change."""
        body = _body(request)
        answer = self._page("objects", lambda: self._catalogue(body), body, now, 100, 1000)
        if body.get("include_related_objects") and answer.get("objects"):
            answer["related_objects"] = self._store.related(answer["objects"])
        changes = [each["updated_at"] for each in self._store.all("catalog")]
        return {**answer, **({"latest_time": max(changes, key=parse_time)} if changes else {})}

    def _catalogue(self, body: Mapping[str, Any]) -> list[Object]:
        begin = moment(body.get("begin_time"), "begin_time")
        types = body.get("object_types")
        found = [each for each in self._store.all("catalog") if not types or each.get("type") in types]
        if not body.get("include_deleted_objects"):
            found = [each for each in found if not each.get("is_deleted")]
        if begin is not None:
            # Strictly after it (SearchCatalogObjectsRequest.begin_time).
            found = [each for each in found if parse_time(each["updated_at"]) > begin]
        return sorted(found, key=lambda each: str(each["id"]))

    def batch_catalogue(self, request: SimRequest, now: datetime) -> Answer:
        """BatchRetrieveCatalogObjects."""
        body = _body(request)
        catalog = self._store.kinds["catalog"]
        found = [catalog[each] for each in body.get("object_ids") or () if each in catalog]
        answer: Answer = {"objects": [each for each in found if not each.get("is_deleted")]}
        if body.get("include_related_objects"):
            answer["related_objects"] = self._store.related(answer["objects"])
        return answer

    def counts(self, request: SimRequest, now: datetime) -> Answer:
        """BatchRetrieveInventoryCounts."""
        body = _body(request)
        return self._page("counts", lambda: self._counts_of(body), body, now, 100, 1000)

    def _counts_of(self, body: Mapping[str, Any]) -> list[Object]:
        found = self._store.all("counts")
        filters = {"catalog_object_id": "catalog_object_ids", "location_id": "location_ids", "state": "states"}
        for field, key in filters.items():
            found = [each for each in found if not body.get(key) or each[field] in body[key]]
        found = between(found, "calculated_at", moment(body.get("updated_after"), "updated_after"), None)
        return ordered(found, "calculated_at")

    def search_team(self, request: SimRequest, now: datetime) -> Answer:
        """SearchTeamMembers."""
        return self._page("team_members", lambda: self._store.all("team_members"), _body(request), now, 100, 200)

    def _page(
        self,
        name: str,
        find: Callable[[], list[Object]],
        query: Mapping[str, Any],
        now: datetime,
        default: int,
        largest: int,
    ) -> Answer:
        """Square leaves out an empty list, and the cursor of the last page."""
        objects, cursor = self._listings.page(name, find, query, now, default=default, largest=largest)
        return {**({name: objects} if objects else {}), **({"cursor": cursor} if cursor else {})}


def _body(request: SimRequest) -> Mapping[str, Any]:
    body = request.json
    if not isinstance(body, Mapping):
        raise bad_request("EXPECTED_JSON_BODY", "The request body is not valid JSON.")
    return body


def _in_range(found: list[Object], field: str, span: Mapping[str, Any]) -> list[Object]:
    return between(found, field, moment(span.get("start_at"), "start_at"), moment(span.get("end_at"), "end_at"))


def _failed(refused: Refused, headers: Mapping[str, str] | None = None) -> SimResponse:
    return SimResponse(refused.status, {"errors": [refused.error]}, {"square-version": API_VERSION, **(headers or {})})


def _one(kind: str, name: str) -> Callable[..., Answer]:
    return lambda sandbox, request, now, object_id: {name: sandbox.one(kind, object_id)}


_ID = "([^/]+)"
_ROUTES: tuple[tuple[str, str, Callable[..., Answer]], ...] = (
    ("GET", "/v2/locations", SquareSandbox.locations),
    ("GET", f"/v2/locations/{_ID}", _one("locations", "location")),
    ("POST", "/v2/orders/search", SquareSandbox.search_orders),
    ("POST", "/v2/orders/batch-retrieve", SquareSandbox.batch_orders),
    ("GET", f"/v2/orders/{_ID}", _one("orders", "order")),
    ("GET", "/v2/payments", SquareSandbox.payments),
    ("GET", f"/v2/payments/{_ID}", _one("payments", "payment")),
    ("GET", "/v2/refunds", SquareSandbox.refunds),
    ("GET", f"/v2/refunds/{_ID}", _one("refunds", "refund")),
    ("POST", "/v2/customers/search", SquareSandbox.search_customers),
    ("GET", f"/v2/customers/{_ID}", _one("customers", "customer")),
    ("POST", "/v2/catalog/search", SquareSandbox.search_catalogue),
    ("POST", "/v2/catalog/batch-retrieve", SquareSandbox.batch_catalogue),
    ("GET", f"/v2/catalog/object/{_ID}", SquareSandbox.catalogue_object),
    ("POST", "/v2/inventory/counts/batch-retrieve", SquareSandbox.counts),
    ("POST", "/v2/team-members/search", SquareSandbox.search_team),
    ("GET", f"/v2/team-members/{_ID}", _one("team_members", "team_member")),
)
