"""Each of HubSpot's refusals and what follows from it; no value of a property gets into a reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from libs.connectors.contract.http import Response
from libs.connectors.contract.target import (
    AuthFailed,
    Conflict,
    Deliver,
    Done,
    Invalid,
    MissingDependency,
    Retry,
    Step,
    Throttled,
    Verdict,
)
from libs.connectors.hubspot.target import TARGET
from tests.connectors.hubspot.delivery import Hub
from tests.connectors.hubspot.sales import completed, customer, erased, refunded, sale


def step_named(name: str) -> Step:
    hub = Hub()
    plans = [hub.plan(event) for event in (completed(sale()), customer(), refunded("S", 1, 1), erased(on_request=True))]
    return next(step for plan in plans if isinstance(plan, Deliver) for step in plan.steps if step.name == name)


def refused(values: list[dict[str, str]]) -> dict[str, str]:
    return {"category": "VALIDATION_ERROR", "message": f"Property values were not valid: {json.dumps(values)}"}


ABSENT = {"category": "OBJECT_NOT_FOUND", "message": "resource not found"}
TABLE: list[tuple[str, int, dict[str, Any], dict[str, str], Verdict | None]] = [
    (
        "order",
        400,
        refused([{"error": "PROPERTY_DOESNT_EXIST", "name": "pos_order_id", "message": "..."}]),
        {},
        Invalid("the property does not exist in the account: create it (README, Properties)", "pos_order_id"),
    ),
    (
        "order",
        400,
        {"category": "VALIDATION_ERROR", "errors": [{"code": "INVALID_OPTION", "context": {"propertyName": ["hs_x"]}}]},
        {},
        Invalid("the value is not among the property's options", "hs_x"),
    ),
    (
        "order",
        400,
        refused([{"error": "CONFLICTING_UNIQUE_VALUE", "name": "hs_external_order_id"}]),
        {},
        Conflict("HubSpot has another object with that unique value (hs_external_order_id)"),
    ),
    ("order", 400, {"message": 7, "errors": "no list"}, {}, Invalid("HubSpot refused it: no reason given")),
    ("order", 401, {}, {}, AuthFailed("HubSpot does not accept the access token")),
    (
        "order",
        403,
        {"category": "MISSING_SCOPES"},
        {},
        AuthFailed("the access token lacks a scope (README, Scopes)"),
    ),
    ("order", 403, {"category": "BANNED"}, {}, None),
    ("refund on order", 404, ABSENT, {}, MissingDependency("the sale is not at HubSpot")),
    ("archive contact", 404, ABSENT, {}, Done(already=True)),
    ("contact of order", 404, ABSENT, {}, Invalid("HubSpot no longer has an object that this refers to")),
    ("contact", 409, {"category": "CONFLICT"}, {}, Conflict("a contact has that e-mail address already")),
    ("order", 423, {}, {}, Retry("HubSpot has locked the object for a moment", 2)),
    ("order", 423, {}, {"retry-after": "5"}, Retry("HubSpot has locked the object for a moment", 5)),
    ("order", 429, {"policyName": "DAILY"}, {}, Throttled("HubSpot's daily limit", 3600)),
    ("order", 429, {"policyName": "TEN_SECONDLY_ROLLING"}, {}, Throttled("HubSpot's rolling limit", 10)),
    ("order", 429, {"errorType": "RATE_LIMIT"}, {"retry-after": "3"}, Throttled("HubSpot's rolling limit", 3)),
    ("order", 477, {}, {"retry-after": "86400"}, Throttled("HubSpot is moving the account", 86400)),
    ("order", 500, {}, {}, None),
    ("order", 502, {}, {}, None),
]


@pytest.mark.parametrize(("name", "status", "body", "headers", "expected"), TABLE)
def test_the_table(
    name: str, status: int, body: dict[str, Any], headers: dict[str, str], expected: Verdict | None
) -> None:
    response = Response(status, headers, json.dumps(body).encode())
    assert TARGET.judge(step_named(name), response) == expected


@pytest.mark.parametrize("status", [400, 404, 409, 429])
def test_a_body_that_is_no_object_is_no_crash(status: int) -> None:
    for body in (b"", b"[]", b"null", b"<html>", b'{"errors": [1], "context": []}'):
        assert TARGET.judge(step_named("order"), Response(status, {}, body)) is not None


def test_a_reason_holds_nothing_personal() -> None:
    hub = Hub()
    step = step_named("contact details")
    step.request.json["inputs"][0].update(id="1")
    email = "ana.ruiz at example.org"
    message = f"Email address {email} is invalid"
    for body in (
        refused([{"error": "INVALID_EMAIL", "name": "email", "message": message}]),
        {"category": email, "message": message, "errors": [{"code": email, "in": email}]},
    ):
        verdict = TARGET.judge(step, Response(400, {}, json.dumps(body).encode()))
        assert isinstance(verdict, Invalid)
        assert "ana" not in f"{verdict.reason} {verdict.field}"
    assert hub.simulator.counters() == {}


def test_the_simulators_own_refusals_reach_the_verdicts() -> None:
    hub = Hub()
    probe = TARGET.probe(hub.config)
    step = step_named("order")
    assert TARGET.judge(step, hub.call(probe, token="another")) == AuthFailed(
        "HubSpot does not accept the access token"
    )
    hub.simulator.configure({"missing_scopes": ["orders"]})
    assert TARGET.judge(step, hub.call(probe)) == AuthFailed("the access token lacks a scope (README, Scopes)")
    hub.simulator.configure({"missing_scopes": [], "limits": {"calls": 2}})
    assert [hub.call(probe).status for _ in range(3)] == [200, 429, 429]
    assert TARGET.judge(step, hub.call(probe)) == Throttled("HubSpot's rolling limit", 10)


def test_a_property_that_is_missing_at_hubspot_is_named() -> None:
    hub = Hub(without_properties={"orders": ["pos_refunded_amount"]})
    hub.deliver(completed(sale()))
    [verdict] = hub.deliver(refunded("S-1042", 100, 100))
    assert verdict == Invalid(
        "the property does not exist in the account: create it (README, Properties)", "pos_refunded_amount"
    )
