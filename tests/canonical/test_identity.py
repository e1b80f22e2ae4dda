"""Ids: the same for the same fact by whatever way it comes, and never the same for two."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from libs.canonical.catalogue import Price, StockCount
from libs.canonical.customer import Customer
from libs.canonical.event import refund_completed, sale_amended, sale_completed, state_changed
from libs.canonical.identity import Account, amendment_id, content_hash, digest, fact_id, state_id
from libs.canonical.kinds import Kind
from tests.canonical.generated_sales import refund_of_everything
from tests.system.sales import ACCOUNT, NOON, refund, sale, usd

LATER = NOON + timedelta(days=3)


def test_a_fact_keeps_its_id_whatever_else_changes() -> None:
    """Version, times, references, customer, note and money are no part of a sale's or refund's id."""
    first = sale(1)
    changed = first.data.model_copy(
        update={"note": "x", "closed_at": LATER, "total": usd(1), "number": "other", "location_id": "L9"}
    )
    again = sale_completed(ACCOUNT, changed, recorded_at=LATER, version=99, refs=("more",))
    assert again.id == first.id
    assert again.order_key == first.order_key
    back = refund(1)
    later = back.data.model_copy(update={"refunded_at": LATER, "reason": "x", "sale_id": None})
    assert refund_completed(ACCOUNT, later, recorded_at=None, version=7).id == back.id


def test_facts_of_other_accounts_kinds_objects_and_ordinals_differ() -> None:
    """Each part of the name counts."""
    other = Account(vendor="square", id="ML2")
    shop = Account(vendor="shopify", id="ML1")
    ids = {
        fact_id(ACCOUNT, "sale.completed", "1"), fact_id(other, "sale.completed", "1"),
        fact_id(shop, "sale.completed", "1"), fact_id(ACCOUNT, "sale.voided", "1"),
        fact_id(ACCOUNT, "sale.completed", "2"), fact_id(ACCOUNT, "sale.completed", "1", 1),
    }  # fmt: skip
    assert len(ids) == 6


def test_ids_are_short_enough_for_every_target() -> None:
    """128 bits in base64url: 22 characters, none of which needs escaping."""
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", sale(1).id)


@given(
    st.lists(st.text(max_size=5) | st.integers(), max_size=4), st.lists(st.text(max_size=5) | st.integers(), max_size=4)
)
def test_parts_are_joined_unambiguously(one: list[Any], other: list[Any]) -> None:
    """Two different lists of parts never make one text: not by moving a boundary, not by quotes, not by type."""
    assume(one != other)
    assert digest(*one) != digest(*other)


@pytest.mark.parametrize(
    ("one", "other"),
    [(("ab", "c"), ("a", "bc")), (('a","b',), ("a", "b")), (("1",), (1,)), ((), ("",)), (("a", ""), ("a",))],
)
def test_boundaries_count(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    """The classic ways in which joined parts collide."""
    assert digest(*one) != digest(*other)


def test_ids_never_change_between_releases() -> None:
    """Recorded once: were they to change, everything ever delivered would be delivered again."""
    assert fact_id(ACCOUNT, "sale.completed", "order-1") == sale(1).id == "gQ-qPeOgDLFjEjNg0oC73g"
    assert amendment_id(ACCOUNT, "order-1", "hash", 1) == "qDA_SMP0VxwafjYzRfJ1NQ"
    assert state_id(ACCOUNT, "customer.changed", "c1", version=3) == "8HYa5__74cNd6u6TpIhIvw"


def _customer(name: str, at: datetime, version: int | None = None) -> str:
    data = Customer(id="c1", given_name=name, updated_at=at)
    return state_changed(ACCOUNT, Kind.CUSTOMER_CHANGED, data, vendor_version=version).id


def test_a_state_with_a_version_is_told_apart_by_it_alone() -> None:
    """Seen again by another way, read at another time, it is the same event; the next version is another."""
    assert _customer("Ana", NOON, 3) == _customer("Ana", LATER, 3)
    assert _customer("Ana", NOON, 3) != _customer("Ana", NOON, 4)


def test_a_state_without_a_version_goes_from_a_to_b_and_back_in_three_events() -> None:
    """Content and the vendor's time together; the same picture seen twice is one event."""
    steps = [_customer("Ana", NOON), _customer("Eva", NOON + timedelta(seconds=1)), _customer("Ana", LATER)]
    assert len(set(steps)) == 3
    assert _customer("Ana", NOON) == steps[0]
    assert _customer("Eva", NOON) != steps[0], "two contents at one moment are two states"
    bare = {state_id(ACCOUNT, "customer.changed", "c1", content={"a": 1}, vendor_time=at) for at in (NOON, LATER)}
    assert len(bare) == 2, "also where the content itself holds no time"


