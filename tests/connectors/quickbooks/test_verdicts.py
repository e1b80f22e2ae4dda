"""What each answer of QuickBooks means."""

from __future__ import annotations

import json
from typing import Any

import pytest

from libs.connectors.contract.http import Response
from libs.connectors.contract.simulator import SimResponse
from libs.connectors.contract.target import (
    AuthFailed,
    Conflict,
    Done,
    Invalid,
    MissingDependency,
    Retry,
    Step,
    Throttled,
    UnknownOutcome,
)
from libs.connectors.quickbooks.calls import query, read, write
from libs.connectors.quickbooks.sandbox import simulator
from tests.connectors.quickbooks.company import TARGET

WRITE = Step("journal entry", write("JournalEntry", {"PrivateNote": "ours\nmore"}), "k")
READ = Step("read", read("SalesReceipt", "7"), "k", reads=True)
NAMED = Step("customer by name", write("Customer", {"DisplayName": "Ada"}), "k")


def fault(code: str, message: str = "Message", detail: str = "Detail", element: str = "") -> dict[str, Any]:
    error = {"Message": message, "Detail": detail, "code": code, "element": element}
    return {"Fault": {"Error": [error], "type": "ValidationFault"}, "time": "now"}


def answer(status: int, body: Any, **headers: str) -> Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, headers, raw)


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (400, fault("3200"), AuthFailed),
        (403, fault("120"), AuthFailed),
        (403, fault("3100"), AuthFailed),
        (400, fault("6190"), AuthFailed),
        (401, fault("9999"), AuthFailed),
        (429, fault("3001"), Throttled),
        (403, fault("3001"), Throttled),
        (429, b"slow down", Throttled),
        (400, fault("5010"), Retry),
        (400, fault("6140"), Conflict),
        (400, fault("6240"), Conflict),
        (400, fault("6210"), MissingDependency),
        (400, fault("6210", "Duplicate Document Number Error"), Conflict),
        (400, fault("2010"), Invalid),
        (400, fault("2500"), Invalid),
        (400, fault("610"), Invalid),
        (400, fault("6000"), Invalid),
        (400, fault("6540"), Invalid),
        (200, fault("2020"), Invalid),
        (200, fault("10000"), UnknownOutcome),
        (500, fault("10000"), UnknownOutcome),
        (200, b"<html>Signing you in</html>", UnknownOutcome),
        (200, b"", UnknownOutcome),
        (200, {"JournalEntry": {}}, UnknownOutcome),
        (200, {"JournalEntry": {"Id": "9", "SyncToken": "0"}}, Done),
    ],
)
def test_of_a_write(status: int, body: Any, verdict: type) -> None:
    assert type(TARGET.judge(WRITE, answer(status, body))) is verdict


@pytest.mark.parametrize("status", [500, 502, 503, 504, 404, 408])
def test_statuses_without_a_fault_are_left_to_the_runtime(status: int) -> None:
    assert TARGET.judge(WRITE, answer(status, b"<html></html>")) is None


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b"3", b'"x"', b'{"Fault": 3}', b'{"Fault": {"Error": []}}', b"null"]
)
def test_unreadable_answers_are_never_taken_for_done(body: bytes) -> None:
    assert isinstance(TARGET.judge(WRITE, answer(200, body)), UnknownOutcome)
    assert isinstance(TARGET.judge(READ, answer(200, body)), Retry)
    assert TARGET.found(WRITE, answer(200, body)) is None


def test_a_write_tells_the_id_and_a_read_the_sync_token() -> None:
    body = {"SalesReceipt": {"Id": "7", "SyncToken": "3"}, "time": "now"}
    assert TARGET.judge(WRITE, answer(200, body)) == Done("7")
    assert TARGET.judge(READ, answer(200, body)) == Done("3")


def test_the_401_has_another_spelling() -> None:
    unauthorized = simulator().fault("unauthorized")
    verdict = TARGET.judge(WRITE, answer(401, unauthorized.body))
    assert isinstance(verdict, AuthFailed)
    assert "003200" in verdict.reason


def test_throttling_waits_a_minute_unless_told_otherwise() -> None:
    assert TARGET.judge(WRITE, answer(429, fault("3001"))) == Throttled("QuickBooks 3001: Message: Detail", 60.0)
    told = TARGET.judge(WRITE, answer(429, b"", **{"retry-after": "7"}))
    assert isinstance(told, Throttled)
    assert told.after == 7.0


def test_a_refusal_names_the_field_and_quotes_quickbooks() -> None:
    verdict = TARGET.judge(
        WRITE, answer(400, fault("2500", "Invalid Reference Id", "Accounts element id 9", "AccountRef"))
    )
    assert verdict == Invalid("QuickBooks 2500: Invalid Reference Id: Accounts element id 9", "AccountRef")


def test_of_a_customer_only_the_message_is_quoted() -> None:
    step = Step("change customer", write("Customer", {"GivenName": "Ada"}), "k")
    verdict = TARGET.judge(step, answer(400, fault("2050", "String length", "Ada is too long")))
    assert verdict == Invalid("QuickBooks 2050: String length", None)


def test_a_taken_plain_name_lets_the_next_step_try_its_own() -> None:
    assert TARGET.judge(NAMED, answer(400, fault("6240"))) == Done()


def test_a_query_that_finds_nothing_is_answered_all_the_same() -> None:
    step = Step("probe", query("CompanyInfo", "Id"), "probe", reads=True)
    assert TARGET.judge(step, answer(200, {"QueryResponse": {}})) == Done()


@pytest.mark.parametrize(
    ("note", "ours"),
    [("ours", True), ("ours\nwritten on by hand", True), ("theirs", False), (None, False), ("", False)],
)
def test_only_our_own_document_is_found(note: str | None, ours: bool) -> None:
    body = {"QueryResponse": {"JournalEntry": [{"Id": "5", "PrivateNote": note}]}}
    assert TARGET.found(WRITE, answer(200, body)) == (Done("5", already=True) if ours else None)


def test_the_simulators_failures_are_understood() -> None:
    sandbox = simulator()

    def judged(response: SimResponse) -> str:
        verdict = TARGET.judge(WRITE, answer(response.status, response.body, **dict(response.headers)))
        return type(verdict).__name__

    assert judged(sandbox.fault("down")) == "NoneType"
    assert judged(sandbox.fault("error")) == "UnknownOutcome"
    assert judged(sandbox.fault("throttled")) == "Throttled"
    assert judged(sandbox.fault("throttled_retry_after")) == "Throttled"
    assert judged(sandbox.fault("unauthorized")) == "AuthFailed"
    assert judged(sandbox.fault("garbage")) == "UnknownOutcome"
