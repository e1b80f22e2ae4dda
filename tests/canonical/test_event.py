"""An event on its way: written, read back by the same and by another version, and refused with the field's name."""

from __future__ import annotations

import json
from datetime import date, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.canonical.catalogue import Price, Product, StockCount
from libs.canonical.customer import Address, Customer, CustomerErased
from libs.canonical.day import Component, DayClosed, DayLine, FlaggedMember
from libs.canonical.event import (
    AnyEvent,
    Event,
    MalformedEvent,
    UnknownKind,
    UnknownSchemaVersion,
    day_closed,
    decode,
    encode,
    kind_of,
    refund_completed,
    sale_amended,
    sale_completed,
    sale_voided,
    state_changed,
)
from libs.canonical.kinds import KINDS, Kind, Nature
from libs.canonical.sale import CustomerRef, Sale, Voided
from tests.canonical.generated_sales import refund_of_everything, sales
from tests.system.sales import ACCOUNT, NOON, refund, sale, usd

PERSONAL = ("Ana-Sofia", "Ruiz-Vega", "ana@example.org", "+34600111222", "Calle Mayor", "1990-05-04")
BUYER = CustomerRef(id="c1", email=PERSONAL[2], phone=PERSONAL[3], given_name=PERSONAL[0], family_name=PERSONAL[1])


def _day() -> DayClosed:
    line = DayLine(component=Component.TAX, group="VAT @ 0.19", amount=usd(5))
    flagged = FlaggedMember(event_id="e2", entity_id="s2", lines=(line,), difference=usd(-5), reason="why")
    return DayClosed(
        location_id="L1", business_day=date(2026, 11, 18), currency="USD", timezone="UTC", revision=2, sales=3,
        refunds=1, lines=(line,), members=("e1",), flagged=(flagged,), closed_at=NOON,
    )  # fmt: skip


def _every_kind() -> dict[Kind, AnyEvent]:
    bought = sale(1, customer=BUYER)
    void = Voided(
        sale_id="order-1", location_id="L1", currency="USD", voided_at=NOON, business_day=NOON.date(), timezone="UTC"
    )
    customer = Customer(
        id="c1", given_name=PERSONAL[0], family_name=PERSONAL[1], email=PERSONAL[2], phone=PERSONAL[3],
        address=Address(lines=(PERSONAL[4],), country="ES"), birthday=date.fromisoformat(PERSONAL[5]),
        note=f"calls herself {PERSONAL[0]}", updated_at=NOON,
    )  # fmt: skip
    stock = StockCount(item_id="v1", sku="S", location_id="L1", quantity=Decimal("-2.5"), counted_at=NOON)
    events: list[Event[Any]] = [
        bought,
        sale_amended(bought, bought.data.model_copy(update={"tip": usd(9)}), 1),
        sale_voided(ACCOUNT, void, recorded_at=NOON, version=3),
        refund(1),
        state_changed(ACCOUNT, Kind.CUSTOMER_CHANGED, customer, vendor_version=4),
        state_changed(ACCOUNT, Kind.CUSTOMER_ERASED, CustomerErased(id="c1", erased_at=NOON, on_request=True)),
        state_changed(ACCOUNT, Kind.PRODUCT_CHANGED, Product(id="v1", sku="S", name="Coffee", updated_at=NOON)),
        state_changed(ACCOUNT, Kind.PRICE_CHANGED, Price(id="v1", sku="S", price=usd(350), updated_at=NOON)),
        state_changed(ACCOUNT, Kind.STOCK_COUNTED, stock),
        day_closed(ACCOUNT, _day()),
    ]
    return {event.kind: event for event in events}


EVENTS = _every_kind()


def _sent(event: AnyEvent) -> tuple[str, bytes, dict[str, str]]:
    key, value, headers = encode(event)
    return key.decode(), value, {name: content.decode() for name, content in headers}


def _with(event: AnyEvent, path: str, new: Any) -> bytes:
    body = json.loads(encode(event)[1])
    place = body
    *parents, last = path.split(".")
    for step in parents:
        place = place[int(step) if step.isdecimal() else step]
    place[last] = new
    return json.dumps(body).encode()


