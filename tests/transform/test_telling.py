"""What is told of what a snapshot shows: each thing once, changes as amendments, nothing out of date."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from libs.canonical.customer import CustomerErased
from libs.canonical.event import AnyEvent, Event, sale_completed, sale_voided, state_changed
from libs.canonical.kinds import Kind
from libs.canonical.sale import Amendment, CustomerRef, Sale, Voided
from services.transform.telling import Told, judge, key_of, keys_needed
from tests.system.sales import ACCOUNT, NOON, customer, refund, sale, usd


class Teller:
    """Judges events one after the other and remembers as the transform service does."""

    def __init__(self) -> None:
        self.memory: dict[tuple[str, str, str], Told] = {}

    def tell(self, event: AnyEvent) -> AnyEvent | None:
        """What is written of this event; the memory goes through JSON as in the database."""
        known = {key: self.memory[key] for key in keys_needed(event) if key in self.memory}
        written, memory = judge(event, known)
        if memory is not None:
            stored = json.loads(json.dumps(memory.sale)) if memory.sale else None
            self.memory[key_of(event)] = Told(
                memory.event_id, memory.content_hash, memory.version, memory.ordinal, stored
            )
        return written


def tipped(tip: int, version: int) -> Event[Sale]:
    """The sale after somebody set its tip; the vendor raised the version."""
    plain = sale(1).data
    tender = plain.tenders[0].model_copy(update={"amount": usd(1080 + tip), "tip": usd(tip)})
    data = plain.model_copy(update={"tip": usd(tip), "tenders": (tender,), "total": usd(1080 + tip)})
    return sale_completed(ACCOUNT, data, recorded_at=NOON + timedelta(minutes=version), version=version)


def void(version: int = 9) -> Event[Voided]:
    """The sale cancelled whole."""
    data = Voided(
        sale_id="order-1", location_id="L1", currency="USD", voided_at=NOON, business_day=NOON.date(), timezone="UTC"
    )
    return sale_voided(ACCOUNT, data, recorded_at=NOON, version=version)


@pytest.fixture
def teller() -> Teller:
    """One that knows nothing yet."""
    return Teller()


def test_a_sale_is_told_once(teller: Teller) -> None:
    """Seen again by poll, backfill or another notification: nothing."""
    first = sale(1)
    assert teller.tell(first) is first
    assert [teller.tell(first) for _ in range(3)] == [None, None, None]
    assert teller.tell(sale(2)) is not None


def test_an_update_that_moves_no_money_is_nothing_but_is_remembered_as_newer(teller: Teller) -> None:
    """A fee arrives, a note is written: no event; the older picture cannot come back as an amendment."""
    teller.tell(tipped(0, 1))
    noted = tipped(0, 5)
    assert teller.tell(noted.model_copy(update={"data": noted.data.model_copy(update={"note": "x"})})) is None
    assert teller.memory[key_of(noted)].version == 5
    assert teller.tell(tipped(100, 4)) is None, "older than what was seen"


def test_a_changed_tip_is_an_amendment_with_before_and_after(teller: Teller) -> None:
    """It has an id of its own, the sale's key, and shows what the sale was and is."""
    first = tipped(0, 1)
    teller.tell(first)
    amended = teller.tell(tipped(200, 2))
    assert amended is not None
    assert isinstance(amended.data, Amendment)
    assert (amended.kind, amended.order_key, amended.version) == (Kind.SALE_AMENDED, first.order_key, 2)
    assert (amended.data.before.tip, amended.data.sale.tip) == (usd(0), usd(200))
    assert amended.id != first.id
    assert teller.tell(tipped(200, 2)) is None
    assert teller.tell(tipped(200, 3)) is None


def test_back_and_forth_is_one_amendment_each(teller: Teller) -> None:
    """Tip A, B, A, B: three amendments with three ids, each starting where the one before ended."""
    teller.tell(tipped(0, 1))
    told = [teller.tell(tipped(tip, version)) for tip, version in ((200, 2), (0, 3), (200, 4))]
    amendments = [event.data for event in told if event is not None and isinstance(event.data, Amendment)]
    assert [(a.before.tip.minor, a.sale.tip.minor) for a in amendments] == [(0, 200), (200, 0), (0, 200)]
    assert len({event.id for event in told if event is not None}) == 3


def test_an_amendment_written_twice_after_a_crash_is_the_same_event(teller: Teller) -> None:
    """Nothing was remembered: the second run writes the same id."""
    teller.tell(tipped(0, 1))
    memory = dict(teller.memory)
    once = teller.tell(tipped(200, 2))
    teller.memory = memory
    again = teller.tell(tipped(200, 2))
    assert once == again
    assert once is not None


