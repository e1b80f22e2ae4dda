"""What is sent and received has the shape of Square's own OpenAPI description."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from libs.connectors.contract.http import Request
from libs.connectors.contract.simulator import Simulator
from libs.connectors.contract.source import Period
from libs.connectors.square import connector
from libs.connectors.square.webhooks import notification
from tests.connectors.square.recorded import CASES, source
from tests.connectors.square.test_sandbox import ask, load_case

ROOT = Path(__file__).parents[3]
FOLDER = Path(os.environ.get("TILLSTREAM_VENDOR_SPECS", ROOT / "../shared/vendor-specs")) / "square"
FILE = FOLDER / "square-api-2025-08-20.openapi.json.gz"

pytestmark = pytest.mark.skipif(
    not FILE.exists(), reason="Square's OpenAPI file is not here: set TILLSTREAM_VENDOR_SPECS to the folder that has it"
)

SCHEMA_OF_PART = {
    "order": "Order",
    "payment": "Payment",
    "refund": "PaymentRefund",
    "customer": "Customer",
    "location": "Location",
    "catalog": "RetrieveCatalogObjectResponse",
}
MERCHANT = "MLTILL0000001"
PERIOD = Period(datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))


@cache
def description() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(gzip.decompress(FILE.read_bytes()))
    return read


def strict(schema: Any) -> Any:
    """The schema as JSON Schema: null where OpenAPI 3.0 says nullable, and no field that Square does not have."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        plain: dict[str, Any] = {"$ref": schema["$ref"]}
    else:
        plain = {key: strict(value) for key, value in schema.items() if key not in ("nullable", "example")}
        if plain.get("type") == "object" and isinstance(plain.get("properties"), dict):
            plain.setdefault("additionalProperties", False)
    return {"anyOf": [plain, {"type": "null"}]} if schema.get("nullable") else plain


@cache
def components() -> dict[str, Any]:
    schemas = description()["components"]["schemas"]
    return {"schemas": {name: strict(schema) for name, schema in schemas.items()}}


@cache
def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": components()})


def exact(value: Any) -> Any:
    """Decimals as the numbers they are in JSON."""
    return json.loads(json.dumps(value, default=lambda each: int(each) if isinstance(each, Decimal) else str(each)))


def complaints(name: str, value: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator(name).iter_errors(exact(value))]


def operation(request: Request) -> dict[str, Any]:
    for path, methods in description()["paths"].items():
        parts, asked = path.split("/"), request.path.split("/")
        fits = len(parts) == len(asked) and all(a == b or a[:1] == "{" for a, b in zip(parts, asked, strict=True))
        if fits and request.method.lower() in methods:
            found: dict[str, Any] = methods[request.method.lower()]
            return found
    raise AssertionError(f"Square has no {request.method} {request.path}")


