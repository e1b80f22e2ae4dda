"""The simulator refuses what HubSpot refuses, in HubSpot's words."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from libs.connectors.contract.simulator import SimRequest, SimResponse
from libs.connectors.hubspot import connector
from libs.connectors.hubspot.sandbox import DEFAULT_TOKEN, HubSpotSimulator

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
OBJECTS = "/crm/v3/objects"


def call(
    simulator: HubSpotSimulator, method: str, path: str, body: Any = None, *, now: datetime = NOW, **query: str
) -> SimResponse:
    return simulator.handle(
        SimRequest(
            method=method,
            path=path,
            query=query,
            headers={"authorization": f"Bearer {DEFAULT_TOKEN}"},
            body=b"" if body is None else json.dumps(body).encode(),
        ),
        now,
    )


def upsert(simulator: HubSpotSimulator, kind: str, unique: str, *inputs: dict[str, Any]) -> SimResponse:
    body = {"inputs": [{"idProperty": unique, "objectWriteTraceId": str(n), **one} for n, one in enumerate(inputs)]}
    return call(simulator, "POST", f"{OBJECTS}/{kind}/batch/upsert", body)


def test_an_id_twice_in_a_batch_fails_the_call_and_writes_nothing() -> None:
    simulator = HubSpotSimulator()
    answer = upsert(simulator, "orders", "pos_order_id", *({"id": "A", "properties": {}} for _ in range(2)))
    assert answer.status == 400
    assert simulator.state()["orders"] == []


def test_more_than_a_hundred_inputs_fail_the_call() -> None:
    simulator = HubSpotSimulator()
    inputs = [{"id": f"A{n}", "properties": {}} for n in range(101)]
    assert upsert(simulator, "orders", "pos_order_id", *inputs).status == 400
    assert upsert(simulator, "orders", "pos_order_id", *inputs[1:]).status == 200


def test_a_mixed_batch_answers_207_and_leaves_the_failed_out_of_the_results() -> None:
    simulator = HubSpotSimulator()
    answer = upsert(
        simulator,
        "orders",
        "pos_order_id",
        {"id": "A", "properties": {"no_such": "1"}},
        {"id": "B", "properties": {"hs_total_price": "twelve"}},
        {"id": "C", "properties": {"hs_total_price": "12.00"}},
    )
    assert answer.status == 207
    assert [one["objectWriteTraceId"] for one in answer.body["results"]] == ["2"]
    assert [one["context"]["objectWriteTraceId"] for one in answer.body["errors"]] == [["0"], ["1"]]
    assert "PROPERTY_DOESNT_EXIST" in answer.body["errors"][0]["message"]
    assert answer.body["numErrors"] == 2


def test_an_upsert_says_what_is_new_and_empties_by_empty_text() -> None:
    simulator = HubSpotSimulator()
    first = upsert(simulator, "orders", "pos_order_id", {"id": "A", "properties": {"hs_source_store": "L1"}})
    second = upsert(simulator, "orders", "pos_order_id", {"id": "A", "properties": {"hs_source_store": ""}})
    assert [answer.body["results"][0]["new"] for answer in (first, second)] == [True, False]
    [order] = simulator.state()["orders"]
    assert "hs_source_store" not in order["properties"]
    assert order["writes"] == 2


def test_creating_the_same_contact_twice_conflicts_and_names_the_first() -> None:
    simulator = HubSpotSimulator()
    body = {"properties": {"email": "Ana@example.org"}}
    made = call(simulator, "POST", f"{OBJECTS}/contacts", body)
    assert made.status == 201
    again = call(simulator, "POST", f"{OBJECTS}/contacts", body)
    assert again.status == 409
    assert again.body["message"] == f"Contact already exists. Existing ID: {made.body['id']}"


def test_a_line_item_belongs_to_one_order_only() -> None:
    simulator = HubSpotSimulator()
    simulator.load({"orders": [{}, {}], "line_items": [{"name": "Milk"}]})
    path = "/crm/v4/associations/orders/line_items/batch/associate/default"
    pairs = [{"from": {"id": order}, "to": {"id": "1003"}} for order in ("1001", "1002")]
    answer = call(simulator, "POST", path, {"inputs": pairs})
    assert answer.status == 207
    assert simulator.state()["associations"]["orders->line_items"] == [["1001", "1003"]]
    again = call(simulator, "PUT", "/crm/v4/objects/orders/1001/associations/default/line_items/1003")
    assert again.status == 200
    assert simulator.state()["associations"]["orders->line_items"] == [["1001", "1003"]]
    seen = call(simulator, "GET", "/crm/v4/objects/orders/1001/associations/line_items")
    assert [one["toObjectId"] for one in seen.body["results"]] == [1003]


def test_the_rolling_and_the_daily_limit() -> None:
    simulator = HubSpotSimulator()
    simulator.configure({"limits": {"calls": 2, "daily": 3}})

    def ask(seconds: float) -> SimResponse:
        return call(simulator, "GET", f"{OBJECTS}/orders", now=NOW + timedelta(seconds=seconds))

    assert [ask(0).status, ask(1).status] == [200, 200]
    refused = ask(2)
    assert refused.status == 429
    assert refused.body["policyName"] == "TEN_SECONDLY_ROLLING"
    assert refused.headers["x-hubspot-ratelimit-remaining"] == "0"
    assert ask(10).status == 200
    assert ask(30).body["policyName"] == "DAILY"
    assert ask(12 * 3600).status == 200


def test_search_lags_behind_and_has_its_own_limit() -> None:
    simulator = HubSpotSimulator()
    call(simulator, "POST", f"{OBJECTS}/orders", {"properties": {"hs_source_store": "L1"}})
    wanted = {"filterGroups": [{"filters": [{"propertyName": "hs_source_store", "operator": "EQ", "value": "L1"}]}]}

    def total(seconds: float) -> Any:
        answer = call(simulator, "POST", f"{OBJECTS}/orders/search", wanted, now=NOW + timedelta(seconds=seconds))
        return answer.body.get("total", answer.body.get("policyName"))

    assert total(1) == 0
    assert total(6) == 1
    assert [total(9) for _ in range(6)][-1] == "SECONDLY"


def test_a_list_comes_in_pages() -> None:
    simulator = HubSpotSimulator()
    simulator.load({"contacts": [{"email": f"c{n}@example.org"} for n in range(5)]})
    seen: list[str] = []
    after = "0"
    while after:
        page = call(simulator, "GET", f"{OBJECTS}/contacts", limit="2", after=after).body
        seen += [one["id"] for one in page["results"]]
        after = page.get("paging", {}).get("next", {}).get("after", "")
    assert seen == ["1001", "1002", "1003", "1004", "1005"]


def test_a_token_that_has_expired_is_refused() -> None:
    simulator = HubSpotSimulator()
    simulator.configure({"tokens": {DEFAULT_TOKEN: (NOW + timedelta(minutes=1)).isoformat()}})
    assert call(simulator, "GET", f"{OBJECTS}/orders").status == 200
    assert call(simulator, "GET", f"{OBJECTS}/orders", now=NOW + timedelta(minutes=1)).status == 401


def test_archived_objects_are_gone_and_free_their_values() -> None:
    simulator = HubSpotSimulator()
    simulator.load({"contacts": [{"email": "ana@example.org"}]})
    assert call(simulator, "POST", f"{OBJECTS}/contacts/batch/archive", {"inputs": [{"id": "1001"}]}).status == 204
    assert call(simulator, "GET", f"{OBJECTS}/contacts/1001").status == 404
    again = call(simulator, "POST", f"{OBJECTS}/contacts", {"properties": {"email": "ana@example.org"}})
    assert again.body["id"] == "1002"


def test_batch_read_names_the_absent() -> None:
    simulator = HubSpotSimulator()
    simulator.load({"contacts": [{"email": "ana@example.org"}]})
    body = {"idProperty": "email", "inputs": [{"id": "ana@example.org"}, {"id": "bo@example.org"}]}
    answer = call(simulator, "POST", f"{OBJECTS}/contacts/batch/read", body)
    assert answer.status == 207
    assert [one["id"] for one in answer.body["results"]] == ["1001"]
    assert answer.body["errors"][0]["context"]["ids"] == ["bo@example.org"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", f"{OBJECTS}/orders/batch/upsert", {"inputs": "none"}),
        ("POST", f"{OBJECTS}/orders/batch/upsert", {"inputs": [{"id": "A"}]}),
        ("POST", f"{OBJECTS}/orders", ["no object"]),
        ("POST", f"{OBJECTS}/orders", {"properties": 7}),
        ("POST", "/crm/v4/associations/orders/contacts/batch/associate/default", {"inputs": [{}]}),
        ("POST", f"{OBJECTS}/orders/search", {"filterGroups": [{"filters": [{"operator": "LIKE"}]}]}),
        ("GET", f"{OBJECTS}/unicorns", None),
    ],
)
def test_what_is_malformed_is_a_400(method: str, path: str, body: Any) -> None:
    assert call(HubSpotSimulator(), method, path, body).status == 400


def test_the_property_of_the_readme_can_be_created_as_it_stands_there() -> None:
    simulator = HubSpotSimulator()
    simulator.configure({"without_properties": {"orders": ["pos_order_id"]}})
    path = "/crm/v3/properties/orders"
    assert call(simulator, "GET", f"{path}/pos_order_id").status == 404
    shown = re.search(r"-d '\n(\{.*?\})'", (connector.folder / "README.md").read_text(), re.DOTALL)
    assert shown
    assert call(simulator, "POST", path, json.loads(shown[1])).status == 201
    assert call(simulator, "GET", f"{path}/pos_order_id").body["hasUniqueValue"] is True
    assert upsert(simulator, "orders", "pos_order_id", {"id": "A", "properties": {}}).status == 200


def test_the_readme_names_every_edge_case_that_has_a_case() -> None:
    readme = (connector.folder / "README.md").read_text()
    named = set(re.findall(r"`([a-z0-9_]+)`", readme))
    cases = {folder.name for folder in (Path(connector.folder) / "cases").iterdir()}
    ordinary = {"sale_with_customer", "sale_without_customer", "customer_keyed_by_email", "stock_is_not_for_a_crm"}
    assert cases - named == ordinary | {"settings_rename_constants_and_stages"}


@pytest.mark.parametrize("option", [{"unknown": 1}, {"limits": {"lunch": 1}}, {"conflict": "maybe"}])
def test_an_option_that_is_none_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        HubSpotSimulator().configure(option)


def test_faults_are_in_hubspots_words() -> None:
    simulator = HubSpotSimulator()
    assert simulator.fault("throttled").body["policyName"] == "TEN_SECONDLY_ROLLING"
    assert simulator.fault("throttled_retry_after").headers["retry-after"] == "2"
    assert simulator.fault("unauthorized").status == 401
    assert simulator.fault("error").status == 500
    assert isinstance(simulator.fault("garbage").body, bytes)
