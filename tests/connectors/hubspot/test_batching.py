"""Several sales in one call: one bad one does not hold up the others, and nothing is matched by position."""

from __future__ import annotations

import json
from typing import Any

import pytest

from libs.connectors.contract.http import Response
from libs.connectors.contract.target import Conflict, Deliver, Done, Invalid, Retry, Step, UnknownOutcome
from libs.connectors.hubspot.batching import BATCHING, join, split
from libs.connectors.hubspot.target import TARGET
from tests.connectors.hubspot.delivery import Hub
from tests.connectors.hubspot.sales import completed, customer, line, sale

UPSERT = "orders/upsert"


def steps_named(hub: Hub, name: str, *numbers: str, lines: int = 2) -> list[Step]:
    sales = [sale(*[line(f"Item {n}", 100) for n in range(lines)], number=number) for number in numbers]
    plans = [hub.plan(completed(one)) for one in sales]
    return [step for plan in plans if isinstance(plan, Deliver) for step in plan.steps if step.name == name]


def answer(status: int, body: Any) -> Response:
    return Response(status, {}, json.dumps(body).encode())


@pytest.mark.parametrize("traced", [True, False])
def test_each_order_gets_its_own_id(traced: bool) -> None:
    hub = Hub(trace_in_results=traced)
    steps = steps_named(hub, "order", "1", "2", "3")
    verdicts = hub.together(*steps)
    assert verdicts is not None
    ids = [verdict.remote_id for verdict in verdicts if isinstance(verdict, Done)]
    stored = {one["properties"]["pos_order_id"]: one["id"] for one in hub.simulator.state()["orders"]}
    assert ids == [stored[f"square:ML1:sale:S-{number}"] for number in "123"]
    assert hub.simulator.counters()["calls"] == 1


def test_one_bad_contact_among_good_ones_is_named_and_the_others_are_done() -> None:
    hub = Hub(conflict="row")
    hub.simulator.load({"contacts": [{"email": "c@example.org"}]})
    emails = ("a@example.org", "b@example.org..", "c@example.org", "d@example.org")
    plans = [hub.plan(customer(id=f"C-{n}", email=None)) for n in range(4)]
    steps = [plan.steps[0] for plan in plans if isinstance(plan, Deliver)]
    for step, email in zip(steps, emails, strict=True):
        step.request.json["inputs"][0]["properties"]["email"] = email
    steps[1].request.json["inputs"][0]["properties"]["email"] = "no address"
    assert hub.together(*steps) == [
        Done("1002"),
        Invalid("HubSpot does not accept the e-mail address", "email"),
        Done("1001", already=True),
        Done("1003"),
    ]


def test_results_in_another_order_and_without_the_failed_one_are_told_apart_by_trace_id() -> None:
    steps = steps_named(Hub(), "order", "1", "2", "3")
    error = {"category": "VALIDATION_ERROR", "message": "", "context": {"objectWriteTraceId": ["b.0"]}}
    results = [{"id": "9", "objectWriteTraceId": "c.0"}, {"id": "7", "objectWriteTraceId": "a.0"}]
    verdicts = split(UPSERT, steps, ["a", "b", "c"], answer(207, {"results": results, "errors": [error]}))
    assert verdicts == [Done("7"), Invalid("HubSpot refused it: VALIDATION_ERROR"), Done("9")]


def test_an_error_without_a_trace_id_is_the_one_input_that_is_silent() -> None:
    steps = steps_named(Hub(), "order", "1", "2")
    body = {"results": [{"id": "7", "objectWriteTraceId": "a.0"}], "errors": [{"category": "VALIDATION_ERROR"}]}
    verdicts = split(UPSERT, steps, ["a", "b"], answer(207, body))
    assert verdicts == [Done("7"), Invalid("HubSpot refused it: VALIDATION_ERROR")]


def test_errors_that_could_be_anybodys_are_left_to_be_bisected() -> None:
    steps = steps_named(Hub(), "order", "1", "2")
    body = {"results": [], "errors": [{"category": "VALIDATION_ERROR"}, {"category": "VALIDATION_ERROR"}]}
    assert split(UPSERT, steps, ["a", "b"], answer(207, body)) is None


