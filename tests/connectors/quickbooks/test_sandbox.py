"""The simulator behaves as QuickBooks does where our calls can tell the difference."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest

from libs.connectors.contract.simulator import SimRequest, SimResponse
from libs.connectors.quickbooks.sandbox import QuickBooksSandbox

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
BALANCED = {
    "DocNumber": "D1",
    "TxnDate": "2026-11-21",
    "Line": [
        {
            "Amount": 5,
            "DetailType": "JournalEntryLineDetail",
            "JournalEntryLineDetail": {"PostingType": side, "AccountRef": {"value": account}},
        }
        for side, account in (("Debit", "91"), ("Credit", "79"))
    ],
}
RECEIPT = {
    "Line": [
        {
            "Amount": 20,
            "DetailType": "SalesItemLineDetail",
            "SalesItemLineDetail": {
                "ItemRef": {"value": "11"},
                "Qty": 2,
                "UnitPrice": 10,
                "TaxCodeRef": {"value": "TAX"},
            },
        },
        {"Amount": 2, "DetailType": "DiscountLineDetail", "DiscountLineDetail": {"PercentBased": False}},
    ],
    "TxnTaxDetail": {"TotalTax": Decimal("1.53")},
}


class Caller:
    def __init__(self) -> None:
        self.sandbox = QuickBooksSandbox()
        self.sandbox.configure({"calls_per_second": None})
        self.token = self.sandbox.token()
        self.now = NOW

    def __call__(self, method: str, path: str, body: Any = None, *, realm: str = "1", **query: str) -> SimResponse:
        raw = json.dumps(body, default=float).encode() if body is not None else b""
        headers = {"authorization": f"Bearer {self.token}"}
        return self.sandbox.handle(SimRequest(method, f"/v3/company/{realm}{path}", query, headers, raw), self.now)

    def code(self, response: SimResponse) -> str:
        assert response.status == 400, response
        return str(response.body["Fault"]["Error"][0]["code"])

    def exchange(self, refresh: str, secret: str = "sandbox-secret") -> SimResponse:
        basic = base64.b64encode(f"sandbox-client:{secret}".encode()).decode()
        form = urlencode({"grant_type": "refresh_token", "refresh_token": refresh}).encode()
        request = SimRequest("POST", "/oauth2/v1/tokens/bearer", {}, {"authorization": f"Basic {basic}"}, form)
        return self.sandbox.handle(request, self.now)


@pytest.fixture
def call() -> Caller:
    return Caller()


def test_a_refresh_token_is_good_for_one_use(call: Caller) -> None:
    first = call.exchange("sandbox-refresh-1")
    assert first.status == 200
    assert call.exchange("sandbox-refresh-1").body["error"] == "invalid_grant"
    assert call.exchange(first.body["refresh_token"]).status == 200
    assert call.exchange(first.body["refresh_token"]).status == 400
    assert call.exchange("sandbox-refresh-other-company").status == 200
    assert call.exchange("made-up").status == 400
    assert call.exchange("sandbox-refresh-1", "wrong").status == 401


def test_an_access_token_expires_and_the_401_is_spelt_in_lower_case(call: Caller) -> None:
    call.token = call.exchange("sandbox-refresh-1").body["access_token"]
    assert call("GET", "/account/91").status == 200
    call.now += timedelta(seconds=3600)
    refused = call("GET", "/account/91")
    assert refused.status == 401
    assert refused.body["fault"]["error"][0]["code"] == "3200"


def test_a_repeated_request_id_gets_the_old_answer_whatever_is_sent(call: Caller) -> None:
    first = call("POST", "/journalentry", BALANCED, requestid="k")
    again = call("POST", "/journalentry", {**BALANCED, "DocNumber": "other"}, requestid="k")
    assert again.body == first.body
    assert call.sandbox.state()["duplicate_requestids"] == 1
    other_company = call("POST", "/journalentry", BALANCED, requestid="k", realm="2")
    assert other_company.status == 200
    assert call.sandbox.state()["duplicate_requestids"] == 1
    call.now += timedelta(seconds=43200)
    assert call("POST", "/journalentry", BALANCED, requestid="k").body != first.body
    assert len(call.sandbox.state()["companies"]["1"]["JournalEntry"]) == 2


def test_a_request_id_has_at_most_fifty_characters(call: Caller) -> None:
    assert call("POST", "/journalentry", BALANCED, requestid="k" * 50).status == 200
    assert call.code(call("POST", "/journalentry", BALANCED, requestid="k" * 51)) == "2050"


def test_limits_per_second_and_minute_are_of_one_company(call: Caller) -> None:
    call.sandbox.configure({"calls_per_second": 3, "calls_per_minute": 4})
    statuses = [call("GET", "/account/91").status for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    assert call("GET", "/account/91", realm="2").status == 200
    call.now += timedelta(seconds=1)
    assert [call("GET", "/account/91").status for _ in range(2)] == [200, 429]
    call.now += timedelta(seconds=60)
    assert call("GET", "/account/91").status == 200


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(json.dumps(BALANCED))
    place: Any = body
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return body


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        (("Line", 0, "Amount"), 6, "6000"),
        (("Line", 0, "Amount"), -5, "6000"),
        (("Line", 0, "Amount"), "5", "2010"),
        (("Line", 0, "JournalEntryLineDetail", "AccountRef", "value"), "999", "2500"),
        (("Line", 0, "JournalEntryLineDetail", "PostingType"), "Left", "2170"),
        (("Line", 0, "JournalEntryLineDetail", "Colour"), "red", "2010"),
        (("Line", 0, "DetailType"), "Nonsense", "2170"),
        (("Line",), [], "2020"),
        (("Line",), [3], "2020"),
        (("DocNumber",), "x" * 22, "2050"),
        (("Colour",), "red", "2010"),
    ],
)
def test_a_journal_entry_is_checked(call: Caller, path: tuple[Any, ...], value: Any, code: str) -> None:
    assert call.code(call("POST", "/journalentry", changed(path, value))) == code


def test_a_receipts_total_is_computed_and_a_subtotal_line_is_added(call: Caller) -> None:
    receipt = call("POST", "/salesreceipt", RECEIPT).body["SalesReceipt"]
    assert receipt["TotalAmt"] == Decimal("19.53")  # 20.00 - 2.00 + 1.53
    assert receipt["Line"][-1]["DetailType"] == "SubTotalLineDetail"
    assert receipt["SyncToken"] == "0"


def test_quantity_times_price_must_make_the_amount(call: Caller) -> None:
    body = json.loads(json.dumps(RECEIPT, default=float))
    body["Line"][0]["Amount"] = 19
    assert call.code(call("POST", "/salesreceipt", body)) == "6070"


def test_a_receipt_is_never_negative_and_deposits_to_money_accounts_only(call: Caller) -> None:
    body = json.loads(json.dumps(RECEIPT, default=float))
    assert call.code(call("POST", "/salesreceipt", body | {"DepositToAccountRef": {"value": "96"}})) == "6000"
    body["Line"][1]["Amount"] = 50
    assert call.code(call("POST", "/salesreceipt", body)) == "6000"
    assert call.code(call("POST", "/refundreceipt", RECEIPT)) == "2020"


def test_updates_need_the_newest_sync_token_and_sparse_ones_keep_the_rest(call: Caller) -> None:
    made = call("POST", "/salesreceipt", {**RECEIPT, "PrivateNote": "kept", "DocNumber": "D"}).body["SalesReceipt"]
    change = {"Id": made["Id"], "SyncToken": "0", "sparse": True, "DocNumber": "E"}
    after = call("POST", "/salesreceipt", change).body["SalesReceipt"]
    assert (after["DocNumber"], after["PrivateNote"], after["SyncToken"]) == ("E", "kept", "1")
    assert call.code(call("POST", "/salesreceipt", change)) == "5010"
    assert call.code(call("POST", "/salesreceipt", change | {"Id": "5"})) == "610"
    whole = call("POST", "/salesreceipt", {**RECEIPT, "Id": made["Id"], "SyncToken": "1"}).body["SalesReceipt"]
    assert "PrivateNote" not in whole


def test_a_void_zeroes_and_a_delete_removes(call: Caller) -> None:
    made = call("POST", "/salesreceipt", RECEIPT).body["SalesReceipt"]
    reference = {"Id": made["Id"], "SyncToken": "0", "sparse": True}
    voided = call("POST", "/salesreceipt", reference, operation="update", include="void").body["SalesReceipt"]
    assert voided["TotalAmt"] == 0
    call("POST", "/salesreceipt", reference | {"SyncToken": "1"}, operation="delete")
    assert call.code(call("GET", f"/salesreceipt/{made['Id']}")) == "610"


def test_queries_compare_quote_and_page(call: Caller) -> None:
    call.sandbox.load({"customers": [{"Id": "70", "DisplayName": "Dot's & Co"}, {"Id": "71", "DisplayName": "Zed"}]})

    def ask(statement: str) -> Any:
        return call("GET", "/query", query=statement).body["QueryResponse"]

    assert [one["Id"] for one in ask("select * from Customer where DisplayName = 'dot\\'s & co'")["Customer"]] == ["70"]
    assert ask("select Id from Customer where DisplayName='Zed' and Id = '71'")["Customer"] == [{"Id": "71"}]
    assert ask("SELECT Id FROM Customer STARTPOSITION 2 MAXRESULTS 1")["Customer"] == [{"Id": "70"}]
    assert ask("select * from Customer where DisplayName = 'nobody'") == {}
    assert call.code(call("GET", "/query", query="drop Customer")) == "4000"
    assert call.code(call("GET", "/query", query="select * from Customer where Id > '5'")) == "4000"


def test_closed_books_and_taken_numbers_are_refused_when_switched_on(call: Caller) -> None:
    call.sandbox.configure({"refuse_duplicate_numbers": True, "closed_until": "2026-11-20"})
    assert call("POST", "/journalentry", BALANCED).status == 200
    assert call.code(call("POST", "/journalentry", BALANCED)) == "6140"
    assert call.code(call("POST", "/journalentry", BALANCED | {"TxnDate": "2026-11-20"})) == "6210"


def test_names_are_unique_over_customers_and_vendors(call: Caller) -> None:
    assert call.code(call("POST", "/customer", {"DisplayName": "sample bakery"})) == "6240"
    assert call.code(call("POST", "/customer", {"DisplayName": "a:b"})) == "6000"
    assert call.code(call("POST", "/customer", {})) == "2020"
    assert call("POST", "/customer", {"DisplayName": "New"}).status == 200


def test_options_and_objects_that_do_not_exist_are_refused(call: Caller) -> None:
    with pytest.raises(ValueError, match="colour"):
        call.sandbox.configure({"colour": "red"})
    with pytest.raises(ValueError, match="orders"):
        call.sandbox.load({"orders": []})


def test_what_is_loaded_is_in_every_company_or_in_one(call: Caller) -> None:
    call.sandbox.load({"accounts": [{"Id": "300", "Name": "Everywhere", "AccountType": "Bank"}]})
    call.sandbox.load({"realm": "2", "accounts": [{"Id": "301", "Name": "Here", "AccountType": "Bank"}]})
    found = {(realm, i): call("GET", f"/account/{i}", realm=realm).status for realm in "12" for i in ("300", "301")}
    assert found == {("1", "300"): 200, ("1", "301"): 400, ("2", "300"): 200, ("2", "301"): 200}


def test_reset_forgets_the_books_but_not_who_is_signed_in(call: Caller) -> None:
    issued = call.exchange("sandbox-refresh-1").body["refresh_token"]
    call("POST", "/journalentry", BALANCED)
    call.sandbox.reset()
    assert call.sandbox.state() == {"companies": {}, "requests": {}, "duplicate_requestids": 0}
    assert call("GET", "/account/91").status == 200
    assert call.exchange(issued).status == 200
    assert call.exchange("sandbox-refresh-1").status == 200
    assert call.sandbox.limits()["calls_per_second"] is None