def test_there_is_an_example_of_every_kind() -> None:
    """So that a new kind gets these tests by itself."""
    assert set(EVENTS) == set(Kind)


@pytest.mark.parametrize("kind", Kind)
def test_round_trip(kind: Kind) -> None:
    """What is read is what was written, to the type of its data."""
    event = EVENTS[kind]
    _, value, headers = _sent(event)
    read = decode(kind_of(headers), value)
    assert read == event
    assert type(read.data) is KINDS[kind].model
    assert (read.nature, read.topic) == (KINDS[kind].nature, KINDS[kind].topic)
    assert encode(read)[1] == value


@given(sales())
def test_round_trip_of_any_sale_and_its_refund(generated: Sale) -> None:
    """Every currency, tax and quantity is read back exactly."""
    for event in (
        sale_completed(ACCOUNT, generated, recorded_at=None, version=1),
        refund_completed(ACCOUNT, refund_of_everything(generated), recorded_at=NOON, version=1),
    ):
        assert decode(event.kind, encode(event)[1]) == event


@given(st.timedeltas(timedelta(0), timedelta(days=300)), st.integers(-14, 14))
def test_times_survive_with_their_moment(passed: timedelta, hours: int) -> None:
    """To the microsecond, from any offset."""
    moment = (NOON + passed).astimezone(timezone(timedelta(hours=hours)))
    event = sale(1).model_copy(update={"occurred_at": moment})
    assert decode(event.kind, encode(event)[1]).occurred_at == event.occurred_at


@pytest.mark.parametrize("kind", Kind)
def test_envelope(kind: Kind) -> None:
    """CloudEvents 1.0, binary mode; the key is the order key."""
    event = EVENTS[kind]
    key, value, headers = _sent(event)
    assert key == event.order_key
    assert json.loads(value)["id"] == event.id
    assert headers == {
        "ce_specversion": "1.0",
        "ce_id": event.id,
        "ce_type": f"tillstream.{kind}.v1",
        "ce_source": "/square/ML1",
        "ce_time": event.occurred_at.isoformat(),
        "content-type": "application/json",
    }


@pytest.mark.parametrize("kind", Kind)
def test_no_personal_data_in_key_id_and_headers(kind: Kind) -> None:
    """Keys and headers are kept, shown and logged in places that erasure does not reach."""
    event = EVENTS[kind]
    key, value, headers = _sent(event)
    around = " ".join((key, event.id, *headers.values(), *event.refs))
    assert not [word for word in PERSONAL if word in around]
    if kind in (Kind.CUSTOMER_CHANGED, Kind.SALE_COMPLETED):
        assert PERSONAL[2].encode() in value, "the example does hold what is looked for"


@pytest.mark.parametrize("kind", Kind)
def test_fields_of_a_newer_writer_are_ignored(kind: Kind) -> None:
    """In the envelope and inside the data."""
    event = EVENTS[kind]
    body = json.loads(encode(event)[1])
    body["new_in_v1_7"] = body["data"]["new_in_v1_7"] = {"anything": [1]}
    assert decode(kind, json.dumps(body).encode()) == event


def test_an_unknown_kind_is_told_apart_from_an_unreadable_one() -> None:
    """The first is filtered, the second a dead letter."""
    with pytest.raises(UnknownKind, match=r"^loyalty\.changed$"):
        kind_of({"ce_type": "tillstream.loyalty.changed.v1"})
    unreadable = ("", "sale.completed.v1", "tillstream.sale.completed", "tillstream.sale.completed.vX", "tillstream.v")
    for stated in (*unreadable, "tillstream.sale.completed.v" + "9" * 5000):
        with pytest.raises(MalformedEvent, match=r"^header ce_type is missing or unreadable$"):
            kind_of({"ce_type": stated})
    with pytest.raises(MalformedEvent):
        kind_of({})


def test_a_later_major_version_waits_for_the_upgrade() -> None:
    """Whether the kind is known or not."""
    for kind in ("sale.completed", "loyalty.changed"):
        with pytest.raises(UnknownSchemaVersion, match=rf"^{kind} version 2$"):
            kind_of({"ce_type": f"tillstream.{kind}.v2"})


