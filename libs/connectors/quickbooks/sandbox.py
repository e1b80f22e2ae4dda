"""QuickBooks Online in memory: sign-in, limits, remembered request ids, and the books of any number of companies."""

from __future__ import annotations

import base64
import re
from collections import Counter, deque
from collections.abc import Mapping
from copy import deepcopy
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

from libs.connectors.contract.simulator import Fault, SimRequest, SimResponse
from libs.connectors.quickbooks.sandbox_company import Company
from libs.connectors.quickbooks.sandbox_faults import TIME, Refused, broken, throttled, unauthorized

_COMPANY = re.compile(r"^/v3/company/(?P<realm>[^/]+)/(?P<resource>[a-z]+)(?:/(?P<id>[^/]+))?$")
_WRITABLE = {name.lower(): name for name in ("JournalEntry", "SalesReceipt", "RefundReceipt", "Customer", "Item")}
_READABLE = _WRITABLE | {
    name.lower(): name for name in ("Account", "Department", "CompanyInfo", "PaymentMethod", "Vendor")
}
_LOADABLE = {
    "accounts": "Account",
    "items": "Item",
    "customers": "Customer",
    "vendors": "Vendor",
    "departments": "Department",
    "payment_methods": "PaymentMethod",
}
_TOKEN_PATH = "/oauth2/v1/tokens/bearer"  # noqa: S105 - a path
_REQUEST_ID_LENGTH = 50

_DEFAULTS: dict[str, Any] = {
    "client_id": "sandbox-client",
    "client_secret": "sandbox-secret",
    "first_refresh_tokens": "sandbox-refresh-",  # any that begins so is accepted once: one for each connection
    "rotate_refresh_token": True,  # on every use; QuickBooks does it about once a day
    "access_token_seconds": 3600,
    "calls_per_minute": 500,  # None: no limit
    "calls_per_second": 10,
    "request_id_seconds": 43200,  # how long a request id is remembered
    "refuse_duplicate_numbers": False,
    "closed_until": None,  # books are closed up to and including this day
    "tax_rate": None,  # a fraction: tax of TAX lines is computed anew
}


