"""What HubSpot's error answers mean.

HubSpot's messages quote property values, so none is passed on: a reason is made of its codes and property names only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

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
    Verdict,
)

# Seconds. The rolling limit is over ten; the daily one ends at midnight in the account's own zone, which the answer
# does not name, so it is asked again hourly; HubSpot asks for two after a lock.
ROLLING_WAIT = 10.0
DAILY_WAIT = 3600.0
LOCK_WAIT = 2.0
MIGRATION_WAIT = 600.0

# "Contact already exists. Existing ID: 123": the id is nowhere else in the answer.
_EXISTING = re.compile(r"Existing ID: (\d{1,20})\b")
_CODE = re.compile(r'"error":\s*"([A-Z][A-Z_]{2,60})"')
_NAME = re.compile(r'"name":\s*"([a-z][a-z0-9_]{0,100})"')
_PROPERTY = re.compile(r"^[a-z][a-z0-9_]{0,100}$")
_WORD = re.compile(r"^[A-Z][A-Z_]{2,60}$")

_UNIQUE = ("CONFLICTING_UNIQUE_VALUE", "STORAGE_UNIQUE_CONFLICT")
_NOT_UNIQUE = "by non-unique"
_REASONS = {
    "KEY_NOT_UNIQUE": "the key property is missing or not unique: create it as the README says (Properties)",
    "PROPERTY_DOESNT_EXIST": "the property does not exist in the account: create it (README, Properties)",
    "INVALID_EMAIL": "HubSpot does not accept the e-mail address",
    "INVALID_OPTION": "the value is not among the property's options",
}


def refusal(step: Step, response: Response) -> Verdict | None:
    """The verdict on an answer that is not 2xx; None leaves it to the runtime's status table."""
    body = response.json if isinstance(response.json, Mapping) else {}
    reaction = _BY_STATUS.get(response.status)
    return reaction(step, response, body) if reaction else None


def verdict_of_error(step: Step, error: Mapping[str, Any]) -> Verdict:
    """The verdict on one input of a batch call that HubSpot refused."""
    category = error.get("category")
    if category == "CONFLICT":
        return conflict_on_contact(error) or Conflict("HubSpot has another object with that unique value")
    if category == "OBJECT_NOT_FOUND":
        return _not_found(step)
    if category == "RATE_LIMITS":
        return Throttled("HubSpot's rolling limit", ROLLING_WAIT)
    return _invalid(error)


def conflict_on_contact(body: Any) -> Done | None:
    """The contact that already has the e-mail address, and so is the customer; None when no id is named."""
    message = body.get("message") if isinstance(body, Mapping) else None
    existing = _EXISTING.search(message) if isinstance(message, str) else None
    return Done(remote_id=existing[1], already=True) if existing else None


def _conflict(step: Step, response: Response, body: Mapping[str, Any]) -> Verdict:
    # The call may have held several steps, and the id in the message is one contact's: never Done from here.
    return Conflict("a contact has that e-mail address already")


def _bad_request(step: Step, response: Response, body: Mapping[str, Any]) -> Verdict:
    return _invalid(body)


def _unauthorized(step: Step, response: Response, body: Mapping[str, Any]) -> Verdict:
    return AuthFailed("HubSpot does not accept the access token")


def _forbidden(step: Step, response: Response, body: Mapping[str, Any]) -> Verdict | None:
    lacking = body.get("category") == "MISSING_SCOPES"
    return AuthFailed("the access token lacks a scope (README, Scopes)") if lacking else None


def _absent(step: Step, response: Response, body: Mapping[str, Any]) -> Verdict:
    return _not_found(step)


def _locked(step: Step, response: Response, body: Mapping[str, Any]) -> Verdict:
    return Retry("HubSpot has locked the object for a moment", max(LOCK_WAIT, response.retry_after or 0))


def _throttled(step: Step, response: Response, body: Mapping[str, Any]) -> Verdict:
    # The wording of the message varies and errorType comes and goes: only policyName tells.
    if body.get("policyName") == "DAILY":
        return Throttled("HubSpot's daily limit", response.retry_after or DAILY_WAIT)
    return Throttled("HubSpot's rolling limit", response.retry_after or ROLLING_WAIT)


def _migrating(step: Step, response: Response, body: Mapping[str, Any]) -> Verdict:
    return Throttled("HubSpot is moving the account", response.retry_after or MIGRATION_WAIT)


_BY_STATUS: Mapping[int, Callable[[Step, Response, Mapping[str, Any]], Verdict | None]] = {
    400: _bad_request,
    401: _unauthorized,
    403: _forbidden,
    404: _absent,
    409: _conflict,
    423: _locked,
    429: _throttled,
    477: _migrating,
}


def _not_found(step: Step) -> Verdict:
    request = step.request
    if request.method == "PATCH":
        return MissingDependency("the sale is not at HubSpot")
    if request.path.endswith(("/archive", "/gdpr-delete")):
        return Done(already=True)
    return Invalid("HubSpot no longer has an object that this refers to")


def _invalid(error: Mapping[str, Any]) -> Verdict:
    code, field = _code(error), _field(error)
    if code in _UNIQUE:
        return Conflict(f"HubSpot has another object with that unique value ({field or 'property not named'})")
    return Invalid(_REASONS.get(code, f"HubSpot refused it: {code}"), field)


def _details(error: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    details = error.get("errors")
    return [detail for detail in details if isinstance(detail, Mapping)] if isinstance(details, list) else []


def _code(error: Mapping[str, Any]) -> str:
    """The narrowest code given: of a detail, in the message's list of property results, or the category."""
    message = error.get("message")
    if isinstance(message, str) and _NOT_UNIQUE in message:
        return "KEY_NOT_UNIQUE"
    found = _CODE.search(message) if isinstance(message, str) else None
    candidates = [detail.get("code") for detail in _details(error)] + [found and found[1], error.get("category")]
    return next((word for word in candidates if isinstance(word, str) and _WORD.match(word)), "no reason given")


def _field(error: Mapping[str, Any]) -> str | None:
    """The property at fault, where context, a detail or the message's list names it."""
    candidates: list[Any] = []
    for part in (*_details(error), error):
        context = part.get("context")
        named = context.get("propertyName") if isinstance(context, Mapping) else None
        candidates += named if isinstance(named, list) else [named]
        candidates.append(part.get("in"))
    message = error.get("message")
    found = _NAME.search(message) if isinstance(message, str) else None
    candidates.append(found and found[1])
    return next((name for name in candidates if isinstance(name, str) and _PROPERTY.match(name)), None)