def test_a_state_needs_something_to_tell_its_versions_apart() -> None:
    """Neither version nor content and time: no id."""
    for wrong in ({}, {"content": {"a": 1}}, {"vendor_time": NOON}):
        with pytest.raises(ValueError, match="version"):
            state_id(ACCOUNT, "customer.changed", "c1", **wrong)


def test_stock_and_prices_are_states_of_an_item_at_a_location() -> None:
    """Two locations, two keys: one must not supersede the other."""
    count = {"item_id": "i", "quantity": 5, "counted_at": NOON}
    levels = [state_changed(ACCOUNT, Kind.STOCK_COUNTED, StockCount(location_id=x, **count)) for x in ("L1", "L2")]
    prices = [
        state_changed(ACCOUNT, Kind.PRICE_CHANGED, Price(id="i", location_id=x, price=usd(1), updated_at=NOON))
        for x in ("L1", "L2", None)
    ]
    for events in (levels, prices):
        assert all(a.id != b.id and a.order_key != b.order_key for a, b in combinations(events, 2))


def test_amendments_that_go_back_and_forth_differ() -> None:
    """Tip A, B, A, B: each change has its ordinal, so the second B is not the first."""
    ids = {amendment_id(ACCOUNT, "s", money, n) for n, money in enumerate(("b", "a", "b"), start=1)}
    assert len(ids) == 3
    first = sale(1)
    amended = sale_amended(first, first.data, 1)
    assert amended.order_key == first.order_key
    assert amended.id not in (first.id, sale_amended(first, first.data, 2).id)


def test_a_refund_is_ordered_with_its_sale() -> None:
    """One key for both; a refund nobody can tie to a sale has a key of its own."""
    bought = sale(1)
    assert refund(1).order_key == bought.order_key
    alone = refund_of_everything(bought.data).model_copy(update={"sale_id": None})
    assert refund_completed(ACCOUNT, alone, recorded_at=NOON, version=1).order_key == f"{ACCOUNT}:refund:r1"


@given(st.dictionaries(st.text(max_size=3), st.integers() | st.none() | st.text(max_size=3), max_size=5))
def test_content_does_not_depend_on_the_order_of_fields(content: dict[str, Any]) -> None:
    """A vendor that lists fields in another order has changed nothing."""
    assert content_hash(dict(reversed(content.items()))) == content_hash(content)


@pytest.mark.parametrize(
    ("vendor", "account"), [("Square", "1"), ("", "1"), ("sq:uare", "1"), ("square", ""), ("square", "x" * 129)]
)
def test_accounts_have_a_plain_vendor_and_an_id(vendor: str, account: str) -> None:
    """A colon in the vendor would make keys ambiguous."""
    with pytest.raises(ValidationError):
        Account(vendor=vendor, id=account)


def test_account_reads_as_vendor_and_id() -> None:
    """As it stands in keys."""
    assert str(ACCOUNT) == "square:ML1"
    assert sale(1).order_key == "square:ML1:sale:order-1"
    assert sale(1).occurred_at.tzinfo is UTC
