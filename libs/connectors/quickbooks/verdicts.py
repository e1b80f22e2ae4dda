"""What QuickBooks' answers mean. Its error codes decide, also when the status is 200."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from libs.connectors.contract.http import Response
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
    Verdict,
)
from libs.connectors.quickbooks.customers import PLAIN_NAME
from libs.connectors.quickbooks.notes import external_id

THROTTLE_SECONDS = 60.0  # Intuit, "Limits and throttles": wait a minute after a 429
_ENTITIES = ("JournalEntry", "SalesReceipt", "RefundReceipt", "Customer", "Item")


class _Fault(NamedTuple):
    code: str
    message: str
    detail: str
    element: str | None


def judge(step: Step, response: Response) -> Verdict | None:
    """The meaning of an answer; None leaves it to the runtime's table of statuses."""
    if fault := _fault(response):
        return _of_fault(step, response, fault)
    if response.status == 429:
        return Throttled("too many calls", response.retry_after or THROTTLE_SECONDS)
    if not response.ok:
        return None
    if step.reads and isinstance(response.json, dict) and "QueryResponse" in response.json:
        return Done()
    found = _object(response.json)
    if found is None:
        return _unread(step, "the answer names no object")
    return Done(str(found["SyncToken"] if step.reads else found["Id"]))


def _unread(step: Step, reason: str) -> Verdict:
    """An answer that does not say what happened: a read can be repeated, a write may have had its effect."""
    return Retry(reason) if step.reads else UnknownOutcome(reason)


def _object(body: Any) -> dict[str, Any] | None:
    for entity in _ENTITIES:
        found = body.get(entity) if isinstance(body, dict) else None
        if isinstance(found, dict) and found.get("Id") and "SyncToken" in found:
            return found
    return None


def _fault(response: Response) -> _Fault | None:
    """The first error of a fault, in either of QuickBooks' spellings (`Fault.Error`, and `fault.error` with 401)."""
    body = response.json
    if not isinstance(body, dict):
        return None
    fault = body.get("Fault") or body.get("fault")
    errors = (fault.get("Error") or fault.get("error")) if isinstance(fault, dict) else None
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict):
        return None

    def text(name: str) -> str:
        return str(first.get(name) or first.get(name.capitalize()) or "")

    return _Fault(text("code"), text("message"), text("detail"), text("element") or None)


_BY_CODE: dict[str, Callable[[str], Verdict]] = {
    "3200": AuthFailed,  # token expired or wrong
    "3100": AuthFailed,
    "120": AuthFailed,  # no permission
    "6190": AuthFailed,  # the company's subscription has ended: nothing can be sent until it is renewed
    "3001": lambda reason: Throttled(reason, THROTTLE_SECONDS),
    "5010": Retry,  # outdated SyncToken: the read before is made anew
    "6140": Conflict,  # the document number is taken
    "6240": Conflict,  # the name is taken
    "6210": lambda reason: MissingDependency(f"the accounting period is closed ({reason})"),
}
_BROKEN = ("10000",)  # an error within QuickBooks


def _of_fault(step: Step, response: Response, fault: _Fault) -> Verdict:
    reason = _reason(step, fault)
    if fault.code == "6210" and "duplicate" in f"{fault.message} {fault.detail}".lower():
        return Conflict(reason)  # some pages label a taken document number 6210
    if fault.code == "6240" and step.name == PLAIN_NAME:
        return Done()  # tried and taken: the next step has a name of its own
    if fault.code in _BY_CODE:
        return _BY_CODE[fault.code](reason)
    if response.status == 401:
        return AuthFailed(reason)
    if response.status == 429:
        return Throttled(reason, response.retry_after or THROTTLE_SECONDS)
    if fault.code in _BROKEN or response.status >= 500:
        return _unread(step, reason)
    return Invalid(reason, fault.element)


def _reason(step: Step, fault: _Fault) -> str:
    """QuickBooks' words. The detail of a refused customer may repeat the customer's data, so it is not taken."""
    words = (fault.message,) if step.request.path.startswith("/customer") else (fault.message, fault.detail)
    told = ": ".join(dict.fromkeys(word for word in words if word))
    return f"QuickBooks {fault.code}: {told}"[:400]


def found(step: Step, response: Response) -> Done | None:
    """Whether the answer to a step's lookup shows that it was done: not merely something alike, but our own."""
    for candidate in _candidates(response.json):
        if _is_ours(step, candidate):
            return Done(str(candidate["Id"]), already=True)
    return None


def _candidates(body: Any) -> list[dict[str, Any]]:
    if not isinstance(body, dict):
        return []
    answer = body.get("QueryResponse")
    found: list[Any] = []
    for entity in _ENTITIES:
        found += (answer.get(entity) or []) if isinstance(answer, dict) else [body.get(entity)]
    return [candidate for candidate in found if isinstance(candidate, dict) and candidate.get("Id")]


def _is_ours(step: Step, candidate: dict[str, Any]) -> bool:
    sent = step.request.json
    match step.request.path:
        case "/item":
            return bool(candidate.get("Sku") == sent["Sku"])
        case "/customer":
            return _same_customer(sent, candidate)
        case _ if step.request.query.get("include") == "void":
            return "voided" in str(candidate.get("PrivateNote", "")).lower()
        case _:
            return external_id(candidate.get("PrivateNote")) == external_id(sent["PrivateNote"])


def _same_customer(sent: dict[str, Any], candidate: dict[str, Any]) -> bool:
    """The same customer of the same till, or the same e-mail address under the same name."""
    if sent.get("Notes") and sent["Notes"] in str(candidate.get("Notes", "")).split():
        return True
    addresses = [str((who.get("PrimaryEmailAddr") or {}).get("Address") or "").casefold() for who in (sent, candidate)]
    return addresses[0] == addresses[1] != ""
