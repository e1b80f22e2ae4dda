"""The judge can say no: a lost, a doubled and a swapped event are found, each under its heading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.checker import Evidence, judge
from tests.chaos.standing import Effect, Standing
from tests.chaos.told import Letter, Told, read_event
from tests.system.sales import customer, outgoing, refund, sale

SALE, BACK, ANA = "square:ML1:sale:1", "square:ML1:refund:1", "square:ML1:customer:ana"
TOLD = (
    Told("e1", "sale.completed", SALE, SALE, 1, "1080"),
    Told("e2", "sale.amended", SALE, SALE, 2, "1300"),
    Told("e3", "refund.completed", BACK, SALE, 2, "500"),
    Told("e5", "customer.changed", ANA, ANA, 2, "Ana 2"),
    Told("e4", "customer.changed", ANA, ANA, 1, "Ana 1"),
    Told("e1", "sale.completed", SALE, SALE, 1, "1080"),  # written twice: counts once
)
RECEIPT, GIVEN_BACK = Effect(SALE, "1300", 1001, changes=1), Effect(BACK, "500", 1002, changes=0)
ORDER = Effect(SALE, "1300", 7, refunded="500", refund_shown=True, parts=1)
CONTACT = Effect(ANA, "Ana 2", 8)
BALANCE = {"offered": 5, "delivered": 5, "parked": 0, "dead": 0, "claimed": 0, "waiting": 0, "mismatch": 0}
GOOD = Evidence(
    promised=("e1", "e2", "e3", "e4", "e5"),
    acknowledged=("w1",),
    received=("w1", "w2"),
    rung=(SALE, BACK),
    told=TOLD,
    standings=(Standing("books", False, (RECEIPT, GIVEN_BACK)), Standing("crm", True, (ORDER, CONTACT))),
    letters=(),
    poison=(),
    status={"targets": [{"name": "books", "paused": None, "balance": BALANCE}]},
)


def _books(*effects: Effect) -> Callable[[Evidence], Evidence]:
    return lambda good: replace(good, standings=(replace(good.standings[0], effects=effects), good.standings[1]))


def _crm(*effects: Effect, **more: Any) -> Callable[[Evidence], Evidence]:
    return lambda good: replace(good, standings=(good.standings[0], Standing("crm", True, effects, **more)))


def _status(**more: int) -> Callable[[Evidence], Evidence]:
    target = {"name": "books", "paused": None, "balance": BALANCE | more}
    return lambda good: replace(good, status={"targets": [target]})


def test_all_is_well_when_it_is() -> None:
    """What was told, once, in order: nothing is found. A late older state and a repeated record do no harm."""
    findings = judge(GOOD)
    assert findings.clean, findings.details


@pytest.mark.parametrize(
    ("spoil", "heading", "times"),
    [
        (lambda good: replace(good, told=[event for event in TOLD if event.event_id != "e4"]), "lost", 1),
        (lambda good: replace(good, acknowledged=("w1", "w9")), "lost", 1),
        (lambda good: replace(good, rung=(SALE, "square:ML1:sale:2")), "lost", 1),
        (_books(GIVEN_BACK), "lost", 2),
        (_books(replace(RECEIPT, changes=0, value="1080"), GIVEN_BACK), "lost", 1),
        (_crm(CONTACT, replace(ORDER, refunded="0", refund_shown=False)), "lost", 1),
        (_crm(CONTACT, replace(ORDER, parts=0)), "lost", 1),
        (_crm(ORDER), "lost", 2),
        (_books(RECEIPT, GIVEN_BACK, replace(GIVEN_BACK, made=1003)), "duplicates", 1),
        (_books(replace(RECEIPT, changes=2), GIVEN_BACK), "duplicates", 1),
        (_books(RECEIPT, GIVEN_BACK, Effect("square:ML1:sale:2", "1", 1009, changes=0)), "duplicates", 1),
        (_crm(CONTACT, ORDER, repeated_parts=1), "duplicates", 1),
        (_crm(CONTACT, replace(ORDER, refunded="1000")), "duplicates", 1),
        (_books(replace(RECEIPT, made=1003), GIVEN_BACK), "order", 1),
        (_books(replace(RECEIPT, value="1080"), GIVEN_BACK), "order", 1),
        (_crm(CONTACT, replace(ORDER, value="1080")), "order", 1),
        (_crm(CONTACT, replace(ORDER, refund_shown=False)), "order", 1),
        (_crm(ORDER, replace(CONTACT, value="Ana 1")), "order", 1),
        (lambda good: replace(good, letters=(Letter("books", "e1", "retry", "gone"),)), "dead", 1),
        (_status(mismatch=-2), "mismatches", 2),
        (_status(waiting=1, parked=1), "unsettled", 2),
    ],
)
def test_each_broken_promise_is_found(spoil: Callable[[Evidence], Evidence], heading: str, times: int) -> None:
    """Under its own heading and no other."""
    assert judge(spoil(GOOD)).counts == {heading: times}


def test_poison_may_be_dead_and_parked_but_nothing_else() -> None:
    """A letter of a planted event is no finding; one more than was planted is."""
    letters = (Letter("books", "bad", "poison", "no"),)
    planted = replace(_status(dead=1)(GOOD), letters=letters, poison=("bad",))
    assert judge(planted).clean
    assert judge(replace(planted, letters=(*letters, Letter("books", "e2", "poison", "no")))).counts == {"dead": 1}


def test_events_are_read_as_they_are_written() -> None:
    """The reader of the topics understands what the product's own language writes, and nothing of poison."""
    records = [outgoing(event) for event in (sale(1), refund(1), customer("c1", 3))]
    read = [read_event(record.headers, record.value) for record in records]
    assert [(each.kind, each.thing, each.root, each.value) for each in read if each] == [
        ("sale.completed", "square:ML1:sale:order-1", "square:ML1:sale:order-1", "1080"),
        ("refund.completed", "square:ML1:refund:refund-1", "square:ML1:sale:order-1", "1080"),
        ("customer.changed", "square:ML1:customer:c1", "square:ML1:customer:c1", "Ana"),
    ]
    headers = records[0].headers
    bad = (None, b"{", b"[]", b'{"kind": 7}', b"\xff", b"[" * 100_000)
    assert [read_event(headers, value) for value in bad] == [None] * len(bad)
    assert read_event(records[1].headers, records[0].value) is None, "headers and body disagree"
