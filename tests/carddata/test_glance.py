"""The glance overlooks nothing that the search of single values would cut, and spares most documents that search."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.connectors.contract.connector import connector
from libs.runtime.carddata.cutting import MAX_LEVELS, Cut, TooDeep, _Search
from libs.runtime.carddata.fields import field_names
from libs.runtime.carddata.glance import Glance
from tests.carddata.test_nothing_survives import written

MANY = settings(max_examples=1500, deadline=None)
# Searched as a document of one vendor: two fields of its own are cut, one is excused.
MEANINGS = field_names(frozenset({"browser_ip", "receipt"}), frozenset({"version"}))

# Names that decide, that excuse, that only look alike, and any others.
NAMES = st.sampled_from(
    [
        "note",
        "number",
        "card",
        "gift_card",
        "payment_method",
        "cvv",
        "CVC2",
        "card-number",
        "pan",
        "pin",
        "cid",
        "track",
    ]
    + ["track_data", "browser_ip", "receipt", "id", "order_id", "lineItemIds", "paid", "version", "sku", "barcode"]
    + ["phone", "fax", "title", "created_at", "a"]
) | st.text(max_size=12)
# Fragments from which card data, and what is nearly card data, puts itself together.
FRAGMENTS = st.sampled_from(
    ["4111", "1111", "41111111", "4111111111111111", "378282246310005", "5A08", "57134", "D2712", "F", "B", "^", "=",
     "cvv", "CAV2 ", "card security code ", "pin", "track1", ":", ">", "%34", "%", " ", "  ", "-", "\n", "\x00", "\x01",
     "\x1c", "\u00a0", "\u2011", "\u0664", "12", "123", "2026-02-01T12:36", "gid://shopify/Order/", "x", '"', "\\", "/",
     "_", base64.b64encode(b"4111111111111111").decode(), base64.b64encode(b"cvv 123").decode(), "abcdefghijklmnop"]
)  # fmt: skip
TEXTS = st.lists(FRAGMENTS, max_size=7).map("".join) | st.text(max_size=20) | written().map(lambda both: both[1])
NUMBERS = (
    st.integers()
    | st.sampled_from([4111111111111111, -378282246310005, 10**11, 10**11 - 1, 10**70, 123, 5900000000001])
    | st.decimals(allow_nan=True, allow_infinity=True)
    | st.sampled_from([Decimal("4111111111111111.5"), Decimal("4.111111111111111E+15"), Decimal("1E+5000")])
    | st.floats()
    | st.just(4111111111111111.0)
)
DOCUMENTS = st.recursive(
    TEXTS | NUMBERS | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | TEXTS, inner, max_size=5),
    max_leaves=14,
)


class _Blind(Glance):
    """Sees nothing, so that everything is searched."""

    def is_clean(self, document: Any) -> bool:
        """Never said."""
        return False


SEARCH, GLANCE = _Search(MEANINGS), Glance(MEANINGS, MAX_LEVELS - 1)
EVERY_VALUE = _Search(MEANINGS)
EVERY_VALUE._glance = _Blind(MEANINGS, 1)


def _result(search: _Search, document: Any) -> str:
    """Everything that is told of the document, as text: a NaN equals no NaN."""
    try:
        return repr(search.document(document))
    except TooDeep:
        return "too deep"


@MANY
@given(DOCUMENTS)
def test_what_is_clean_at_a_glance_is_clean(document: Any) -> None:
    """Also with the memory of all documents before: the same glance has seen them all."""
    everything = _result(EVERY_VALUE, document)
    if GLANCE.is_clean(document):
        assert everything == repr(Cut(document))
    assert _result(SEARCH, document) == everything


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS, st.integers(0, 70))
def test_depth_is_no_hiding_place(document: Any, levels: int) -> None:
    for _ in range(levels):
        document = {"a": [document]}
    assert _result(SEARCH, document) == _result(EVERY_VALUE, document)


@pytest.mark.parametrize(
    "document",
    [
        {"a": {"note": "%B4111     111111111111^DOE/JANE^2712?"}},
        {"card": {"number": "4111111111111112"}},
        {"number": {"value": "4111111111111112"}},
        {"cvv": 123},
        {"browser_ip": "1.2.3.4"},
        {"browser_ip": False},
        {"4111111111111111": None},
        {"a": ("4111111111111111",)},
        {"paid": 4111111111111111},
        {"a": "\x01 4111111111111111"},
        {"a": ["\u0664\u0661\u0661\u0661" + "1" * 12]},
        [{"rate": Decimal("4111111111111111.00")}],
        "4111111111111111",
    ],
)
def test_what_has_to_be_searched_is_not_called_clean(document: Any) -> None:
    assert not GLANCE.is_clean(document)


@pytest.mark.parametrize("vendor", ["shopify", "square"])
def test_a_plain_order_needs_no_search(vendor: str) -> None:
    """Ids, times, telephone numbers, an empty security code and a short `number` are seen for what they are."""
    source = connector(vendor).source
    assert source is not None
    assert source.manifest.source is not None
    facts = source.manifest.source
    glance = Glance(field_names(frozenset(facts.card_fields), frozenset(facts.not_cards)), MAX_LEVELS - 1)
    order = json.loads(
        """{"id": 5900000000001, "admin_graphql_api_id": "gid://shopify/Order/5900000000001", "number": 1042,
        "created_at": "2026-02-01T12:36:31-05:00", "phone": "+16045550123", "cvv": null, "gift_card": false,
        "note": "Zo\u00eb will fetch it at 12:30", "line_items": [{"variant_id": 44100000000017, "price": "60.00"}]}"""
    )
    for _ in range(2):
        assert glance.is_clean(order)
