"""Names, phones, e-mail addresses and SKUs: read where it is certain, left out where it is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.canonical.normalise import SkuRules, email, names, phone


@pytest.mark.parametrize(
    ("text", "region", "number"),
    [
        ("(415) 555-2671", "US", "+14155552671"), ("+1 415 555 2671", None, "+14155552671"),
        ("030 123456", "DE", "+4930123456"), ("+44 20 7946 0958", "US", "+442079460958"),
        ("415.555.2671 ext. 9", "US", "+14155552671"),
        ("(415) 555-2671", None, None), ("12", "US", None), ("n/a", "US", None), ("", "US", None), (None, "US", None),
        ("030 123456", "XX", None),
    ],
)  # fmt: skip
def test_phone(text: str | None, region: str | None, number: str | None) -> None:
    """E.164; a national number only where its country is known."""
    assert phone(text, region) == number


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (" Ana@Example.ORG ", "Ana@example.org"), ("a.b+c@x.co.uk", "a.b+c@x.co.uk"),
        ("ana@münchen.de", "ana@münchen.de"),
        ("ana@localhost", None), ("ana", None), ("@x.org", None), ("a@b@c.org", None), ("a b@c.org", None),
        ("a@c.org, d@c.org", None), ("Ana <a@c.org>", None), ("", None), (None, None), (f"{'x' * 65}@c.org", None),
    ],
)  # fmt: skip
def test_email(text: str | None, address: str | None) -> None:
    """The local part is the owner's and stays as it is; two addresses are none."""
    assert email(text) == address


@pytest.mark.parametrize(
    ("given_name", "family_name", "single", "expected"),
    [
        (" Ana ", "Ruiz", "ignored", ("Ana", "Ruiz")), ("Ana", None, "Ana Ruiz", ("Ana", None)),
        (None, "", "Ana Ruiz", ("Ana", "Ruiz")), (None, None, "Juan de la Vega", ("Juan", "de la Vega")),
        (None, None, "Dr. Maria Anna Berg Jr.", ("Maria Anna", "Berg")), (None, None, "Ruiz, Ana", ("Ana", "Ruiz")),
        (None, None, "Cher", ("Cher", None)), (None, None, "  ", (None, None)), (None, None, None, (None, None)),
    ],
)  # fmt: skip
def test_names(
    given_name: str | None, family_name: str | None, single: str | None, expected: tuple[str | None, str | None]
) -> None:
    """What the vendor has split stays split; a single string is split by the rules of personal names."""
    assert names(given_name, family_name, single) == expected


def test_sku_rules_in_their_order() -> None:
    """The crosswalk first; leading zeros only of pure numbers; then capitals."""
    rules = SkuRules(crosswalk={"00123": "TEE-RED"}, strip_leading_zeros=True, upper_case=True)
    written = {"00123": "TEE-RED", " 00123 ": "TEE-RED", "00124": "124", "000": "0", "0a1": "0A1", "tee": "TEE"}
    assert {sku: rules.apply(sku) for sku in written} == written
    assert SkuRules().apply("00123") == "00123"


@given(st.none() | st.text(alphabet=" \t", max_size=3))
def test_no_sku_is_none(blank: str | None) -> None:
    """Blank is none, whatever the rules."""
    assert SkuRules(strip_leading_zeros=True, upper_case=True).apply(blank) is None
