"""One company of the simulator: its objects, and what may be done to them."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from datetime import datetime
from decimal import Decimal
from typing import Any

from libs.connectors.quickbooks import sandbox_query
from libs.connectors.quickbooks.sandbox_chart import opening
from libs.connectors.quickbooks.sandbox_documents import PROPERTIES, journal_total, receipt_total, referenced
from libs.connectors.quickbooks.sandbox_faults import TIME, Refused

TRANSACTIONS = ("JournalEntry", "SalesReceipt", "RefundReceipt")
NAMES = {"Customer": "DisplayName", "Item": "Name"}  # what must be unique
_NAME_SPACES = {"Customer": ("Customer", "Vendor", "Employee"), "Item": ("Item",)}
_LENGTHS = {"DocNumber": 21, "Name": 100, "Sku": 100, "DisplayName": 500, "Notes": 1024, "PrivateNote": 4000}
_KNOWN: dict[str, set[str]] = {
    **PROPERTIES,
    "Customer": {
        "Id", "SyncToken", "sparse", "domain", "MetaData", "DisplayName", "GivenName", "MiddleName", "FamilyName",
        "CompanyName", "PrintOnCheckName", "Active", "PrimaryPhone", "Mobile", "PrimaryEmailAddr", "BillAddr",
        "ShipAddr", "Notes", "Taxable", "CurrencyRef", "Balance",
    },
    "Item": {
        "Id", "SyncToken", "sparse", "domain", "MetaData", "Name", "Sku", "Description", "Active", "Type", "UnitPrice",
        "Taxable", "IncomeAccountRef", "ExpenseAccountRef", "AssetAccountRef", "TrackQtyOnHand", "QtyOnHand",
        "InvStartDate", "PurchaseCost",
    },
}  # fmt: skip


class Company:
    """The books of one realm. `options` are shared by all companies and may change while it runs."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self.objects: dict[str, dict[str, dict[str, Any]]] = {}
        self._last_id = 1000
        for entity, several in opening().items():
            self.put(entity, several)

    def put(self, entity: str, several: list[dict[str, Any]]) -> None:
        """Objects placed as they are, replacing those of the same id."""
        store = self.objects.setdefault(entity, {})
        for one in several:
            identity = str(one.get("Id") or self._next_id())
            store[identity] = {"Active": True, "SyncToken": "0", **deepcopy(one), "Id": identity}

    def _next_id(self) -> str:
        self._last_id += 1
        return str(self._last_id)

    def _find(self, entity: str, identity: str) -> dict[str, Any] | None:
        return self.objects.get(entity, {}).get(identity)

    def read(self, entity: str, identity: str) -> dict[str, Any]:
        """One object; raises Refused 610."""
        found = self._find(entity, identity)
        if found is None:
            raise Refused("610", f"Object Not Found : {entity} {identity}")
        return deepcopy(found)

    def query(self, statement: str) -> dict[str, Any]:
        """The answer to a query, in QuickBooks' envelope."""
        query = sandbox_query.parse(statement)
        page = sandbox_query.run(query, self.objects.get(query.entity, {}).values())
        if not page:
            return {"QueryResponse": {}, "time": TIME}
        envelope = {query.entity: deepcopy(page), "startPosition": query.start, "maxResults": len(page)}
        return {"QueryResponse": envelope, "time": TIME}

    def write(self, entity: str, body: Any, operation: str, now: datetime) -> dict[str, Any]:
        """Creates, updates (sparsely or whole), voids or deletes; raises Refused."""
        if not isinstance(body, dict):
            raise Refused("2010", "Property Name: the body is no object")
        unknown = set(body) - _KNOWN[entity]
        if unknown:
            raise Refused("2010", f"Property Name:{min(unknown)} specified is unsupported or invalid")
        self._check_lengths(body)
        if "Id" not in body:
            return self._store(entity, {**deepcopy(body), "Id": self._next_id(), "SyncToken": "0"}, now)
        before = self._current(entity, body)
        if operation == "delete":
            self._check_open(before)
            del self.objects[entity][before["Id"]]
            return {"Id": before["Id"], "status": "Deleted", "domain": "QBO"}
        after = self._voided(before) if operation == "void" else self._updated(before, body)
        after["SyncToken"] = str(int(before["SyncToken"]) + 1)
        self._check_open(before)
        return self._store(entity, after, now, checked=operation == "void")

    def _current(self, entity: str, body: Mapping[str, Any]) -> dict[str, Any]:
        before = self.read(entity, str(body["Id"]))
        if "SyncToken" not in body:
            raise Refused("2020", "Required parameter SyncToken is missing in the request", "SyncToken")
        if str(body["SyncToken"]) != before["SyncToken"]:
            raise Refused("5010", "Stale Object Error : You and another user were working on this at the same time")
        return before

    @staticmethod
    def _updated(before: dict[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
        """Sparse: what is not named stays. Whole: what is not named is cleared."""
        kept = before if body.get("sparse") is True else {"Id": before["Id"]}
        return {**kept, **deepcopy({key: value for key, value in body.items() if key != "sparse"})}

    @staticmethod
    def _voided(before: dict[str, Any]) -> dict[str, Any]:
        after = deepcopy(before)
        for line in after["Line"]:
            line["Amount"] = Decimal(0)
        after["TxnTaxDetail"] = {"TotalTax": Decimal(0)}
        return after | {"TotalAmt": Decimal(0), "PrivateNote": f"{before.get('PrivateNote', '')}\nVoided".lstrip()}

    def _store(self, entity: str, one: dict[str, Any], now: datetime, *, checked: bool = False) -> dict[str, Any]:
        if entity in TRANSACTIONS:
            self._check_open(one)
            if not checked:
                one["TotalAmt"] = self._total(entity, one)
                self._check_number(entity, one)
        else:
            self._check_name(entity, one)
        one.setdefault("Active", True)
        one["MetaData"] = {"LastUpdatedTime": now.isoformat()}
        self.objects.setdefault(entity, {})[one["Id"]] = one
        return deepcopy(one)

    def _total(self, entity: str, one: dict[str, Any]) -> Decimal:
        if entity == "JournalEntry":
            return journal_total(one, self._find)
        rate = self._options.get("tax_rate")
        return receipt_total(entity, one, self._find, None if rate is None else Decimal(str(rate)))

    def _check_open(self, one: Mapping[str, Any]) -> None:
        closed_until = self._options.get("closed_until")
        if closed_until and str(one.get("TxnDate", "9999")) <= str(closed_until):
            raise Refused(
                "6210", f"The account period has closed and the account books are closed until {closed_until}"
            )

    def _check_number(self, entity: str, one: Mapping[str, Any]) -> None:
        number = one.get("DocNumber")
        if not number or not self._options.get("refuse_duplicate_numbers"):
            return
        others = self.objects.get(entity, {}).values()
        if any(other.get("DocNumber") == number and other["Id"] != one["Id"] for other in others):
            raise Refused("6140", f"Duplicate Document Number Error : DocNumber={number} is assigned to another one")

    def _check_name(self, entity: str, one: Mapping[str, Any]) -> None:
        field = NAMES[entity]
        name = one.get(field)
        if not name:
            raise Refused("2020", f"Required parameter {field} is missing in the request", field)
        if any(sign in name for sign in ":\t\n"):
            raise Refused("6000", f"Business Validation Error: {field} has a character that is not allowed", field)
        for space in _NAME_SPACES[entity]:
            for other in self.objects.get(space, {}).values():
                same = str(other.get(NAMES.get(space, "DisplayName"), "")).casefold() == name.casefold()
                if same and (space, other["Id"]) != (entity, one["Id"]):
                    raise Refused("6240", "The name supplied already exists.", field)
        if entity == "Item" and referenced(self._find, "Account", one, "IncomeAccountRef") is None:
            raise Refused("2020", "Required parameter IncomeAccountRef is missing in the request", "IncomeAccountRef")

    @staticmethod
    def _check_lengths(body: Mapping[str, Any]) -> None:
        for name, longest in _LENGTHS.items():
            if len(str(body.get(name) or "")) > longest:
                raise Refused("2050", f"Min:0 Max:{longest} supported", name)
