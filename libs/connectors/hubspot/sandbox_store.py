"""The simulator's memory: objects with unique properties, and what belongs to what.

It knows HubSpot's rules and nothing of how we map; refusals are raised as `Refused` with HubSpot's error body.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

TYPES = ("contacts", "orders", "line_items")

_NUMBER, _TEXT, _TIME = "number", "string", "datetime"
_BUILT_IN: dict[str, dict[str, str]] = {
    "contacts": dict.fromkeys(
        ("email", "firstname", "lastname", "phone", "company", "address", "city", "state", "zip", "country"), _TEXT
    ),
    "orders": {
        **dict.fromkeys(
            ("hs_order_name", "hs_external_order_id", "hs_external_order_status", "hs_external_order_url")
            + ("hs_currency_code", "hs_source_store", "hs_discount_codes", "hs_fulfillment_status")
            + ("hs_payment_processing_method", "hs_pipeline", "hs_pipeline_stage"),
            _TEXT,
        ),
        **dict.fromkeys(
            ("hs_total_price", "hs_subtotal_price", "hs_tax", "hs_shipping_cost", "hs_order_discount"), _NUMBER
        ),
        **dict.fromkeys(("hs_external_created_date", "hs_processed_date"), _TIME),
    },
    "line_items": {
        **dict.fromkeys(("name", "hs_sku", "hs_product_id", "hs_line_item_currency_code", "description"), _TEXT),
        **dict.fromkeys(("quantity", "price", "discount", "hs_discount_percentage"), _NUMBER),
    },
}
_BUILT_IN_UNIQUE = {"contacts": {"email"}, "orders": {"hs_external_order_id"}, "line_items": set[str]()}
# Custom properties that the README asks for, present from the start so that a demo works at once.
CUSTOM: dict[str, dict[str, tuple[str, bool]]] = {
    "contacts": {"pos_customer_id": (_TEXT, True)},
    "orders": {"pos_order_id": (_TEXT, True), "pos_refunded_amount": (_NUMBER, False)},
    "line_items": {"pos_line_id": (_TEXT, True)},
}
_EMAIL = re.compile(r"^[^@\s]+@[^@\s]+\.[^@\s]{2,}$")


class Refused(Exception):
    """A refusal with its status and body."""

    def __init__(self, status: int, category: str, message: str, **more: Any) -> None:
        super().__init__(category)
        self.status = status
        self.body = {"status": "error", "message": message, "category": category, "correlationId": "0" * 8, **more}


def invalid(code: str, name: str, text: str) -> Refused:
    """HubSpot's refusal of property values: a list of results inside the message."""
    result = [{"isValid": False, "message": text, "error": code, "name": name}]
    return Refused(400, "VALIDATION_ERROR", f"Property values were not valid: {json.dumps(result)}")


@dataclass
class Record:
    """One object; `writes` counts the calls that changed or confirmed it."""

    id: str
    properties: dict[str, str]
    created: datetime
    updated: datetime
    archived: bool = False
    writes: int = 0

    def shown(self, wanted: set[str] | None = None) -> dict[str, Any]:
        """The object as HubSpot shows it."""
        properties = {
            name: value for name, value in self.properties.items() if value and (wanted is None or name in wanted)
        }
        return {
            "id": self.id,
            "properties": properties | {"hs_object_id": self.id},
            "createdAt": self.created.isoformat(),
            "updatedAt": self.updated.isoformat(),
            "archived": self.archived,
        }


