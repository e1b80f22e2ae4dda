"""Figures as text: exact where they divide, six decimals where they do not, never an exponent."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.canonical.money import Money, times
from libs.connectors.hubspot.config import MappedOrder
from libs.connectors.hubspot.properties import amount, moment, number, per_unit, shape


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [(1240, "EUR", "12.40"), (1240, "JPY", "1240"), (1240, "KWD", "1.240"), (0, "EUR", "0.00"), (-5, "EUR", "-0.05")],
)
def test_amounts_have_their_currencys_decimals(minor: int, currency: str, text: str) -> None:
    assert amount(Money(minor=minor, currency=currency)) == text


@pytest.mark.parametrize(
    ("minor", "quantity", "text"),
    [(1000, "3", "3.333333"), (1000, "4", "2.50"), (250, "2.5", "1.00"), (100, "8", "0.125"), (-250, "2", "-1.25")],
)
def test_the_share_of_one(minor: int, quantity: str, text: str) -> None:
    assert per_unit(Money(minor=minor, currency="EUR"), Decimal(quantity)) == text


@given(
    minor=st.integers(0, 10**9),
    quantity=st.decimals("0.001", "1000", places=3),
    currency=st.sampled_from(["EUR", "JPY", "KWD"]),
)
def test_a_share_times_the_quantity_misses_by_rounding_only(minor: int, quantity: Decimal, currency: str) -> None:
    whole = Money(minor=minor, currency=currency)
    again = Decimal(per_unit(whole, quantity)) * quantity
    assert abs(again - whole.major) <= Decimal("0.0000005") * quantity


@given(quantity=st.decimals(0, 10**7, places=4), minor=st.integers(0, 10**7))
def test_quantities_and_amounts_are_plain_numbers(quantity: Decimal, minor: int) -> None:
    assert Decimal(number(quantity)) == quantity
    assert "E" not in number(quantity)
    assert Decimal(amount(times(Money(minor=minor, currency="EUR"), Decimal(1)))) * 100 == minor


def test_moments_are_utc() -> None:
    assert moment(datetime(2026, 3, 2, 12, 0, tzinfo=timezone(timedelta(hours=2)))) == "2026-03-02T10:00:00.000Z"
    assert moment(None) is None


def test_a_rename_a_constant_and_what_is_left_out() -> None:
    mapping = MappedOrder(
        rename={"a": "b"}, leave_out=("c",), constants={"d": "till"}, facts={"tip": "pos_tip", "note": "pos_note"}
    )
    values, facts = {"a": "1", "c": "2", "e": None}, {"tip": "3.00", "note": None}
    assert shape(values, facts, mapping, clear=False) == {"b": "1", "d": "till", "pos_tip": "3.00"}
    assert shape(values, facts, mapping, clear=True) == {
        "b": "1",
        "d": "till",
        "pos_tip": "3.00",
        "e": "",
        "pos_note": "",
    }