class QuickBooksSandbox:
    """The simulator; see `_DEFAULTS` for what can be configured."""

    vendor = "quickbooks"

    def __init__(self) -> None:
        self._options = dict(_DEFAULTS)
        self._loaded: list[Mapping[str, Any]] = []
        self._access: dict[str, datetime | None] = {}  # until when each access token is good
        self._refresh: set[str] = set()  # the newest of every chain of refresh tokens
        self._issued = 0
        self.reset()

    def reset(self) -> None:
        """The books and counters forgotten; companies begin with the default chart again.

        Options stay, and so do sign-ins: a service that runs meanwhile need not be connected again.
        """
        self._companies: dict[str, Company] = {}
        self._counters: Counter[str] = Counter()
        self._calls: dict[str, deque[datetime]] = {}
        self._remembered: dict[tuple[str, str], tuple[datetime, SimResponse]] = {}
        self._used: set[str] = set()
        self._loaded.clear()

    def configure(self, options: Mapping[str, Any]) -> None:
        """Options changed; raises ValueError for one that does not exist."""
        unknown = set(options) - set(_DEFAULTS)
        if unknown:
            raise ValueError(f"no such option: {', '.join(sorted(unknown))}")
        self._options.update(options)

    def load(self, objects: Mapping[str, Any]) -> None:
        """Accounts, items, customers, vendors, departments into the company `realm`, or into all of them."""
        unknown = set(objects) - set(_LOADABLE) - {"realm"}
        if unknown:
            raise ValueError(f"cannot load: {', '.join(sorted(unknown))}")
        if realm := objects.get("realm"):
            self._put(self._company(str(realm)), objects)
            return
        self._loaded.append(deepcopy(dict(objects)))
        for company in self._companies.values():
            self._put(company, objects)

    @staticmethod
    def _put(company: Company, objects: Mapping[str, Any]) -> None:
        for name, entity in _LOADABLE.items():
            company.put(entity, list(objects.get(name, ())))

    def _company(self, realm: str) -> Company:
        if realm not in self._companies:
            company = self._companies[realm] = Company(self._options)
            for objects in self._loaded:
                self._put(company, objects)
        return self._companies[realm]

    def state(self) -> dict[str, Any]:
        """All objects by company and entity, how often each thing happened, and repeated request ids."""
        return {
            "companies": {
                realm: {entity: list(deepcopy(store).values()) for entity, store in company.objects.items()}
                for realm, company in self._companies.items()
            },
            "requests": dict(self._counters),
            "duplicate_requestids": self._counters["duplicate_requestids"],
        }

    def counters(self) -> dict[str, int]:
        """How often each thing happened."""
        return dict(self._counters)

    def limits(self) -> dict[str, Any]:
        """The limits in force, per company."""
        return {
            "calls_per_minute": self._options["calls_per_minute"],
            "calls_per_second": self._options["calls_per_second"],
            "in_words": "500 calls a minute and 10 a second per company; 429 with code 3001 beyond",
        }

    def token(self, lifetime: float | None = None, now: datetime | None = None) -> str:
        """An access token that is valid for `lifetime` seconds from `now`; without them for ever."""
        self._issued += 1
        token = f"access-{self._issued}"
        self._access[token] = now + timedelta(seconds=lifetime) if now and lifetime is not None else None
        return token

    def fault(self, fault: Fault) -> SimResponse:
        """QuickBooks' wording of a failure."""
        match fault:
            case "down":
                return SimResponse(503, b"<html><body>Service Unavailable</body></html>", {"content-type": "text/html"})
            case "error":
                return SimResponse(500, broken())
            case "throttled":
                return SimResponse(429, throttled())
            case "throttled_retry_after":
                return SimResponse(429, throttled(), {"retry-after": "60"})
            case "unauthorized":
                return SimResponse(401, unauthorized())
            case "garbage":
                return SimResponse(200, b"<html><body>Signing you in</body></html>", {"content-type": "text/html"})

    def handle(self, request: SimRequest, now: datetime) -> SimResponse:
        """The answer to a call."""
        if request.path == _TOKEN_PATH:
            return self._exchange(request, now)
        match = _COMPANY.match(request.path)
        if not match:
            return SimResponse(404, b"not found", {"content-type": "text/plain"})
        realm = match["realm"]
        self._counters["calls"] += 1
        if not self._signed_in(request, now):
            self._counters["unauthorized"] += 1
            return self.fault("unauthorized")
        if self._too_many(realm, now):
            self._counters["throttled"] += 1
            return self.fault("throttled")
        return self._once(realm, request, now, match["resource"], match["id"])

    def _exchange(self, request: SimRequest, now: datetime) -> SimResponse:
        """A refresh token for an access token; the refresh token changes, and the one before is refused."""
        secret = f"{self._options['client_id']}:{self._options['client_secret']}"
        expected = "Basic " + base64.b64encode(secret.encode()).decode()
        if request.headers.get("authorization") != expected:
            return SimResponse(401, {"error": "invalid_client"})
        form = {name: values[0] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
        self._counters["token_exchanges"] += 1
        if form.get("grant_type") != "refresh_token":
            return SimResponse(400, {"error": "unsupported_grant_type"})
        refresh = form.get("refresh_token", "")
        if not self._accepts(refresh):
            self._counters["invalid_grants"] += 1
            return SimResponse(400, {"error": "invalid_grant", "error_description": "Incorrect or outdated token"})
        if self._options["rotate_refresh_token"]:
            self._refresh.discard(refresh)
            self._used.add(refresh)
            refresh = f"refresh-{self._issued + 1}"
            self._refresh.add(refresh)
        seconds = self._options["access_token_seconds"]
        return SimResponse(
            200,
            {
                "token_type": "bearer",
                "access_token": self.token(seconds, now),
                "expires_in": seconds,
                "refresh_token": refresh,
                "x_refresh_token_expires_in": 8640000,
            },
        )

    def _accepts(self, refresh: str) -> bool:
        first = refresh.startswith(str(self._options["first_refresh_tokens"])) and refresh not in self._used
        return first or refresh in self._refresh

    def _signed_in(self, request: SimRequest, now: datetime) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or token not in self._access:
            return False
        until = self._access[token]
        return until is None or now < until

    def _too_many(self, realm: str, now: datetime) -> bool:
        calls = self._calls.setdefault(realm, deque())
        while calls and now - calls[0] >= timedelta(seconds=60):
            calls.popleft()
        per_minute, per_second = self._options["calls_per_minute"], self._options["calls_per_second"]
        last_second = 0
        for call in reversed(calls):
            if now - call >= timedelta(seconds=1):
                break
            last_second += 1
        if (per_minute is not None and len(calls) >= per_minute) or (
            per_second is not None and last_second >= per_second
        ):
            return True
        calls.append(now)
        return False

    def _once(self, realm: str, request: SimRequest, now: datetime, resource: str, identity: str | None) -> SimResponse:
        """A write with a known request id gets the old answer, whatever it says now."""
        key = request.query.get("requestid")
        if request.method != "POST" or not key:
            return self._answer(realm, request, now, resource, identity)
        if len(key) > _REQUEST_ID_LENGTH:
            return SimResponse(400, Refused("2050", "RequestId: Min:0 Max:50 supported", "requestid").body)
        then, remembered = self._remembered.get((realm, key), (None, None))
        if then and remembered and now - then < timedelta(seconds=self._options["request_id_seconds"]):
            self._counters["duplicate_requestids"] += 1
            return deepcopy(remembered)
        answer = self._answer(realm, request, now, resource, identity)
        if answer.status == 200:
            self._remembered[realm, key] = (now, deepcopy(answer))
        return answer

    def _answer(
        self, realm: str, request: SimRequest, now: datetime, resource: str, identity: str | None
    ) -> SimResponse:
        company = self._company(realm)
        try:
            if request.method == "GET" and resource == "query":
                self._counters["queries"] += 1
                return SimResponse(200, company.query(request.query.get("query", "")))
            if request.method == "GET" and resource in _READABLE and identity:
                self._counters["reads"] += 1
                entity = _READABLE[resource]
                found = company.read(entity, "1" if entity == "CompanyInfo" else identity)
                return SimResponse(200, {entity: found, "time": TIME})
            if request.method == "POST" and resource in _WRITABLE and identity is None:
                entity = _WRITABLE[resource]
                operation = self._operation(request)
                written = company.write(entity, request.json, operation, now)
                self._counters[f"{operation} {entity}"] += 1
                return SimResponse(200, {entity: written, "time": TIME})
        except Refused as refused:
            self._counters[f"refused {refused.code}"] += 1
            return SimResponse(400, refused.body)
        return SimResponse(404, b"not found", {"content-type": "text/plain"})

    @staticmethod
    def _operation(request: SimRequest) -> str:
        if request.query.get("include") == "void" or request.query.get("operation") == "void":
            return "void"
        if request.query.get("operation") == "delete":
            return "delete"
        body = request.json
        return "update" if isinstance(body, dict) and "Id" in body else "create"


def simulator() -> QuickBooksSandbox:
    """A new simulator with no company yet; each comes to be at the first call."""
    return QuickBooksSandbox()
