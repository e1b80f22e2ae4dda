"""A card number planted anywhere never survives; ids do; the cut is final, and total on arbitrary JSON."""

from __future__ import annotations

import base64
import json
import unicodedata
from typing import Any
from urllib.parse import quote

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from libs.runtime.carddata import TooDeep, cut, cut_text
from libs.runtime.carddata.fields import field_names
from libs.runtime.carddata.texts import clean, is_harmless

NAMES = field_names(frozenset(), frozenset())
QUICK = settings(max_examples=150, deadline=None)
ISSUERS = (
    *(("4", length) for length in (13, 16, 19)),
    *((prefix, 16) for prefix in ("51", "2221", "6011", "3528", "62", "2200")),
    *(("34", 15), ("36", 14), ("62", 19), ("676", 18), ("50", 12)),
)


@st.composite
def card_numbers(draw: st.DrawFn) -> str:
    """A number of a known scheme with a right check digit. Computed here in another way than there."""
    prefix, length = draw(st.sampled_from(ISSUERS))
    body = prefix + "".join(draw(st.lists(st.sampled_from("0123456789"), min_size=length, max_size=length)))
    body = body[: length - 1]
    total = 0
    for place, digit in enumerate(reversed(body)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return body + str(-total % 10)


def spaced(number: str, separator: str, size: int) -> str:
    return separator.join(number[at : at + size] for at in range(0, len(number), size))


@st.composite
def written(draw: st.DrawFn) -> tuple[str, str]:
    """A card number and one way to write it."""
    number = draw(card_numbers())
    way = draw(
        st.sampled_from(("plain", "spaced", "script", "percent", "base64", "base64url", "track1", "track2", "emv"))
    )
    match way:
        case "spaced":
            separator = draw(st.sampled_from((" ", "-", ".", "\u00a0", "\u2011", " - ", "\u200b", "+", "_")))
            return number, spaced(number, separator, draw(st.integers(1, 6)))
        case "script":
            zero = draw(st.sampled_from("\u0660\u0966\uff10\U0001d7ce"))
            return number, "".join(chr(ord(zero) + int(digit)) for digit in number)
        case "percent":
            return number, "".join(f"%{ord(digit):02x}" for digit in number)
        case "base64":
            return number, base64.b64encode(number.encode()).decode()
        case "base64url":
            return number, base64.urlsafe_b64encode(
                f"{draw(st.text(max_size=9))}\n{number}\n".encode()
            ).decode().rstrip("=")
        case "track1":
            return number, f"%B{number}^DOE/JANE^27121010000000000?"
        case "track2":
            return number, f";{number}=27121010000?"
        case "emv":
            padded = number + "F" * (len(number) % 2)
            return number, f"9F34005A{len(padded) // 2:02X}{padded}5F2403271231"
    return number, number


# What people and programs put beside it: no digits (they would belong to the number), no marks of an encoding.
BESIDE = st.text(st.characters(exclude_categories=("Nd", "Cs"), exclude_characters="%/+-_=^;\\\"'<>:&"), max_size=20)
FREE_FIELDS = st.sampled_from(("note", "name", "value", "message", "title", "custom_attribute", "memo", "number", "a"))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)


def digits_of(document: Any) -> str:
    """Every digit of the document, decoded in no way, in order and in ASCII."""
    text = json.dumps(document, ensure_ascii=False, default=str)
    return "".join(str(unicodedata.decimal(letter)) for letter in text if unicodedata.decimal(letter, None) is not None)


def planted(draw: st.DrawFn, leaf: Any) -> Any:
    """The leaf somewhere in a document."""
    document = leaf
    for _ in range(draw(st.integers(0, 5))):
        if draw(st.booleans()):
            document = [draw(SCALARS), document]
        else:
            document = {
                draw(FREE_FIELDS): document,
                "other": draw(st.text(st.characters(categories=["L"]), max_size=8)),
            }
    return document


@QUICK
@given(st.data(), written(), BESIDE, BESIDE)
def test_a_planted_number_never_survives(
    data: st.DataObject, planted_number: tuple[str, str], left: str, right: str
) -> None:
    number, text = planted_number
    # Beside base64 a letter would be part of the token.
    before = f"{left} " if left else ""
    after = f" {right}" if right else ""
    document = data.draw(st.composite(lambda draw: planted(draw, before + text + after))())
    found = cut(document)
    assert found.findings
    assert number not in digits_of(found.document)
    assert text not in json.dumps(found.document, ensure_ascii=False)
    assert number not in repr(found.findings)
    cleaned = cut_text(before + text + after)
    assert cleaned.findings
    assert text not in cleaned.document


@QUICK
@given(card_numbers(), BESIDE, BESIDE)
def test_letters_beside_it_do_not_hide_it(number: str, left: str, right: str) -> None:
    found = cut({"note": left + number + right})
    assert number not in found.document["note"]


@QUICK
@given(st.data(), card_numbers(), st.sampled_from((int, float, str)))
def test_as_a_number_or_a_name_it_never_survives(data: st.DataObject, number: str, kind: type) -> None:
    assume(kind is not float or len(number) <= 15)
    document = data.draw(
        st.composite(lambda draw: planted(draw, {"memo": kind(number), f"x {number}": [{number: 1}]}))()
    )
    found = cut(document)
    assert number not in digits_of(found.document)
    assert len(found.findings) >= 3


@QUICK
@given(
    card_numbers(), st.sampled_from(("id", "order_id", "line_item_ids", "variantId", "admin_graphql_api_id", "mine"))
)
def test_ids_survive_even_when_they_could_be_card_numbers(number: str, name: str) -> None:
    document = {
        name: number,
        "a": {name: int(number)},
        "b": {name: [number, int(number)]},
        "c": f"gid://shop/Order/{number}",
    }
    assert cut(document, not_cards=["mine"]).document is document


@QUICK
@given(st.data(), DOCUMENTS, st.lists(written(), max_size=3))
def test_what_was_cut_stays_as_it_is(data: st.DataObject, document: Any, numbers: list[tuple[str, str]]) -> None:
    whole = [document, *(data.draw(st.composite(lambda draw, text=text: planted(draw, text))()) for _, text in numbers)]
    once = cut(whole)
    again = cut(once.document)
    assert again.findings == ()
    assert again.document == once.document


@QUICK
@given(DOCUMENTS, st.integers(0, 90))
def test_any_json_is_searched_or_refused_as_too_deep(document: Any, levels: int) -> None:
    for _ in range(levels):
        document = [document]
    try:
        found = cut(document)
    except TooDeep:
        assert levels > 50
        return
    assert (found.document is document) or found.findings
    json.dumps(found.document)


@QUICK
@given(st.text(max_size=120) | st.text("0123456789 -.%=:cvCVB^;?/+MNOx", max_size=60))
def test_the_quick_look_overlooks_nothing(text: str) -> None:
    if is_harmless(text):
        assert clean(text, NAMES).rules == ()
    assert cut_text(cut_text(text).document).findings == ()


@QUICK
@given(card_numbers())
def test_an_address_with_an_encoded_number(number: str) -> None:
    for address in (
        f"https://x.example/pay?card={quote(spaced(number, ' ', 4))}",
        f"https://x.example/{number}/receipt",
    ):
        assert number not in digits_of(cut({"url": address}).document)
