"""The simulated Square, asked as the connector asks the real one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from libs.canonical.event import AnyEvent
from libs.connectors.contract.http import Request, Response
from libs.connectors.contract.simulator import Fault, SimRequest, SimResponse, Simulator
from libs.connectors.contract.source import Notification, Period, Snapshot, SourceSettings
from libs.connectors.square import connector
from libs.connectors.square.sandbox import DEFAULT_TOKEN
from libs.connectors.square.webhooks import notification
from tests.connectors.square.recorded import CASES, events_of_case, source
from tools.golden import write_json

NOW = datetime(2025, 9, 1, tzinfo=UTC)
MERCHANT = "MLTILL0000001"
KINDS = {
    "order": "orders",
    "payment": "payments",
    "refund": "refunds",
    "customer": "customers",
    "location": "locations",
}
ALL_TIME = Period(datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def sandbox() -> Simulator:
    made = connector.simulator()
    made.configure({"windows": []})
    return made


def ask(sandbox: Simulator, request: Request, *, token: str = DEFAULT_TOKEN, now: datetime = NOW) -> Response:
    """The request as the runtime sends it, and the answer as it reads it."""
    headers = {**request.headers, "authorization": f"Bearer {token}"}
    body = json.dumps(request.json).encode() if request.json is not None else b""
    answer = sandbox.handle(SimRequest(request.method, urlsplit(request.path).path, request.query, headers, body), now)
    return response(answer)


def response(answer: SimResponse) -> Response:
    body = answer.body if isinstance(answer.body, bytes) else write_json(answer.body).encode()
    return Response(answer.status, answer.headers, body)


def load_case(sandbox: Simulator, name: str) -> None:
    """A case's objects, put into the seller's account."""
    for part, value in CASES[name].parts.items():
        kind = part.partition(":")[0]
        if kind == "catalog":
            sandbox.load({"catalog": [value["object"], *value.get("related_objects", [])]})
        elif kind in KINDS:
            sandbox.load({KINDS[kind]: [value]})


def fetched(sandbox: Simulator, kind: str, root_id: str, have: Mapping[str, Any]) -> dict[str, Any]:
    """All parts of a snapshot, asked for one after another."""
    parts = dict(have)
    while needed := source.assemble(kind, root_id, parts):
        for fetch in needed:
            answer = ask(sandbox, fetch.request)
            if answer.status == 404 and fetch.optional:
                parts[fetch.part] = None
                continue
            assert answer.status == 200, (fetch, answer.body)
            parts[fetch.part] = fetch.items(answer) if fetch.items else answer.json
            request = fetch.next_page(fetch.request, answer) if fetch.next_page else None
            while request and fetch.next_page:
                answer = ask(sandbox, request)
                parts[fetch.part] += fetch.items(answer) if fetch.items else answer.json
                request = fetch.next_page(request, answer)
    return parts


def told(sandbox: Simulator, body: Any) -> list[AnyEvent]:
    """The events of a notification, with everything else read from the simulator."""
    identified = source.identify(Notification({}, body))
    events: list[AnyEvent] = []
    for root in identified.roots:
        snapshot = Snapshot(
            vendor="square",
            account_id=MERCHANT,
            connection="test",
            root_kind=root.kind,
            root_id=root.id,
            parts=fetched(sandbox, root.kind, root.id, root.have),
            via="webhook",
            notified_as=identified.type,
            received_at=NOW,
            assembled_at=NOW,
        )
        events += source.to_canonical(snapshot, SourceSettings()).events
    return events


def pulled(sandbox: Simulator, feed: str, location_ids: tuple[str, ...] = ()) -> Iterator[Notification]:
    """Everything on all pages of a feed."""
    request: Request | None = source.pull.first(feed, ALL_TIME, MERCHANT, location_ids)
    while request:
        answer = ask(sandbox, request)
        assert answer.status == 200, answer.body
        yield from source.pull.found(feed, answer)
        request = source.pull.following(feed, request, answer)


@pytest.mark.parametrize(
    "name",
    [
        "card_sale_with_tip",
        "split_tender",
        "line_without_sku",
        "partial_refund_with_goods",
        "refund_of_split_tender",
        "refund_of_unknown_sale",
        "unlinked_refund",
        "exchange_for_less",
        "voided_after_completion",
        "yen",
    ],
)
def test_read_from_the_simulator_a_case_is_told_as_recorded(sandbox: Simulator, name: str) -> None:
    load_case(sandbox, name)
    assert told(sandbox, CASES[name].notification.body) == events_of_case(name)


def test_the_catalogue_is_searched_from_a_little_before_the_change(sandbox: Simulator) -> None:
    page = CASES["catalogue_changed"].parts["catalogue"][0]
    sandbox.load({"catalog": [*page["objects"], *page["related_objects"]]})
    events = told(sandbox, CASES["catalogue_changed"].notification.body)
    assert {event.id for event in events} == {event.id for event in events_of_case("catalogue_changed")}


def test_every_page_of_a_large_catalogue_is_read(sandbox: Simulator) -> None:
    stamp = "2025-08-22T09:30:00Z"
    items = [
        {
            "type": "ITEM",
            "id": f"Itm{number:03}",
            "updated_at": stamp,
            "version": 7,
            "item_data": {
                "name": f"Article {number}",
                "variations": [
                    {
                        "type": "ITEM_VARIATION",
                        "id": f"Var{number:03}",
                        "updated_at": stamp,
                        "version": 7,
                        "item_variation_data": {"item_id": f"Itm{number:03}", "sku": str(number)},
                    }
                ],
            },
        }
        for number in range(130)
    ]
    sandbox.load({"catalog": items})
    body = notification("catalog.version.updated", {"updated_at": stamp}, MERCHANT, "e1", stamp)
    products = {event.entity_id for event in told(sandbox, body)}
    assert products == {f"Var{number:03}" for number in range(130)}
    found = list(pulled(sandbox, "catalogue"))
    roots = [root for each in found for root in source.identify(each).roots]
    assert len(roots) == 3
    assert len({root.id for root in roots}) == 3, "pages of one search must not be taken for one root"


def till(number: int, location_id: str, updated_at: str) -> dict[str, Any]:
    return {"id": f"Ord{number:03}", "location_id": location_id, "state": "COMPLETED", "updated_at": updated_at}


def test_all_orders_of_all_locations_are_found_once(sandbox: Simulator) -> None:
    """More locations than a search may name, more orders than a page holds."""
    sandbox.load({"locations": [{"id": f"L{number:02}"} for number in range(23)]})
    orders = [till(number, f"L{number % 23:02}", f"2025-08-{number % 28 + 1:02}T12:00:00Z") for number in range(1200)]
    sandbox.load(
        {"orders": [*orders, till(9999, "L01", "2024-12-31T23:59:59Z"), till(9998, "L01", "2026-01-01T00:00:00Z")]}
    )
    found = [source.identify(each).roots[0].id for each in pulled(sandbox, "orders")]
    assert sorted(found) == sorted(order["id"] for order in orders)
    some = [source.identify(each).roots[0].id for each in pulled(sandbox, "orders", ("L03", "L07"))]
    assert sorted(some) == sorted(order["id"] for order in orders if order["location_id"] in ("L03", "L07"))


def test_refunds_customers_and_counts_are_found(sandbox: Simulator) -> None:
    for name in ("partial_refund_with_goods", "card_sale_with_tip"):
        load_case(sandbox, name)
    sandbox.load({"counts": CASES["stock_counted"].notification.body["data"]["object"]["inventory_counts"]})
    for feed, ids in {
        "refunds": ["RefHome1"],
        "customers": ["CusMia"],
        "inventory": ["VarLamp@LPORTLAND0001", "VarCherry@LBERLIN000001"],
    }.items():
        roots = [root.id for each in pulled(sandbox, feed) for root in source.identify(each).roots]
        assert sorted(roots) == sorted(ids), feed
    assert [source.identify(each) for each in pulled(sandbox, "refunds", ("LBERLIN000001",))] == []


def test_a_token_is_good_until_it_expires(sandbox: Simulator) -> None:
    sandbox.configure({"tokens": {"short": "2025-09-01T01:00:00Z"}})
    listing = Request("GET", "/v2/locations")
    assert ask(sandbox, listing, token="short").status == 200
    expired = ask(sandbox, listing, token="short", now=NOW + timedelta(hours=1))
    assert (expired.status, expired.json["errors"][0]["code"]) == (401, "ACCESS_TOKEN_EXPIRED")
    unknown = ask(sandbox, listing)
    assert (unknown.status, unknown.json["errors"][0]["category"]) == (401, "AUTHENTICATION_ERROR")


def test_limits_hold_for_their_window(sandbox: Simulator) -> None:
    sandbox.configure({"windows": [{"calls": 3, "seconds": 1}, {"calls": 5, "seconds": 60}]})
    listing = Request("GET", "/v2/locations")
    moments = [NOW + timedelta(milliseconds=each) for each in (0, 100, 200, 300, 1100, 1200, 1300, 61_000)]
    statuses = [ask(sandbox, listing, now=moment).status for moment in moments]
    assert statuses == [200, 200, 200, 429, 200, 200, 429, 200]
    assert sandbox.counters() == {"GET /v2/locations 200": 6, "GET /v2/locations 429": 2}
    assert [each["calls"] for each in sandbox.limits()["windows"]] == [3, 5]
    sandbox.reset()
    assert [each["calls"] for each in sandbox.limits()["windows"]] == [20]


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (Request("GET", "/v2/orders/none"), 404, "NOT_FOUND"),
        (Request("GET", "/v2/nothing"), 404, "NOT_FOUND"),
        (Request("DELETE", "/v2/locations"), 405, "METHOD_NOT_ALLOWED"),
        (Request("POST", "/v2/orders/search", json={}), 400, "MISSING_REQUIRED_PARAMETER"),
        (Request("POST", "/v2/orders/search", json={"location_ids": ["L"] * 11}), 400, "ARRAY_LENGTH_TOO_LONG"),
        (Request("POST", "/v2/orders/search"), 400, "EXPECTED_JSON_BODY"),
        (
            Request(
                "POST",
                "/v2/orders/search",
                json={"location_ids": ["L"], "query": {"filter": {"date_time_filter": {"updated_at": {}}}}},
            ),
            400,
            "BAD_REQUEST",
        ),
        (Request("GET", "/v2/refunds", query={"limit": "101"}), 400, "VALUE_TOO_HIGH"),
        (Request("GET", "/v2/refunds", query={"limit": "x"}), 400, "EXPECTED_INTEGER"),
        (Request("GET", "/v2/refunds", query={"cursor": "bogus"}), 400, "INVALID_CURSOR"),
        (Request("GET", "/v2/refunds", query={"updated_at_begin_time": "yesterday"}), 400, "INVALID_TIME"),
        (Request("GET", "/v2/locations", headers={"square-version": "latest"}), 400, "INVALID_SQUARE_VERSION_FORMAT"),
    ],
)
def test_refusals_in_squares_words(sandbox: Simulator, request_: Request, status: int, code: str) -> None:
    answer = ask(sandbox, request_)
    assert answer.status == status
    assert answer.json["errors"][0]["code"] == code


def test_a_cursor_is_good_for_its_own_query_and_for_minutes(sandbox: Simulator) -> None:
    sandbox.load({"refunds": [{"id": f"R{number}", "created_at": "2025-08-20T00:00:00Z"} for number in range(3)]})
    first = ask(sandbox, Request("GET", "/v2/refunds", query={"limit": "2"}))
    following = Request("GET", "/v2/refunds", query={"limit": "2", "cursor": first.json["cursor"]})
    assert [each["id"] for each in ask(sandbox, following).json["refunds"]] == ["R0"]
    assert ask(sandbox, following.with_query(limit="1")).json["errors"][0]["code"] == "INVALID_CURSOR"
    late = ask(sandbox, following, now=NOW + timedelta(minutes=6))
    assert late.json["errors"][0]["code"] == "INVALID_CURSOR"


def test_a_list_stays_as_it_was_while_it_is_paged_through(sandbox: Simulator) -> None:
    sandbox.load({"refunds": [{"id": f"R{number}", "created_at": "2025-08-20T00:00:00Z"} for number in range(1, 4)]})
    first = ask(sandbox, Request("GET", "/v2/refunds", query={"limit": "2"}))
    sandbox.load({"refunds": [{"id": "R9", "created_at": "2025-08-20T00:00:00Z"}]})
    following = Request("GET", "/v2/refunds", query={"limit": "2", "cursor": first.json["cursor"]})
    found = [each["id"] for answer in (first, ask(sandbox, following)) for each in answer.json["refunds"]]
    assert found == ["R3", "R2", "R1"]
    again = ask(sandbox, Request("GET", "/v2/refunds", query={"limit": "4"}))
    assert [each["id"] for each in again.json["refunds"]] == ["R9", "R3", "R2", "R1"]


def test_times_are_compared_as_times(sandbox: Simulator) -> None:
    stamps = {"R1": "2025-08-20T00:00:00.5Z", "R2": "2025-08-20T00:00:00Z", "R3": "2025-08-20T02:00:00+02:30"}
    sandbox.load({"refunds": [{"id": name, "created_at": stamp} for name, stamp in stamps.items()]})
    answer = ask(sandbox, Request("GET", "/v2/refunds", query={"sort_order": "ASC"}))
    assert [each["id"] for each in answer.json["refunds"]] == ["R3", "R2", "R1"]


def test_payments_are_listed_for_the_main_location_unless_another_is_named(sandbox: Simulator) -> None:
    sandbox.load({"locations": [{"id": "LA"}, {"id": "LB"}]})
    sandbox.load({"payments": [{"id": "P1", "location_id": "LA"}, {"id": "P2", "location_id": "LB"}]})
    assert [each["id"] for each in ask(sandbox, Request("GET", "/v2/payments")).json["payments"]] == ["P1"]
    at_b = Request("GET", "/v2/payments", query={"location_id": "LB"})
    assert [each["id"] for each in ask(sandbox, at_b).json["payments"]] == ["P2"]


@pytest.mark.parametrize(
    ("fault", "status"),
    [("down", 503), ("error", 500), ("throttled", 429), ("throttled_retry_after", 429), ("unauthorized", 401)],
)
def test_faults(sandbox: Simulator, fault: Fault, status: int) -> None:
    answer = response(sandbox.fault(fault))
    assert answer.status == status
    assert answer.json["errors"][0]["code"]
    assert (answer.retry_after == 1) is (fault == "throttled_retry_after")
    assert response(sandbox.fault("garbage")).json is None


def test_what_was_loaded_is_there_and_what_is_replaced_is_gone(sandbox: Simulator) -> None:
    sandbox.load({"customers": [{"id": "C1", "note": "a"}]})
    sandbox.load({"customers": [{"id": "C1", "note": "b"}], "team_members": [{"id": "T1"}]})
    state = sandbox.state()
    assert state["customers"] == [{"id": "C1", "note": "b"}]
    assert ask(sandbox, Request("GET", "/v2/team-members/T1")).json == {"team_member": {"id": "T1"}}
    with pytest.raises(ValueError, match="no objects of kind"):
        sandbox.load({"unicorns": []})
    with pytest.raises(ValueError, match="no such option"):
        sandbox.configure({"token": {}})


def test_a_notification_of_an_order_says_little_more_than_its_id() -> None:
    order = CASES["card_sale_with_tip"].parts["order:OrdDemo1"]
    body = notification("order.updated", order, MERCHANT, "event-1", "2025-08-20T16:04:32Z")
    assert set(body["data"]["object"]["order_updated"]) == {
        "order_id",
        "location_id",
        "state",
        "created_at",
        "updated_at",
    }
    assert source.identify(Notification({}, body)).roots[0].id == "OrdDemo1"
    with pytest.raises(ValueError, match="no notification of type"):
        notification("booking.created", {}, MERCHANT, "event-2", "2025-08-20T16:04:32Z")
