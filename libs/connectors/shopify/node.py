"""Typed reading of Shopify's JSON: what is not as it must be raises Unmappable with its path, never with its value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NoReturn

from libs.canonical.moments import TimeError, parse_time
from libs.canonical.money import Money, MoneyError
from libs.connectors.contract.source import Unmappable

_ID = re.compile(r"[0-9]{1,20}")
_AMOUNT = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,9})?")
_CURRENCY = re.compile(r"[A-Z]{3}")
# Times outside of these years are typing errors, and break the arithmetic of days.
_YEARS = range(1990, 2200)


def id_text(value: object) -> str | None:
    """A REST id (13 to 14 digits, sent as a number) as text; None when the value is no such id."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    text = str(value) if isinstance(value, str) or 0 <= value < 10**20 else ""
    return text if _ID.fullmatch(text) else None


def _number(value: object) -> Decimal | None:
    """An exact number: text, int or Decimal in plain notation. A float is none."""
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        return None
    if isinstance(value, int):
        return Decimal(value) if abs(value) < 10**15 else None
    text = str(value)
    return Decimal(text) if _AMOUNT.fullmatch(text) else None


@dataclass(frozen=True)
class Node:
    """A JSON object and where it lies in the snapshot."""

    value: Mapping[str, Any]
    path: str

    @classmethod
    def of(cls, value: object, path: str) -> Node:
        """The object at that path; raises Unmappable when it is none."""
        if not isinstance(value, Mapping):
            raise Unmappable("is missing or no object", path)
        return cls(value, path)

    def fail(self, key: str, reason: str) -> NoReturn:
        """Raises Unmappable for that field."""
        raise Unmappable(reason, f"{self.path}.{key}")

    def text(self, key: str) -> str | None:
        """Text; None when it is absent, null or blank."""
        value = self.value.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            self.fail(key, "is no text")
        try:
            value.encode()
        except UnicodeEncodeError:
            self.fail(key, "holds half a character")
        return value.strip() or None

    def id(self, key: str) -> str | None:
        """A vendor id as text; None when it is absent or null."""
        value = self.value.get(key)
        if value is None:
            return None
        return id_text(value) or self.fail(key, "is no id")

    def need_id(self, key: str) -> str:
        """A vendor id that must be there."""
        return self.id(key) or self.fail(key, "is missing")

    def flag(self, key: str) -> bool:
        """A truth value; absent or null is no."""
        value = self.value.get(key)
        if value is not None and not isinstance(value, bool):
            self.fail(key, "is neither true nor false")
        return bool(value)

    def time(self, key: str) -> datetime | None:
        """An aware time in UTC; None when it is absent or null."""
        text = self.text(key)
        if text is None:
            return None
        try:
            moment = parse_time(text)
        except (TimeError, OverflowError):
            self.fail(key, "is no time with a zone")
        if moment.year not in _YEARS:
            self.fail(key, "is a time out of reason")
        return moment

    def need_time(self, key: str) -> datetime:
        """A time that must be there."""
        return self.time(key) or self.fail(key, "is missing")

    def number(self, key: str) -> Decimal | None:
        """An exact number; None when it is absent or null."""
        value = self.value.get(key)
        if value is None:
            return None
        number = _number(value)
        return number if number is not None else self.fail(key, "is no exact number")

    def quantity(self, key: str) -> Decimal:
        """How many, zero or more; it must be there."""
        number = self.number(key)
        if number is None:
            self.fail(key, "is missing")
        if number < 0:
            self.fail(key, "is negative")
        return number

    def currency(self, key: str) -> str:
        """An ISO 4217 code that must be there."""
        code = self.text(key)
        if code is None or not _CURRENCY.fullmatch(code):
            self.fail(key, "is no currency")
        return code

    def money(self, key: str, currency: str) -> Money | None:
        """An amount in the shop's currency (the `_set` names it; plain amounts of an order are in it), or None."""
        bag = self.value.get(f"{key}_set")
        if bag is not None:
            shop = Node.of(bag, f"{self.path}.{key}_set").node("shop_money")
            if shop.currency("currency_code") != currency:
                shop.fail("currency_code", "is not the shop's currency")
            return shop.money("amount", currency)
        number = self.number(key)
        try:
            return None if number is None else Money.parse(number, currency)
        except MoneyError:
            self.fail(key, f"has more decimals than {currency} allows")

    def need_money(self, key: str, currency: str) -> Money:
        """An amount that must be there."""
        money = self.money(key, currency)
        return money if money is not None else self.fail(key, "is missing")

    def money_or_zero(self, key: str, currency: str) -> Money:
        """An amount that Shopify leaves out when there is none."""
        money = self.money(key, currency)
        return money if money is not None else Money.zero(currency)

    def node(self, key: str) -> Node:
        """The object in that field; it must be there."""
        return Node.of(self.value.get(key), f"{self.path}.{key}")

    def maybe_node(self, key: str) -> Node | None:
        """The object in that field; None when it is absent or null."""
        return None if self.value.get(key) is None else self.node(key)

    def nodes(self, key: str) -> list[Node]:
        """The objects of a list; an absent or null list is empty."""
        items = self.value.get(key)
        if items is None:
            return []
        if not isinstance(items, list):
            self.fail(key, "is no list")
        return [Node.of(item, f"{self.path}.{key}[{index}]") for index, item in enumerate(items)]
