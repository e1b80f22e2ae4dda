"""Money is exact: what goes in comes out, parts add up, and nothing inexact gets in."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from libs.canonical.money import Money, MoneyError, apportion, exponent, times, total

CURRENCIES = st.sampled_from(("JPY", "USD", "KWD"))


@given(st.integers(-(10**15), 10**15), CURRENCIES)
def test_major_and_parse_are_inverse(minor: int, currency: str) -> None:
    """Any amount written in major units is read back as itself, with the currency's own decimals."""
    amount = Money(minor=minor, currency=currency)
    assert Money.parse(amount.major, currency) == amount
    assert Money.parse(str(amount.major), currency) == amount
    assert -int(amount.major.as_tuple().exponent) == exponent(currency)


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("12.40", "USD", 1240), ("12.4", "USD", 1240), ("-0.01", "USD", -1), ("12.400", "USD", 1240),
        ("1200", "JPY", 1200), ("1200.0", "JPY", 1200), ("1.234", "KWD", 1234), (7, "EUR", 700), ("1e2", "USD", 10000),
    ],
)  # fmt: skip
def test_amounts_as_vendors_write_them(text: str | int, currency: str, minor: int) -> None:
    """Trailing zeros are no decimals; the exponent is the currency's."""
    assert Money.parse(text, currency) == Money(minor=minor, currency=currency)


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        (12.4, "USD"), (12.0, "USD"), (True, "USD"), ("12.405", "USD"), ("1200.5", "JPY"), ("1.2345", "KWD"),
        ("", "USD"), ("twelve", "USD"), ("12,40", "USD"), ("NaN", "USD"), ("sNaN", "USD"), ("Infinity", "USD"),
        ("-Infinity", "USD"), ("1e999999", "USD"), ("1e-999999", "USD"), (None, "USD"),
        ("1.00000000000000000000000000000000001", "USD"), ("123456789012345678901234567890.125", "USD"),
    ],
)  # fmt: skip
def test_what_is_no_exact_amount_is_refused(amount: Any, currency: str) -> None:
    """A float, text that is no number, or more decimals than the currency has: an error, never a rounded amount."""
    with pytest.raises(MoneyError):
        Money.parse(amount, currency)


@pytest.mark.parametrize("minor", [12.0, 12.5, "12", True, Decimal("1.5"), None])
def test_minor_units_are_integers(minor: Any) -> None:
    """A float that happens to be whole is still a float: whoever has one has lost exactness before."""
    with pytest.raises(ValidationError):
        Money(minor=minor, currency="USD")


@pytest.mark.parametrize("currency", ["usd", "US", "USDT", "", "U$D"])
def test_currencies_are_iso_codes(currency: str) -> None:
    """Three capital letters."""
    with pytest.raises(ValidationError):
        Money(minor=1, currency=currency)


def test_currencies_are_never_mixed() -> None:
    """No sum and no difference of two currencies: no rate is ours to choose."""
    usd, eur = Money(minor=1, currency="USD"), Money(minor=1, currency="EUR")
    with pytest.raises(MoneyError):
        _ = usd + eur
    with pytest.raises(MoneyError):
        _ = usd - eur
    with pytest.raises(MoneyError):
        total([eur], "USD")


def test_shown_with_the_decimals_of_the_currency() -> None:
    """As people read it."""
    shown = [str(Money(minor=1240, currency=c)) for c in ("USD", "JPY", "KWD")]
    assert shown == ["12.40 USD", "1240 JPY", "1.240 KWD"]


@given(st.integers(-(10**9), 10**9), st.lists(st.integers(0, 10**6), min_size=1, max_size=12))
def test_apportioned_parts_add_up_and_are_fair(minor: int, weights: list[int]) -> None:
    """The parts make the whole to the unit; each is within one unit of its exact share and has its sign."""
    parts = apportion(Money(minor=minor, currency="USD"), weights)
    assert len(parts) == len(weights)
    assert sum(part.minor for part in parts) == minor
    if sum(weights):
        for part, weight in zip(parts, weights, strict=True):
            assert abs(part.minor * sum(weights) - minor * weight) < sum(weights)
            assert part.minor * minor >= 0


def test_apportioning_over_nothing() -> None:
    """Weights of zero: all on the first part. No parts: only zero can be spread."""
    five = Money(minor=5, currency="USD")
    assert [p.minor for p in apportion(five, [0, 0])] == [5, 0]
    assert apportion(Money.zero("USD"), []) == ()
    with pytest.raises(MoneyError):
        apportion(five, [])


@pytest.mark.parametrize(
    ("unit", "quantity", "minor"),
    [(189, "12.345", 2333), (5, "0.5", 2), (15, "0.5", 8), (-5, "0.5", -2), (199, "0", 0), (199, "-1", -199)],
)
def test_price_times_quantity_rounds_half_to_even(unit: int, quantity: str, minor: int) -> None:
    """12.345 litres at 1.89 are 23.33205: 23.33."""
    assert times(Money(minor=unit, currency="USD"), Decimal(quantity)).minor == minor
