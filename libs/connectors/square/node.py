"""Square's JSON read field by field: what is absent is None or empty, what is wrong is named by its path."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from libs.canonical.moments import TimeError, parse_time
from libs.canonical.money import Money
from libs.connectors.contract.source import Unmappable

# Money.amount and every version are 64-bit (Square API reference, Money); more is a damaged number.
_INT64 = 2**63
_NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,10})?")
_CURRENCY = re.compile(r"[A-Z]{3}")
# Square opened in 2009. A time outside this span would also overflow when it is moved into a time zone.
_YEARS = range(1970, 2200)


class Node:
    """One JSON object and the path that leads to it. An absent object is an empty one."""

    __slots__ = ("_fields", "path")

    def __init__(self, value: Any, path: str = "") -> None:
        """Raises Unmappable when the value is neither an object nor absent."""
        if value is not None and not isinstance(value, Mapping):
            raise Unmappable("is no object", path)
        self._fields: Mapping[str, Any] = value or {}
        self.path = path

    def __bool__(self) -> bool:
        return bool(self._fields)

    @property
    def value(self) -> dict[str, Any]:
        """The object as plain JSON."""
        return dict(self._fields)

    def at(self, key: str) -> str:
        """The path of a field."""
        return f"{self.path}.{key}" if self.path else key

    def wrong(self, key: str, reason: str) -> Unmappable:
        """The exception that says what is wrong with a field."""
        return Unmappable(reason, self.at(key))

    def text(self, key: str) -> str | None:
        """Text, or None when absent or blank."""
        value = self._fields.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self.wrong(key, "is no text")
        return value.strip() or None

    def need(self, key: str) -> str:
        """Text that must be there."""
        value = self.text(key)
        if value is None:
            raise self.wrong(key, "is missing")
        return value

    def flag(self, key: str) -> bool:
        """A boolean; absent is false."""
        value = self._fields.get(key)
        if value is None or isinstance(value, bool):
            return bool(value)
        raise self.wrong(key, "is neither true nor false")

    def whole(self, key: str) -> int | None:
        """A 64-bit integer, or None when absent."""
        value = self._fields.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not -_INT64 <= value < _INT64:
            raise self.wrong(key, "is no 64-bit integer")
        return value

    def number(self, key: str) -> Decimal | None:
        """A decimal number written as text, as Square writes quantities and percentages; None when absent."""
        value = self.text(key)
        if value is None:
            return None
        if not _NUMBER.fullmatch(value):
            raise self.wrong(key, "is no decimal number")
        return Decimal(value)

    def moment(self, key: str) -> datetime | None:
        """An aware time, or None when absent."""
        value = self.text(key)
        if value is None:
            return None
        try:
            read = parse_time(value)
        except (TimeError, OverflowError):
            raise self.wrong(key, "is no time with a zone") from None
        if read.year not in _YEARS:
            raise self.wrong(key, "is no plausible time")
        return read

    def need_moment(self, key: str) -> datetime:
        """A time that must be there."""
        value = self.moment(key)
        if value is None:
            raise self.wrong(key, "is missing")
        return value

    def money(self, key: str, currency: str | None = None) -> Money | None:
        """An amount (`amount` in minor units, `currency`), or None when absent; of that currency if one is named."""
        node = self.child(key)
        amount = node.whole("amount")
        if amount is None:
            return None
        stated = node.text("currency") or currency
        if stated is None or not _CURRENCY.fullmatch(stated):
            raise node.wrong("currency", "is no currency")
        if currency is not None and stated != currency:
            raise node.wrong("currency", f"is another currency than the order's {currency}")
        return Money(minor=amount, currency=stated)

    def amount(self, key: str, currency: str) -> Money:
        """An amount of that currency; absent is nothing."""
        return self.money(key, currency) or Money.zero(currency)

    def child(self, key: str) -> Node:
        """The object under a key."""
        return Node(self._fields.get(key), self.at(key))

    def children(self, key: str) -> tuple[Node, ...]:
        """The objects of a list; absent is none."""
        return tuple(Node(value, path) for value, path in self._items(key))

    def texts(self, key: str) -> tuple[str, ...]:
        """The texts of a list; absent is none."""
        found = tuple(self._items(key))
        for value, path in found:
            if not isinstance(value, str):
                raise Unmappable("is no text", path)
        return tuple(value for value, _ in found if value)

    def _items(self, key: str) -> Iterator[tuple[Any, str]]:
        values = self._fields.get(key)
        if values is None:
            return
        if not isinstance(values, list):
            raise self.wrong(key, "is no list")
        for index, value in enumerate(values):
            yield value, f"{self.at(key)}[{index}]"


def text_in(value: Any, *keys: str) -> str | None:
    """The text at a path of keys, or None when anything on the way is missing or of another type.

    For deciding what to fetch next: whatever is damaged is reported when the snapshot is read.
    """
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) and value else None


def objects_in(value: Any, key: str) -> list[Mapping[str, Any]]:
    """The objects of a list under a key, leaving out whatever is none."""
    values = value.get(key) if isinstance(value, Mapping) else None
    return [each for each in values if isinstance(each, Mapping)] if isinstance(values, list) else []