def check_request(request: Request) -> list[str]:
    told = operation(request)
    names = {each.get("name") for each in told.get("parameters", ())}
    wrong = [f"no query parameter {name}" for name in request.query if name not in names]
    if request.json is not None:
        reference = told["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        wrong += complaints(reference.rpartition("/")[2], request.json)
    return wrong


def response_schema(request: Request) -> str:
    reference = operation(request)["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    return str(reference.rpartition("/")[2])


def test_the_check_finds_a_field_that_square_does_not_have() -> None:
    assert complaints("Money", {"amount": 1, "currency": "USD"}) == []
    assert complaints("Money", {"amount": "1", "currency": "USD"})
    assert complaints("Money", {"amount": 1, "currenzy": "USD"})


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_objects_of_a_case(name: str) -> None:
    for part, value in CASES[name].parts.items():
        kind = part.partition(":")[0]
        if kind == "catalogue":
            wrong = [each for page in value for each in complaints("SearchCatalogObjectsResponse", page)]
        else:
            wrong = complaints(SCHEMA_OF_PART[kind], value)
        assert not wrong, part


def complaints_about_webhook(body: dict[str, Any]) -> list[str]:
    """By the schema of the type. The place and `deleted` stand in that of events in general (Event, EventData)."""
    words = body["type"].replace("_", ".").split(".")
    name = "".join(word.capitalize() for word in words) + "Event"
    general = {key: value for key, value in body.items() if key != "data"}
    data = {key: value for key, value in body["data"].items() if key != "deleted"}
    particular = {key: value for key, value in body.items() if key != "location_id"} | {"data": data}
    deleted = {"type": data["type"], "id": data.get("id", ""), "deleted": body["data"].get("deleted", False)}
    return complaints("Event", {**general, "data": deleted}) + complaints(name, particular)


# Cases that are about a body Square does not send, or about a type the description does not hold.
NOT_SQUARES = ("body_without_type", "test_notification", "terminal_refund_is_no_refund")


@pytest.mark.parametrize("name", sorted(set(CASES) - set(NOT_SQUARES)))
def test_the_notification_of_a_case(name: str) -> None:
    body = CASES[name].notification.body
    assert complaints_about_webhook(body) == []


def whole(name: str, key: str) -> Any:
    return CASES[name].parts[key]


@pytest.mark.parametrize(
    ("type_", "name", "key"),
    [
        ("payment.created", "card_sale_with_tip", "payment:PayDemo1"),
        ("payment.updated", "card_sale_with_tip", "payment:PayDemo1"),
        ("order.created", "card_sale_with_tip", "order:OrdDemo1"),
        ("order.updated", "card_sale_with_tip", "order:OrdDemo1"),
        ("order.fulfillment.updated", "card_sale_with_tip", "order:OrdDemo1"),
        ("refund.created", "partial_refund_with_goods", "refund:RefHome1"),
        ("refund.updated", "partial_refund_with_goods", "refund:RefHome1"),
        ("customer.created", "card_sale_with_tip", "customer:CusMia"),
        ("customer.updated", "card_sale_with_tip", "customer:CusMia"),
        ("customer.deleted", "card_sale_with_tip", "customer:CusMia"),
    ],
)
def test_written_notifications(type_: str, name: str, key: str) -> None:
    body = notification(type_, whole(name, key), MERCHANT, "event-1", "2025-08-20T16:04:32.456Z")
    assert complaints_about_webhook(body) == []


def test_written_notifications_of_stock_and_catalogue() -> None:
    counts = CASES["stock_counted"].notification.body["data"]["object"]["inventory_counts"]
    moment = "2025-08-20T16:04:32.456Z"
    stock = notification("inventory.count.updated", counts, MERCHANT, "event-1", moment)
    assert complaints_about_webhook(stock) == []
    catalogue = notification("catalog.version.updated", {"updated_at": moment}, MERCHANT, "event-2", moment)
    assert complaints_about_webhook(catalogue) == []


def fetches() -> Iterator[Request]:
    for case in CASES.values():
        roots = [("order", "OrdDemo1"), ("refund", "RefHome1"), ("customer", "CusMia")]
        for kind, root_id in [*roots, ("catalogue", "2025-08-22T09:30:00.123Z")]:
            yield from (fetch.request for fetch in source.assemble(kind, root_id, {}))
        parts = {key: value for key, value in case.parts.items() if key.startswith(("order:", "payment:", "refund:"))}
        for key in parts:
            kind, _, root_id = key.partition(":")
            yield from (fetch.request for fetch in source.assemble(kind, root_id, parts))


def test_everything_that_is_fetched_is_an_operation_of_squares() -> None:
    asked = list(fetches())
    assert len({request.path.split("/")[2] for request in asked}) >= 6
    for request in asked:
        assert check_request(request) == [], request


@pytest.fixture
def sandbox() -> Simulator:
    made = connector.simulator()
    made.configure({"windows": []})
    for name in ("card_sale_with_tip", "partial_refund_with_goods", "exchange_for_less", "split_tender"):
        load_case(made, name)
    made.load({"counts": CASES["stock_counted"].notification.body["data"]["object"]["inventory_counts"]})
    return made


@pytest.mark.parametrize("feed", ["orders", "refunds", "customers", "catalogue", "inventory"])
@pytest.mark.parametrize("locations", [(), ("LPORTLAND0001",)])
def test_every_feed_asks_and_is_answered_in_squares_shapes(
    sandbox: Simulator, feed: str, locations: tuple[str, ...]
) -> None:
    request: Request | None = source.pull.first(feed, PERIOD, MERCHANT, locations)
    objects = 0
    while request:
        assert check_request(request) == [], request
        answer = ask(sandbox, request)
        assert complaints(response_schema(request), answer.json) == []
        objects += len(source.pull.found(feed, answer))
        request = source.pull.following(feed, request, answer)
    assert objects


@pytest.mark.parametrize(
    "request_",
    [
        Request("GET", "/v2/locations"),
        Request("GET", "/v2/locations/LPORTLAND0001"),
        Request("GET", "/v2/orders/OrdDemo1"),
        Request("POST", "/v2/orders/batch-retrieve", json={"order_ids": ["OrdDemo1", "OrdNone"]}),
        Request("GET", "/v2/payments", query={"begin_time": "2025-08-20T00:00:00Z", "sort_field": "CREATED_AT"}),
        Request("GET", "/v2/payments/PayDemo1"),
        Request("GET", "/v2/refunds/RefHome1"),
        Request("GET", "/v2/customers/CusMia"),
        Request("GET", "/v2/catalog/object/VarLamp", query={"include_related_objects": "true"}),
        Request(
            "POST", "/v2/catalog/batch-retrieve", json={"object_ids": ["VarLamp"], "include_related_objects": True}
        ),
        Request("POST", "/v2/team-members/search", json={}),
        Request("GET", "/v2/orders/OrdNone"),
    ],
)
def test_the_simulator_answers_in_squares_shapes(sandbox: Simulator, request_: Request) -> None:
    assert check_request(request_) == []
    answer = ask(sandbox, request_)
    assert answer.status == (404 if "None" in request_.path else 200)
    assert complaints(response_schema(request_), answer.json) == []
