"""The part of QuickBooks' query language that clients of a sink use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from libs.connectors.quickbooks.sandbox_faults import Refused

_QUERY = re.compile(
    r"^\s*select\s+(?P<fields>.+?)\s+from\s+(?P<entity>\w+)"
    r"(?:\s+where\s+(?P<where>.+?))?"
    r"(?:\s+startposition\s+(?P<start>\d+))?"
    r"(?:\s+maxresults\s+(?P<most>\d+))?\s*$",
    re.IGNORECASE | re.DOTALL,
)
_CONDITION = re.compile(r"\s*(\w+)\s*=\s*'((?:[^'\\]|\\.)*)'\s*", re.DOTALL)
_AND = re.compile(r"and\b", re.IGNORECASE)

PAGE = 100  # objects when maxresults is not given
LARGEST_PAGE = 1000


class Query(NamedTuple):
    """A parsed statement: the fields (`*`: all), the entity, values that must be equal, and the page."""

    fields: tuple[str, ...]
    entity: str
    equals: Mapping[str, str]
    start: int
    most: int


def parse(statement: str) -> Query:
    """The statement read; raises Refused (4000) when it is none that is understood."""
    match = _QUERY.match(statement)
    if not match:
        raise Refused("4000", "QueryParserError: the statement cannot be read")
    most = int(match["most"] or PAGE)
    if most > LARGEST_PAGE:
        raise Refused("4000", "QueryValidationError: maxresults may be 1000 at most")
    fields = tuple(field.strip() for field in match["fields"].split(","))
    return Query(fields, match["entity"], _conditions(match["where"]), int(match["start"] or 1), most)


def _conditions(where: str | None) -> dict[str, str]:
    equals: dict[str, str] = {}
    position = 0
    while where and position < len(where):
        condition = _CONDITION.match(where, position)
        if not condition:
            raise Refused("4000", "QueryParserError: only conditions of the form Field = 'value' are understood")
        equals[condition[1]] = re.sub(r"\\(.)", r"\1", condition[2])
        position = condition.end()
        joint = _AND.match(where, position)
        if joint:
            position = joint.end()
        elif position < len(where):
            raise Refused("4000", "QueryParserError: conditions are joined by AND")
    return equals


def run(query: Query, objects: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The page of active objects that fit. Texts are compared without regard to case, as QuickBooks does."""
    fitting = [
        one
        for one in objects
        if one.get("Active", True)
        and all(str(one.get(name, "")).casefold() == value.casefold() for name, value in query.equals.items())
    ]
    page = fitting[query.start - 1 : query.start - 1 + query.most]
    if query.fields == ("*",):
        return [dict(one) for one in page]
    return [{name: one[name] for name in query.fields if name in one} for one in page]