@dataclass
class Store:
    """All objects of one account."""

    records: dict[str, dict[str, Record]] = field(default_factory=lambda: {kind: {} for kind in TYPES})
    types: dict[str, dict[str, str]] = field(default_factory=lambda: {k: dict(v) for k, v in _BUILT_IN.items()})
    unique: dict[str, set[str]] = field(default_factory=lambda: {k: set(v) for k, v in _BUILT_IN_UNIQUE.items()})
    # (from type, to type) -> pairs of ids; kept in both directions.
    associations: dict[tuple[str, str], set[tuple[str, str]]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    _last_id: int = 1000
    _index: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind, properties in CUSTOM.items():
            for name, (value_type, is_unique) in properties.items():
                self.define(kind, name, value_type, unique=is_unique)

    def define(self, kind: str, name: str, value_type: str, *, unique: bool) -> None:
        """A new property; 409 when there is one of that name."""
        if name in self.types[kind]:
            raise Refused(409, "OBJECT_ALREADY_EXISTS", f"A property named '{name}' already exists.")
        self.types[kind][name] = value_type
        if unique:
            self.unique[kind].add(name)

    def undefine(self, kind: str, name: str) -> None:
        """The property is not there any more."""
        self.types[kind].pop(name, None)
        self.unique[kind].discard(name)

    def demand_unique(self, kind: str, name: str) -> None:
        """400 when objects cannot be named by that property."""
        if name not in self.unique[kind]:
            raise Refused(400, "VALIDATION_ERROR", f"Unable to perform update/upsert by non-unique {name} property")

    def by_unique(self, kind: str, name: str, value: str) -> Record | None:
        """The living object with that unique value; 400 when the property is not unique."""
        self.demand_unique(kind, name)
        record_id = self._index.get((kind, name, _folded(name, value)))
        return self.records[kind][record_id] if record_id else None

    def living(self, kind: str, record_id: str) -> Record | None:
        """The object of that id, unless archived."""
        record = self.records[kind].get(record_id)
        return None if record is None or record.archived else record

    def all_living(self, kind: str) -> Iterator[Record]:
        """All objects that are not archived, oldest first."""
        return (record for record in self.records[kind].values() if not record.archived)

    def checked(self, kind: str, record: Record | None, properties: Mapping[str, Any]) -> dict[str, str]:
        """The values as they would be stored; raises Refused for the first that cannot be."""
        values = {name: self._value(kind, name, value) for name, value in properties.items()}
        for name in sorted(self.unique[kind] & values.keys()):
            self._free(kind, name, values[name], record)
        return values

    def write(self, kind: str, record: Record | None, properties: Mapping[str, Any], now: datetime) -> Record:
        """Creates or updates after all checks; either everything of it is stored or nothing."""
        values = self.checked(kind, record, properties)
        if record is None:
            self._last_id += 1
            record = Record(str(self._last_id), {}, now, now)
            self.records[kind][record.id] = record
            self.counts[f"{kind}_created"] += 1
        else:
            self.counts[f"{kind}_updated"] += 1
        self._unindex(kind, record)
        record.properties |= values
        record.updated = now
        record.writes += 1
        self._reindex(kind, record)
        return record

    def archive(self, kind: str, record_id: str, *, for_good: bool = False) -> None:
        """Archives; unknown and archived ids are no error. `for_good` forgets the values too."""
        record = self.records[kind].get(record_id)
        if record is None or (record.archived and not for_good):
            return
        self._unindex(kind, record)
        record.archived = True
        self.counts[f"{kind}_archived"] += 1
        if for_good:
            record.properties = {}
        for (source, target), pairs in self.associations.items():
            pairs -= {
                p for p in pairs if (source == kind and p[0] == record_id) or (target == kind and p[1] == record_id)
            }

    def associate(self, source: str, source_id: str, target: str, target_id: str) -> None:
        """The default association, both ways; a line item belongs to at most one order."""
        for kind, record_id in ((source, source_id), (target, target_id)):
            if self.living(kind, record_id) is None:
                raise Refused(404, "OBJECT_NOT_FOUND", f"Object {record_id} of type {kind} does not exist")
        pair = {source: source_id, target: target_id}
        if pair.keys() == {"orders", "line_items"}:
            owners = {
                o for o, line in self.associations.get(("orders", "line_items"), set()) if line == pair["line_items"]
            }
            if owners - {pair["orders"]}:
                raise Refused(400, "VALIDATION_ERROR", "A line item can be associated with one order only")
        self.associations.setdefault((source, target), set()).add((source_id, target_id))
        self.associations.setdefault((target, source), set()).add((target_id, source_id))
        self.counts["associations_written"] += 1

    def _value(self, kind: str, name: str, value: Any) -> str:
        if name not in self.types[kind]:
            raise invalid("PROPERTY_DOESNT_EXIST", name, f'Property "{name}" does not exist')
        text = "" if value is None else str(value)
        if not text:
            return text
        if self.types[kind][name] == _NUMBER:
            _check_number(kind, name, text)
        elif self.types[kind][name] == _TIME:
            _check_time(name, text)
        elif name == "email" and not _EMAIL.match(text):
            raise invalid("INVALID_EMAIL", name, f"Email address {text} is invalid")
        if len(text) > 65_536:
            raise invalid("VALUE_TOO_LONG", name, f"{name} is longer than 65536")
        return text.lower() if name == "email" else text

    def _free(self, kind: str, name: str, value: str, record: Record | None) -> None:
        holder = self._index.get((kind, name, _folded(name, value))) if value else None
        if holder is None or (record is not None and holder == record.id):
            return
        if kind == "contacts" and name == "email":
            raise Refused(409, "CONFLICT", f"Contact already exists. Existing ID: {holder}")
        raise invalid("CONFLICTING_UNIQUE_VALUE", name, f"{holder} already has that value.")

    def _reindex(self, kind: str, record: Record) -> None:
        for name in self.unique[kind]:
            if value := record.properties.get(name):
                self._index[kind, name, _folded(name, value)] = record.id

    def _unindex(self, kind: str, record: Record) -> None:
        for name in self.unique[kind]:
            if value := record.properties.get(name):
                self._index.pop((kind, name, _folded(name, value)), None)


def _folded(name: str, value: str) -> str:
    return value.lower() if name == "email" else value


def _check_number(kind: str, name: str, text: str) -> None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise invalid("INVALID_NUMBER", name, f"{text} was not a valid number") from None
    if kind == "line_items" and name == "price" and value < 0:
        raise invalid("INVALID_NUMBER", name, "price cannot be negative")


def _check_time(name: str, text: str) -> None:
    try:
        datetime.fromisoformat(text) if not text.isdecimal() else int(text)
    except ValueError:
        raise invalid("INVALID_DATE", name, f"{text} was not a valid date") from None
