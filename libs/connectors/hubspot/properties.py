"""Canonical values as HubSpot properties: every value is text on the wire (HubSpot, Properties guide)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal

from libs.canonical.money import Money
from libs.connectors.hubspot.config import MappedContact, MappedLine, MappedOrder

Values = Mapping[str, str | None]

# HubSpot keeps up to six decimals of a line item's unit price (Knowledge base, "Payment discounts").
_UNIT_PLACES = Decimal("0.000001")


def amount(money: Money) -> str:
    """The amount in major units with the currency's own decimals: "12.40", and "1240" for yen."""
    return f"{money.major:f}"


def per_unit(money: Money, quantity: Decimal) -> str:
    """The amount for one of `quantity` (not zero), in major units: the currency's decimals, or up to six when it
    does not divide."""
    share = money.major / quantity
    at_currency = share.quantize(money.major, rounding=ROUND_HALF_EVEN)
    if at_currency == share:
        return f"{at_currency:f}"
    return f"{share.quantize(_UNIT_PLACES, rounding=ROUND_HALF_EVEN).normalize():f}"


def number(value: Decimal) -> str:
    """A quantity without trailing zeros: "2", "12.345"."""
    return f"{value.normalize():f}" if value else "0"


def moment(value: datetime | None) -> str | None:
    """A datetime property: ISO 8601 in UTC with milliseconds."""
    if value is None:
        return None
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def flag(value: bool | None) -> str | None:
    """A boolean property."""
    return None if value is None else str(value).lower()


def shape(
    values: Values, facts: Values, mapping: MappedContact | MappedOrder | MappedLine, *, clear: bool
) -> dict[str, str]:
    """The properties to send: renamed, with the wanted facts and the constants.

    What has no value is not sent; with `clear` it is sent empty, which empties the property.
    """
    chosen = {mapping.rename.get(name, name): value for name, value in values.items() if name not in mapping.leave_out}
    chosen |= {prop: facts.get(fact) for fact, prop in mapping.facts.items()}
    empty = "" if clear else None
    sent = {name: value or empty for name, value in chosen.items()}
    return {name: value for name, value in sent.items() if value is not None} | dict(mapping.constants)
