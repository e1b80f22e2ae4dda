"""The simulator's search: filter groups are alternatives, the filters in one all hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from libs.connectors.contract.simulator import SimResponse
from libs.connectors.hubspot.sandbox_store import Record, Refused

PAGE = 200
MOST = 10_000
GROUPS = 6


def search(records: Sequence[Record], body: Mapping[str, Any]) -> SimResponse:
    """One page of those that match, as HubSpot's search answers; raises Refused beyond its bounds."""
    groups = body.get("filterGroups") or []
    if len(groups) > GROUPS:
        raise Refused(400, "VALIDATION_ERROR", f"The maximum number of filter groups is {GROUPS}")
    if any(one.get("operator") not in _OPERATORS for group in groups for one in group.get("filters", ())):
        raise Refused(400, "VALIDATION_ERROR", "operator is not one of the values supported")
    limit, after = int(body.get("limit", 10)), int(body.get("after") or 0)
    if limit > PAGE or after + limit > MOST:
        raise Refused(400, "VALIDATION_ERROR", "Paging is out of bounds")
    matching = [record for record in records if _matches(record, groups)]
    page = matching[after : after + limit]
    wanted = set(body.get("properties", ())) or None
    shown: dict[str, Any] = {"total": len(matching), "results": [record.shown(wanted) for record in page]}
    if after + limit < len(matching):
        shown["paging"] = {"next": {"after": str(after + limit)}}
    return SimResponse(200, shown)


def _matches(record: Record, groups: Sequence[Mapping[str, Any]]) -> bool:
    if not groups:
        return True
    return any(all(_holds(record, one) for one in group.get("filters", ())) for group in groups)


def _holds(record: Record, one: Mapping[str, Any]) -> bool:
    return _OPERATORS[one["operator"]](record.properties.get(str(one.get("propertyName"))) or "", one)


def _compared(value: str, one: Mapping[str, Any]) -> int | None:
    """-1, 0 or 1 as numbers where both are, else as text; None without a value."""
    other = str(one.get("value", ""))
    if not value:
        return None
    try:
        left, right = Decimal(value), Decimal(other)
        return (left > right) - (left < right)
    except InvalidOperation:
        return (value > other) - (value < other)


_OPERATORS: Mapping[str, Callable[[str, Mapping[str, Any]], bool]] = {
    "EQ": lambda value, one: value.lower() == str(one.get("value", "")).lower(),
    "NEQ": lambda value, one: value.lower() != str(one.get("value", "")).lower(),
    "IN": lambda value, one: value.lower() in [str(v).lower() for v in one.get("values", ())],
    "HAS_PROPERTY": lambda value, one: bool(value),
    "NOT_HAS_PROPERTY": lambda value, one: not value,
    "GTE": lambda value, one: _compared(value, one) in (0, 1),
    "LTE": lambda value, one: _compared(value, one) in (0, -1),
    "GT": lambda value, one: _compared(value, one) == 1,
    "LT": lambda value, one: _compared(value, one) == -1,
}