def test_an_input_that_the_answer_passes_over_is_sent_again() -> None:
    steps = steps_named(Hub(), "order", "1", "2")
    body = {"results": [{"id": "7", "objectWriteTraceId": "a.0"}]}
    verdicts = split(UPSERT, steps, ["a", "b"], answer(200, body))
    assert verdicts == [Done("7"), Retry("HubSpot's answer says nothing of it")]


def test_a_call_refused_whole_is_left_to_be_bisected() -> None:
    hub = Hub(without_properties={"orders": ["pos_order_id"]})
    steps = steps_named(hub, "order", "1", "2")
    assert hub.together(*steps) is None
    assert hub.together(steps[0]) == [
        Invalid("the key property is missing or not unique: create it as the README says (Properties)")
    ]


def test_an_address_that_is_taken_refuses_the_call_and_bisecting_finds_whose_it_is() -> None:
    hub = Hub(conflict="call")
    hub.simulator.load({"contacts": [{"email": "ana@example.org"}]})
    plans = [hub.plan(customer()), hub.plan(customer(id="C-2", email="bo@example.org"))]
    steps = [plan.steps[0] for plan in plans if isinstance(plan, Deliver)]
    assert hub.together(*steps) is None
    # Of the whole call it must not be said that it is done: nothing was written.
    assert isinstance(TARGET.judge(steps[1], hub.call(join("contacts/upsert", steps, ["a", "b"]))), Conflict)
    assert hub.together(steps[0]) == [Done("1001", already=True)]
    assert hub.together(steps[1]) == [Done("1002")]


def test_ten_steps_of_ten_lines_fill_a_call_and_larger_ones_go_alone() -> None:
    hub = Hub()
    steps = steps_named(hub, "line items", *map(str, range(10)), lines=10)
    assert {step.batch for step in steps} == {"line_items/upsert"}
    most = TARGET.manifest.target
    assert most is not None
    assert most.batches["line_items/upsert"].max_items == len(steps)
    verdicts = hub.together(*steps)
    assert verdicts is not None
    provided = [verdict.provides for verdict in verdicts if isinstance(verdict, Done)]
    assert [len(refs) for refs in provided] == [10] * 10
    assert len({remote_id for refs in provided for remote_id in refs.values()}) == 100
    [large] = steps_named(hub, "line items", "99", lines=11)
    assert large.batch is None


def test_every_batch_name_that_a_plan_uses_is_in_the_manifest() -> None:
    facts = TARGET.manifest.target
    assert facts is not None
    hub = Hub()
    plans = [hub.plan(completed(sale())), hub.plan(customer())]
    names = {step.batch for plan in plans if isinstance(plan, Deliver) for step in plan.steps}
    assert names == set(facts.batches)


def test_updates_without_a_word_of_an_error_are_done() -> None:
    plan = Hub().plan(customer())
    assert isinstance(plan, Deliver)
    body = {"status": "COMPLETE", "results": [{"id": "501"}]}
    assert split("contacts/update", [plan.steps[1]], ["a"], answer(200, body)) == [Done()]


@pytest.mark.parametrize("name", ["order", "line items of order"])
def test_a_page_instead_of_an_answer_tells_nothing(name: str) -> None:
    steps = steps_named(Hub(), name, "1", "2")
    page = Response(200, {}, b"<html>")
    assert split(str(steps[0].batch), steps, ["a", "b"], page) == [UnknownOutcome("the answer is not HubSpot's")] * 2
    assert TARGET.judge(steps[0], page) == UnknownOutcome("the answer is not HubSpot's")


def test_trace_ids_in_a_joined_call_are_all_different() -> None:
    steps = steps_named(Hub(), "line items", "1", "2")
    request = BATCHING.join("line_items/upsert", steps, ["a", "b"])
    assert [item["objectWriteTraceId"] for item in request.json["inputs"]] == ["a.0", "a.1", "b.0", "b.1"]


def test_a_line_that_fails_in_a_step_sent_alone_fails_the_step() -> None:
    hub = Hub()
    [step] = steps_named(hub, "line items", "1", lines=11)
    step.request.json["inputs"][4]["properties"]["price"] = "-1.00"
    assert hub.step(step) == Invalid("HubSpot refused it: INVALID_NUMBER", "price")
