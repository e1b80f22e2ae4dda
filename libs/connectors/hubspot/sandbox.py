"""HubSpot's stand-in: objects, batch calls, associations, properties, search and limits as HubSpot has them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from libs.connectors.contract.simulator import Fault, SimRequest, SimResponse, Simulator
from libs.connectors.hubspot.sandbox_batches import BATCH_CALLS, Batches
from libs.connectors.hubspot.sandbox_limits import Limits, too_many
from libs.connectors.hubspot.sandbox_search import search
from libs.connectors.hubspot.sandbox_store import TYPES, Record, Refused, Store

DEFAULT_TOKEN = "pat-sandbox"  # noqa: S105 (a simulator's credential)

# Objects also go by singular and by type id (HubSpot, "Object type IDs").
_ALIASES = {
    **{kind: kind for kind in TYPES},
    "contact": "contacts",
    "0-1": "contacts",
    "order": "orders",
    "0-123": "orders",
    "line_item": "line_items",
    "0-8": "line_items",
}
_LOADED_AT = datetime(2026, 1, 1, tzinfo=UTC)

_FAULTS: Mapping[Fault, SimResponse] = {
    "down": SimResponse(503, {"status": "error", "message": "Service unavailable", "correlationId": "0"}),
    "error": SimResponse(500, {"status": "error", "message": "internal error", "correlationId": "0"}),
    "throttled": too_many("TEN_SECONDLY_ROLLING"),
    "throttled_retry_after": too_many("TEN_SECONDLY_ROLLING", {"retry-after": "2"}),
    "unauthorized": SimResponse(
        401,
        {
            "status": "error",
            "message": "Authentication credentials not found or expired.",
            "correlationId": "0",
            "category": "INVALID_AUTHENTICATION",
        },
    ),
    "garbage": SimResponse(200, b"<html><body>Bad gateway</body></html>", {"content-type": "text/html"}),
}


class HubSpotSimulator:
    """One HubSpot account in memory."""

    vendor = "hubspot"

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Empties everything and goes back to the defaults."""
        self.store = Store()
        self.batches = Batches(self.store)
        self.tokens: dict[str, datetime | None] = {DEFAULT_TOKEN: None}
        self.rate = Limits()
        self.search_lag = timedelta(seconds=5)
        self.missing_scopes: tuple[str, ...] = ()
        self.happened: Counter[str] = Counter()

    def configure(self, options: Mapping[str, Any]) -> None:
        """Options: `tokens` {token: expiry as ISO time or null}, `limits` {calls, seconds, daily,
        searches_per_second}, `search_lag_seconds`, `missing_scopes` [types that answer 403], `conflict` "call" or
        "row" (how a taken e-mail address is refused), `trace_in_results` bool, `without_properties`
        {type: [names that do not exist]}. Raises ValueError for others."""
        for name, value in options.items():
            setter = self._OPTIONS.get(name)
            if setter is None:
                raise ValueError(f"unknown option {name!r}")
            setter(self, value)

    def fault(self, fault: Fault) -> SimResponse:
        """HubSpot's own wording of a failure."""
        return _FAULTS[fault]

    def load(self, objects: Mapping[str, Any]) -> None:
        """Objects that were there before: {type: [properties, ...]}."""
        for kind, items in objects.items():
            for properties in items:
                self.store.write(kind, None, properties, _LOADED_AT)

    def state(self) -> dict[str, Any]:
        """Every object, archived ones too, with how often each was written, and all associations."""
        shown: dict[str, Any] = {
            kind: [record.shown() | {"writes": record.writes} for record in self.store.records[kind].values()]
            for kind in TYPES
        }
        shown["associations"] = {
            f"{source}->{target}": sorted([list(pair) for pair in pairs], key=lambda pair: [int(i) for i in pair])
            for (source, target), pairs in sorted(self.store.associations.items())
        }
        return shown

    def counters(self) -> dict[str, int]:
        """How often each thing happened, calls and effects."""
        return dict(self.happened + self.store.counts)

    def limits(self) -> dict[str, Any]:
        """The limits in force."""
        return {
            "in words": f"{self.rate.calls} calls in {self.rate.seconds:g} s, {self.rate.daily} a day",
            **self.rate.state(),
        }

    def handle(self, request: SimRequest, now: datetime) -> SimResponse:
        """Authenticates, limits, validates and answers."""
        self.happened["calls"] += 1
        searching = request.path.endswith("/search")
        refused = self._unauthorized(request, now) or self.rate.refuse(now, search=searching)
        if refused:
            self.happened[f"answered_{refused.status}"] += 1
            return refused
        try:
            answer = self._route(request, now)
        except Refused as refusal:
            answer = SimResponse(refusal.status, refusal.body)
        except (AttributeError, KeyError, TypeError, ValueError):
            # A body or query of another shape than HubSpot's.
            unreadable = Refused(400, "VALIDATION_ERROR", "Invalid input")
            answer = SimResponse(unreadable.status, unreadable.body)
        self.happened[f"answered_{answer.status}"] += 1
        headers = {} if searching else self.rate.headers()
        return SimResponse(answer.status, answer.body, {**headers, **answer.headers})

    def _unauthorized(self, request: SimRequest, now: datetime) -> SimResponse | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        known = scheme.lower() == "bearer" and token in self.tokens
        expires = self.tokens[token] if known else None
        return None if known and (expires is None or now < expires) else _FAULTS["unauthorized"]

    def _route(self, request: SimRequest, now: datetime) -> SimResponse:
        for method, pattern, reaction in _ROUTES:
            matched = pattern.fullmatch(request.path) if method == request.method else None
            if matched:
                parts = {name: unquote(value) for name, value in matched.groupdict().items()}
                for name in ("kind", "source", "target"):
                    if name in parts:
                        parts[name] = self._type(parts[name])
                return reaction(self, request, now, parts)
        raise Refused(404, "OBJECT_NOT_FOUND", "resource not found")

    def _type(self, name: str) -> str:
        kind = _ALIASES.get(name)
        if kind is None:
            raise Refused(400, "VALIDATION_ERROR", f"Unable to infer object type from: {name[:40]}")
        if kind in self.missing_scopes:
            raise Refused(403, "MISSING_SCOPES", "This app hasn't been granted all required scopes to make this call.")
        return kind

    def _list(self, request: SimRequest, now: datetime, parts: dict[str, str]) -> SimResponse:
        limit = min(100, int(request.query.get("limit", "10")))
        after = int(request.query.get("after", "0"))
        records = [r for r in self.store.all_living(parts["kind"]) if int(r.id) > after]
        page = records[:limit]
        body: dict[str, Any] = {"results": [record.shown(_wanted(request)) for record in page]}
        if len(records) > limit:
            body["paging"] = {"next": {"after": page[-1].id}}
        return SimResponse(200, body)

    def _create(self, request: SimRequest, now: datetime, parts: dict[str, str]) -> SimResponse:
        record = self.store.write(parts["kind"], None, _body(request).get("properties", {}), now)
        return SimResponse(201, record.shown())

    def _read(self, request: SimRequest, now: datetime, parts: dict[str, str]) -> SimResponse:
        return SimResponse(200, self._one(request, parts).shown(_wanted(request)))

    def _update(self, request: SimRequest, now: datetime, parts: dict[str, str]) -> SimResponse:
        record = self._one(request, parts)
        self.store.write(parts["kind"], record, _body(request).get("properties", {}), now)
        return SimResponse(200, record.shown())

    def _one(self, request: SimRequest, parts: dict[str, str]) -> Record:
        unique = request.query.get("idProperty")
        kind, name = parts["kind"], parts["id"]
        record = self.store.by_unique(kind, unique, name) if unique else self.store.living(kind, name)
        if record is None:
            raise Refused(404, "OBJECT_NOT_FOUND", "resource not found")
        return record

    def _archive(self, request: SimRequest, now: datetime, parts: dict[str, str]) -> SimResponse:
        self.store.archive(parts["kind"], parts["id"])
        return SimResponse(204)

    def _forget(self, request: SimRequest, now: datetime, parts: dict[str, str]) -> SimResponse:
        body = _body(request)
        value = str(body.get("objectId", ""))
        by_email = body.get("idProperty") == "email"
        record = self.store.by_unique("contacts", "email", value) if by_email else None
        self.store.archive("contacts", record.id if record else value, for_good=True)
        return SimResponse(204)

    def _batch(self, request: SimRequest, now: datetime, parts: dict[str, str]) -> SimResponse:
        call = BATCH_CALLS.get(parts["call"])
        if call is None:
            raise Refused(404, "OBJECT_NOT_FOUND", "resource not found")
        self.happened[f"{parts['kind']}_batch_{parts['call']}"] += 1
        return call(self.batches, parts["kind"], _body(request), now)

    def _associate_many(self, request: SimRequest, now: datetime, parts: dict[str, str]) -> SimResponse:
        return self.batches.associate(parts["source"], parts["target"], _body(request))

    def _associate_one(self, request: SimRequest, now: datetime, parts: dict[str, str]) -> SimResponse:
        pair = {"from": {"id": parts["id"]}, "to": {"id": parts["other"]}}
        return self.batches.associate(parts["source"], parts["target"], {"inputs": [pair]})

    def _associated(self, request: SimRequest, now: datetime, parts: dict[str, str]) -> SimResponse:
        pairs = self.store.associations.get((parts["source"], parts["target"]), set())
        found = sorted(int(target) for source, target in pairs if source == parts["id"])
        return SimResponse(200, {"results": [{"toObjectId": target, "associationTypes": []} for target in found]})

    def _search(self, request: SimRequest, now: datetime, parts: dict[str, str]) -> SimResponse:
        visible = [r for r in self.store.all_living(parts["kind"]) if r.updated <= now - self.search_lag]
        return search(visible, _body(request))

    def _properties(self, request: SimRequest, now: datetime, parts: dict[str, str]) -> SimResponse:
        kind = parts["kind"]
        return SimResponse(200, {"results": [self._property(kind, name) for name in self.store.types[kind]]})

    def _read_property(self, request: SimRequest, now: datetime, parts: dict[str, str]) -> SimResponse:
        if parts["name"] not in self.store.types[parts["kind"]]:
            raise Refused(404, "OBJECT_NOT_FOUND", "Property does not exist")
        return SimResponse(200, self._property(parts["kind"], parts["name"]))

    def _create_property(self, request: SimRequest, now: datetime, parts: dict[str, str]) -> SimResponse:
        body = _body(request)
        missing = [name for name in ("name", "label", "type", "fieldType", "groupName") if not body.get(name)]
        if missing:
            raise Refused(400, "VALIDATION_ERROR", f"Some required fields were not set: [{', '.join(missing)}]")
        unique = bool(body.get("hasUniqueValue"))
        self.store.define(parts["kind"], str(body["name"]), str(body["type"]), unique=unique)
        return SimResponse(201, self._property(parts["kind"], str(body["name"])))

    def _property(self, kind: str, name: str) -> dict[str, Any]:
        unique = name in self.store.unique[kind]
        return {"name": name, "type": self.store.types[kind][name], "hasUniqueValue": unique}

    def _account(self, request: SimRequest, now: datetime, parts: dict[str, str]) -> SimResponse:
        return SimResponse(200, {"portalId": 1, "accountType": "DEVELOPER_TEST", "timeZone": "UTC"})

    def _set_tokens(self, value: Mapping[str, Any]) -> None:
        self.tokens = {token: _time(expires) for token, expires in value.items()}

    def _set_limits(self, value: Mapping[str, Any]) -> None:
        allowed = {"calls": int, "seconds": float, "daily": int, "searches_per_second": int}
        for name, figure in value.items():
            if name not in allowed:
                raise ValueError(f"unknown limit {name!r}")
            setattr(self.rate, name, allowed[name](figure))

    def _set_lag(self, value: Any) -> None:
        self.search_lag = timedelta(seconds=float(value))

    def _set_missing_scopes(self, value: Any) -> None:
        self.missing_scopes = tuple(value)

    def _set_conflict(self, value: Any) -> None:
        if value not in ("call", "row"):
            raise ValueError("conflict is 'call' or 'row'")
        self.batches.conflict_fails_call = value == "call"

    def _set_trace(self, value: Any) -> None:
        self.batches.trace_in_results = bool(value)

    def _remove_properties(self, value: Mapping[str, Any]) -> None:
        for kind, names in value.items():
            for name in names:
                self.store.undefine(kind, name)

    _OPTIONS: Mapping[str, Callable[[HubSpotSimulator, Any], None]] = {
        "tokens": _set_tokens,
        "limits": _set_limits,
        "search_lag_seconds": _set_lag,
        "missing_scopes": _set_missing_scopes,
        "conflict": _set_conflict,
        "trace_in_results": _set_trace,
        "without_properties": _remove_properties,
    }


