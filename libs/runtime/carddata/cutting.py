"""Card data cut out of whole documents."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from libs.runtime.carddata.fields import Field, FieldNames, below, by_field, field_names, is_no_card
from libs.runtime.carddata.findings import REMOVED, Finding, Rule
from libs.runtime.carddata.glance import Glance
from libs.runtime.carddata.issuers import SHORTEST
from libs.runtime.carddata.texts import SHORTEST_TEXT, clean, is_harmless

MAX_LEVELS = 64
_LEAST_NUMBER = 10 ** (SHORTEST - 1)
# Python writes no longer integer as text; JSON as we read it holds none.
_MOST_DIGITS = 4000
_GREATEST = 10**_MOST_DIGITS
# Read for every value: a global name is found faster than an enum's member.
_TEXT, _CARD, _ID, _NUMBER_OF_CARD = Field.TEXT, Field.CARD, Field.ID, Field.NUMBER_OF_CARD
_KNOWN_NAMES, _LONGEST_KNOWN_NAME = 4096, 64


class TooDeep(ValueError):
    """The document is nested deeper than can be searched; it must not be stored."""


@dataclass(frozen=True)
class Cut:
    """A document without card data, and where something was cut. Unchanged parts are the given objects themselves."""

    document: Any
    findings: tuple[Finding, ...] = ()


def cut(document: Any, *, card_fields: Collection[str] = (), not_cards: Collection[str] = ()) -> Cut:
    """The JSON value without card data.

    `card_fields` are cut whatever they hold; `not_cards` may hold long digits that are no card number (both as field
    names, from the vendor's manifest). Numbers may be int, Decimal or float. Raises TooDeep.
    """
    return _search(frozenset(card_fields), frozenset(not_cards)).document(document)


def cut_text(text: str, *, card_fields: Collection[str] = (), not_cards: Collection[str] = ()) -> Cut:
    """The same for a body that is no JSON (a form, XML, anything): field names are seen where a value follows them."""
    cleaned = clean(text, field_names(frozenset(card_fields), frozenset(not_cards)), whole=True)
    return Cut(cleaned.text, tuple(Finding("", rule) for rule in cleaned.rules))


@lru_cache(maxsize=256)
def _search(card_fields: frozenset[str], not_cards: frozenset[str]) -> _Search:
    return _Search(field_names(card_fields, not_cards))


@dataclass
class _Found:
    """A finding whose path is still being written, innermost part first."""

    rule: Rule
    path: list[str]


class _Search:
    """The search through documents of one vendor; it remembers what names mean."""

    def __init__(self, names: FieldNames) -> None:
        self._names = names
        # One level less, since it also glances at what is in a document.
        self._glance = Glance(names, MAX_LEVELS - 1)
        self._known: dict[str, Field] = {}
        self._readers: dict[type, Callable[[Any, Field, list[_Found], int], Any]] = {
            str: self._text,
            int: self._integer,
            float: self._fraction,
            Decimal: self._decimal,
            bool: self._flag,
            dict: self._object,
            list: self._array,
            tuple: self._array,
        }

    def document(self, document: Any) -> Cut:
        """The whole document's result."""
        if self._glance.is_clean(document):
            return Cut(document)
        return self.thoroughly(document)

    def thoroughly(self, document: Any) -> Cut:
        """The same, value by value."""
        found: list[_Found] = []
        clean_document = self._value(document, Field.TEXT, found, 1)
        findings = (Finding("".join(reversed(each.path)).removeprefix("."), each.rule) for each in found)
        return Cut(clean_document, tuple(findings))

    def _value(self, value: Any, field: Field, found: list[_Found], level: int) -> Any:
        reader = self._readers.get(type(value))
        return value if reader is None else reader(value, field, found, level)

    def _object(self, value: dict[str, Any], field: Field, found: list[_Found], level: int) -> Any:
        if not value or (field is _CARD and _removed(found)):
            return value and REMOVED
        if level > MAX_LEVELS:
            raise TooDeep(f"nested deeper than {MAX_LEVELS} levels")
        changed: dict[str, Any] = {}
        renamed: dict[str, str] = {}
        known, readers = self._known, self._readers
        for name, item in value.items():
            before = len(found)
            child = known.get(name) or self._learn(name, renamed, found)
            reader = readers.get(type(item))
            # An order's lines, say, when only something beside them is to be cut.
            passed = level == 1 and not child.decides and self._glance.is_clean(item)
            if reader is not None and not passed:
                if field is not _TEXT or child is _NUMBER_OF_CARD:
                    child = below(field, child)
                new = reader(item, child, found, level + 1)
                if new is not item:
                    changed[name] = new
            if len(found) > before:
                _locate(found[before:], "." + renamed.get(name, name)[:_LONGEST_KNOWN_NAME])
        return _rebuilt(value, changed, renamed) if changed or renamed else value

    def _array(self, value: Any, field: Field, found: list[_Found], level: int) -> Any:
        if not value or (field is _CARD and _removed(found)):
            return value and REMOVED
        if level > MAX_LEVELS:
            raise TooDeep(f"nested deeper than {MAX_LEVELS} levels")
        changed: dict[int, Any] = {}
        for at, item in enumerate(value):
            before = len(found)
            new = self._value(item, field, found, level + 1)
            if new is not item:
                changed[at] = new
                _locate(found[before:], f"[{at}]")
        return [changed.get(at, item) for at, item in enumerate(value)] if changed else value

    def _text(self, value: str, field: Field, found: list[_Found], level: int) -> str:
        if field is not _TEXT:
            if field.decides and (replaced := by_field(field, value)):
                found.append(_Found(replaced.rule, []))
                return replaced.text
            if is_no_card(field, value):
                return value
        return value if len(value) < SHORTEST_TEXT or is_harmless(value) else self._by_pattern(value, found)

    def _by_pattern(self, value: str, found: list[_Found]) -> str:
        cleaned = clean(value, self._names)
        found += [_Found(rule, []) for rule in cleaned.rules]
        return cleaned.text if cleaned.rules else value

    def _integer(self, value: int, field: Field, found: list[_Found], level: int) -> Any:
        if -_LEAST_NUMBER < value < _LEAST_NUMBER and not field.decides:
            return value
        if field is _ID or abs(value) > _GREATEST:
            return value
        digits = str(abs(value))
        new = self._text(digits, field, found, level)
        return value if new == digits else new

    def _fraction(self, value: float, field: Field, found: list[_Found], level: int) -> Any:
        whole = int(value) if math.isfinite(value) else 0
        new = self._integer(whole, field, found, level)
        return value if new is whole else new

    def _decimal(self, value: Decimal, field: Field, found: list[_Found], level: int) -> Any:
        whole = int(value) if value.is_finite() and value.adjusted() < _MOST_DIGITS else 0
        new = self._integer(whole, field, found, level)
        return value if new is whole else new

    def _flag(self, value: bool, field: Field, found: list[_Found], level: int) -> Any:
        return REMOVED if field is _CARD and _removed(found) else value

    def _learn(self, name: str, renamed: dict[str, str], found: list[_Found]) -> Field:
        """What the name means. A name that is itself card data is renamed, and not remembered."""
        field = self._names.field(name)
        new = self._by_pattern(name, found) if len(name) >= SHORTEST_TEXT else name
        if new != name:
            renamed[name] = new
        elif len(name) <= _LONGEST_KNOWN_NAME:
            if len(self._known) >= _KNOWN_NAMES:
                self._known.clear()
            self._known[name] = field
        return field


def _removed(found: list[_Found]) -> bool:
    found.append(_Found(Rule.CARD_FIELD, []))
    return True


def _locate(found: list[_Found], part: str) -> None:
    for each in found:
        each.path.append(part)


def _rebuilt(value: dict[str, Any], changed: dict[str, Any], renamed: dict[str, str]) -> dict[str, Any]:
    """The object with what was changed, in its order; two names that became one are numbered."""
    rebuilt: dict[str, Any] = {}
    for name, item in value.items():
        wanted = new = renamed.get(name, name)
        number = 1
        while new in rebuilt or (new != name and new in value):
            number += 1
            new = f"{wanted} ({number})"
        rebuilt[new] = changed.get(name, item)
    return rebuilt