def test_an_older_picture_that_comes_late_is_nothing(teller: Teller) -> None:
    """Vendors deliver unordered; versions restore the order."""
    teller.tell(tipped(200, 2))
    assert teller.tell(tipped(0, 1)) is None
    assert teller.memory[key_of(sale(1))].version == 2
    assert teller.tell(tipped(200, 2)) is None


def test_a_void_needs_a_sale_that_was_told(teller: Teller) -> None:
    """An order cancelled before it was paid never was a sale to us."""
    assert teller.tell(void()) is None
    assert teller.memory == {}


def test_a_void_and_a_refund_are_told_once(teller: Teller) -> None:
    """Whatever version shows them again."""
    teller.tell(sale(1))
    assert teller.tell(void(3)) is not None
    assert teller.tell(void(3)) is None
    assert teller.tell(void(4)) is None
    back = refund(1)
    assert teller.tell(back) is back
    assert teller.tell(back.model_copy(update={"version": 99})) is None
    assert teller.tell(refund(2)) is not None


def test_a_refund_does_not_need_its_sale(teller: Teller) -> None:
    """The sale may be older than our start; each target decides about orphans."""
    assert teller.tell(refund(7)) is not None


def test_a_state_that_did_not_change_is_nothing(teller: Teller) -> None:
    """The vendor raises the version for fields that we do not carry."""
    assert teller.tell(customer("c1", 1)) is not None
    assert teller.tell(customer("c1", 1)) is None
    assert teller.tell(customer("c1", 2)) is None
    assert teller.memory[key_of(customer("c1", 1))].version == 2
    assert teller.tell(customer("c1", 1, given_name="Eva")) is None, "older than what was seen"
    assert teller.tell(customer("c1", 3, given_name="Eva")) is not None


def test_a_state_that_goes_back_is_three_events(teller: Teller) -> None:
    """A, B, A: with the vendor's version, and without one by the vendor's time."""
    told = [teller.tell(customer("c1", n, given_name=name)) for n, name in enumerate(("Ana", "Eva", "Ana"), start=1)]
    assert len({event.id for event in told if event}) == 3
    timed = []
    for n, name in enumerate(("Ana", "Eva", "Ana")):
        data = customer("c2", 1, given_name=name).data.model_copy(update={"updated_at": NOON + timedelta(seconds=n)})
        timed.append(teller.tell(state_changed(ACCOUNT, Kind.CUSTOMER_CHANGED, data)))
    assert len({event.id for event in timed if event}) == 3


def test_two_contents_of_one_moment_are_both_told(teller: Teller) -> None:
    """A vendor time in whole seconds does not make the second change of a second disappear."""
    pictures = [customer("c1", 1, given_name=name).data for name in ("Ana", "Eva")]
    told = [teller.tell(state_changed(ACCOUNT, Kind.CUSTOMER_CHANGED, data)) for data in pictures]
    assert None not in told


def test_an_erased_customer_is_told_once(teller: Teller) -> None:
    """A second notice of the same erasure is nothing."""
    teller.tell(customer("c1", 4))
    gone = state_changed(ACCOUNT, Kind.CUSTOMER_ERASED, CustomerErased(id="c1", erased_at=NOON, on_request=True))
    assert teller.tell(gone) is gone
    assert teller.tell(gone) is None
    later = CustomerErased(id="c1", erased_at=NOON + timedelta(days=1), on_request=True)
    assert teller.tell(state_changed(ACCOUNT, Kind.CUSTOMER_ERASED, later)) is None


def test_accounts_and_objects_do_not_mix(teller: Teller) -> None:
    """The same number at another account is another sale."""
    teller.tell(sale(1))
    other = ACCOUNT.model_copy(update={"id": "ML2"})
    assert teller.tell(sale_completed(other, sale(1).data, recorded_at=NOON, version=1)) is not None


PERSON = {"given_name": "Ana-Sofia", "family_name": "Ruiz-Vega", "email": "ana@example.org", "phone": "+34600111222"}


def _with_person(event: Event[Sale]) -> Event[Sale]:
    line = event.data.lines[0].model_copy(update={"note": f"engrave {PERSON['given_name']}"})
    data = event.data.model_copy(
        update={"customer": CustomerRef(id="c1", **PERSON), "note": f"for {PERSON['family_name']}", "lines": (line,)}
    )
    return event.model_copy(update={"data": data})


@pytest.mark.parametrize("amend", [False, True])
def test_no_person_is_remembered(teller: Teller, amend: bool) -> None:
    """What is kept of a sale for the next comparison holds nobody: not as customer, not in a note."""
    told: list[Any] = [teller.tell(_with_person(tipped(0, 1)))]
    if amend:
        told.append(teller.tell(_with_person(tipped(100, 2))))
    kept = repr(teller.memory)
    assert [word for word in PERSON.values() if word in kept] == []
    assert teller.memory[key_of(sale(1))].sale is not None
    assert PERSON["email"] in told[-1].model_dump_json(), "the event itself says who bought"