@pytest.mark.parametrize("value", [None, b""])
def test_a_tombstone_is_no_event(value: bytes | None) -> None:
    """A record without a value says so."""
    with pytest.raises(MalformedEvent, match="tombstone"):
        decode(Kind.SALE_COMPLETED, value)


SECRET = "ana-was-here@example.org"


@pytest.mark.parametrize(
    ("path", "wrong", "named"),
    [
        ("data.total.minor", SECRET, "data.total.minor"),
        ("data.total.minor", 10.5, "data.total.minor"),
        ("data.total.currency", SECRET, "data.total.currency"),
        ("data.lines.0.quantity", SECRET, "data.lines.0.quantity"),
        ("data.customer", SECRET, "data.customer"),
        ("data.customer.id", [SECRET], "data.customer.id"),
        ("data.tenders.0.type", SECRET, "data.tenders.0.type"),
        ("occurred_at", SECRET, "occurred_at"),
        ("occurred_at", "2026-11-18T12:00:00", "occurred_at"),
        ("account.vendor", SECRET, "account.vendor"),
        ("kind", SECRET, "kind"),
        ("version", SECRET, "version"),
        ("data", SECRET, "data"),
    ],
)
def test_a_malformed_event_names_the_field_and_not_the_value(path: str, wrong: Any, named: str) -> None:
    """The reason of a dead letter is read by many and kept long."""
    with pytest.raises(MalformedEvent) as caught:
        decode(Kind.SALE_COMPLETED, _with(EVENTS[Kind.SALE_COMPLETED], path, wrong))
    assert str(caught.value).startswith(f"{named}: ")
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__, "nor does its traceback show it"


@pytest.mark.parametrize("value", [b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"{}", b'{"id": NaN}'])
def test_bytes_that_are_no_event(value: bytes) -> None:
    """One exception for all of them."""
    with pytest.raises(MalformedEvent):
        decode(Kind.SALE_COMPLETED, value)


def test_header_and_body_must_agree() -> None:
    """A void under the header of a sale is neither."""
    event = sale(1).model_copy(update={"kind": Kind.SALE_VOIDED})
    with pytest.raises(MalformedEvent, match="disagree"):
        decode(Kind.SALE_COMPLETED, encode(event)[1])


def test_versions_order_the_events_of_an_entity() -> None:
    """The vendor's own number where there is one, else the vendor's time; a day's is its revision."""
    assert EVENTS[Kind.CUSTOMER_CHANGED].version == 4
    assert EVENTS[Kind.CUSTOMER_ERASED].version == 1_795_003_200_000_000
    assert EVENTS[Kind.DAY_CLOSED].version == 2


def test_revisions_of_a_day_share_a_key_and_not_an_id() -> None:
    """A later revision never overtakes an earlier one; nor is it taken for it."""
    later = day_closed(ACCOUNT, _day().model_copy(update={"revision": 3}))
    assert later.order_key == EVENTS[Kind.DAY_CLOSED].order_key == "square:ML1:day:L1:2026-11-18:USD"
    assert later.id != EVENTS[Kind.DAY_CLOSED].id


def test_references_by_which_people_look() -> None:
    """Ids, receipt number, payments: each once, none empty."""
    assert sale(1).refs == ("order-1", "R1", "pay-1")
    assert EVENTS[Kind.STOCK_COUNTED].refs == ("v1@L1", "S")


def test_an_amendment_happens_when_it_was_recorded() -> None:
    """It shows before and after, and takes place after the sale."""
    recorded = NOON + timedelta(hours=2)
    now = sale(1).model_copy(update={"recorded_at": recorded, "version": 2})
    amended = sale_amended(now, now.data.model_copy(update={"tip": usd(1)}), 1)
    assert (amended.occurred_at, amended.version, amended.kind) == (recorded, 2, Kind.SALE_AMENDED)
    assert amended.nature is Nature.FACT
    assert (amended.data.before.tip, amended.data.sale.tip) == (usd(1), usd(0))