def _body(request: SimRequest) -> Mapping[str, Any]:
    if not isinstance(request.json, Mapping):
        raise Refused(400, "VALIDATION_ERROR", "Invalid input JSON")
    return request.json


def _wanted(request: SimRequest) -> set[str] | None:
    named = request.query.get("properties")
    return set(named.split(",")) if named else None


def _time(value: Any) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


Reaction = Callable[[HubSpotSimulator, SimRequest, datetime, dict[str, str]], SimResponse]

_OBJECTS = r"/crm/(?:v3/objects|objects/\d{4}-\d{2})/(?P<kind>[^/]+)"
_ASSOCIATIONS = r"/crm/(?:v4/associations|associations/\d{4}-\d{2})/(?P<source>[^/]+)/(?P<target>[^/]+)"
_PROPERTIES = r"/crm/(?:v3/properties|properties/\d{4}-\d{2})/(?P<kind>[^/]+)"
_PAIRED = r"/crm/v4/objects/(?P<source>[^/]+)/(?P<id>[^/]+)/associations"

_Sim = HubSpotSimulator
_ROUTES: tuple[tuple[str, re.Pattern[str], Reaction], ...] = tuple(
    (method, re.compile(pattern), reaction)
    for method, pattern, reaction in (
        ("POST", _OBJECTS + r"/batch/(?P<call>[a-z]+)", _Sim._batch),
        ("POST", _OBJECTS + "/search", _Sim._search),
        ("POST", _OBJECTS + "/gdpr-delete", _Sim._forget),
        ("GET", _OBJECTS, _Sim._list),
        ("POST", _OBJECTS, _Sim._create),
        ("GET", _OBJECTS + "/(?P<id>[^/]+)", _Sim._read),
        ("PATCH", _OBJECTS + "/(?P<id>[^/]+)", _Sim._update),
        ("DELETE", _OBJECTS + "/(?P<id>[^/]+)", _Sim._archive),
        ("POST", _ASSOCIATIONS + "/batch/associate/default", _Sim._associate_many),
        ("PUT", _PAIRED + "/default/(?P<target>[^/]+)/(?P<other>[^/]+)", _Sim._associate_one),
        ("GET", _PAIRED + "/(?P<target>[^/]+)", _Sim._associated),
        ("GET", _PROPERTIES, _Sim._properties),
        ("POST", _PROPERTIES, _Sim._create_property),
        ("GET", _PROPERTIES + "/(?P<name>[^/]+)", _Sim._read_property),
        ("GET", "/account-info/v3/details", _Sim._account),
    )
)


def simulator() -> Simulator:
    """A HubSpot account that is empty but for its properties; its token is `pat-sandbox`."""
    return HubSpotSimulator()
