"""What each event enters into the books, and what a closed day makes of the entries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest

from libs.canonical.day import DayClosed, DayLine, merge, paid_for, paid_with
from libs.canonical.event import AnyEvent, Event, sale_amended, sale_completed, sale_voided
from libs.canonical.sale import Sale, Voided
from services.projections.books.closing import Day, summarise
from services.projections.books.entries import BookEntry, Standing, enter, lines_as_json, lines_from_json
from tests.system.sales import ACCOUNT, NOON, customer, refund, sale, usd

TODAY, TOMORROW = date(2026, 11, 18), date(2026, 11, 19)
DAY = Day("square:ML1", "L1", TODAY, "USD", "UTC")


def _figures(lines: Sequence[DayLine]) -> dict[str, int]:
    return {f"{line.component}:{line.group}".rstrip(":"): line.amount.minor for line in lines}


SOLD = {"gross_sales": 1000, "tax:Sales tax @ 0.08": 80, "tender:card": 1080}
BACK = {"returns": -1000, "tax:Sales tax @ 0.08": -80, "tender:card": -1080}


def _changed(event: Event[Sale], **change: Any) -> Event[Sale]:
    return sale_completed(ACCOUNT, event.data.model_copy(update=change), recorded_at=NOON, version=2)


def _tipped(event: Event[Sale], tip: int) -> Event[Sale]:
    tender = event.data.tenders[0].model_copy(update={"amount": usd(1080 + tip), "tip": usd(tip)})
    return _changed(event, tip=usd(tip), tenders=(tender,), total=usd(1080 + tip))


def _wrong(number: int) -> Event[Sale]:
    """A sale of which the vendor says that a cent more was paid than bought."""
    event = sale(number)
    return _changed(event, tenders=(event.data.tenders[0].model_copy(update={"amount": usd(1081)}),), total=usd(1081))


def _void(number: int) -> AnyEvent:
    data = Voided(
        sale_id=f"order-{number}", location_id="L1", currency="USD", voided_at=NOON, business_day=TOMORROW,
        timezone="UTC",
    )  # fmt: skip
    return sale_voided(ACCOUNT, data, recorded_at=NOON, version=3)


def _book(*events: AnyEvent) -> list[BookEntry]:
    """Entries of events in order, as the bookkeeper makes them."""
    standings: dict[str, Standing] = {}
    entries = []
    for event in events:
        entry, standing = enter(event, standings.get(event.order_key))
        entries.append(entry)
        if standing is not None:
            standings[event.order_key] = standing
    return entries


def _rows(entries: Sequence[BookEntry]) -> list[dict[str, Any]]:
    return [
        {
            "event_id": e.event.id, "entity_id": e.event.entity_id, "lines": lines_as_json(e.lines),
            "difference": e.difference, "reason": e.reason, "sales": e.sales, "refunds": e.refunds,
        }
        for e in entries
    ]  # fmt: skip


def _closed(*entries: BookEntry, revision: int = 1) -> DayClosed:
    return summarise(DAY, revision, _rows(entries), NOON, "clock")


def test_a_sale_stands_on_its_day() -> None:
    """Its figures, counted once, adding up."""
    [entry] = _book(sale(1))
    assert (entry.business_day, entry.location_id, entry.sales, entry.refunds) == (TODAY, "L1", 1, 0)
    assert _figures(entry.lines) == SOLD
    assert (entry.difference, entry.reason) == (0, None)


def test_an_amendment_enters_the_change_alone_on_the_day_of_the_sale() -> None:
    """Two dollars of tip: two of tips, two of tender, no further sale; the day does not move with a later picture."""
    later = _changed(_tipped(sale(1), 200), business_day=TOMORROW)
    amendment = sale_amended(later, sale(1).data, 1)
    _, entry = _book(sale(1), amendment)
    assert _figures(entry.lines) == {"tips": 200, "tender:card": 200}
    assert (entry.business_day, entry.sales, entry.difference) == (TODAY, 0, 0)


def test_an_amendment_of_a_sale_never_seen_uses_what_it_says_was_before() -> None:
    """The sale is older than our start: the change alone is ours."""
    [entry] = _book(sale_amended(_tipped(sale(1), 200), sale(1).data, 1))
    assert _figures(entry.lines) == {"tips": 200, "tender:card": 200}


def test_amendments_add_up_to_the_last_picture() -> None:
    """Back and forth: the sum of all entries is the sale as it stands."""
    steps = [(_tipped(sale(1), b), _tipped(sale(1), a).data) for a, b in ((0, 200), (200, 50), (50, 75))]
    entries = _book(sale(1), *(sale_amended(now, before, n) for n, (now, before) in enumerate(steps, start=1)))
    assert merge(line for entry in entries for line in entry.lines) == _book(_tipped(sale(1), 75))[0].lines


def test_a_void_takes_back_everything_on_the_day_of_the_sale() -> None:
    """Amendments too: nothing of it is left, and it is no sale any more."""
    entries = _book(sale(1), sale_amended(_tipped(sale(1), 200), sale(1).data, 1), _void(1))
    assert merge(line for entry in entries for line in entry.lines) == ()
    assert sum(entry.sales for entry in entries) == 0
    assert {entry.business_day for entry in entries} == {TODAY}


def test_a_void_of_a_sale_the_books_never_had_enters_nothing() -> None:
    """No figures, no sale less."""
    [entry] = _book(_void(1))
    assert (entry.lines, entry.sales, entry.difference) == ((), 0, 0)


def test_a_refund_stands_on_its_own_day() -> None:
    """And changes nothing of what the books hold of the sale: an amendment after it is still the change alone."""
    back = refund(1)
    next_day = back.model_copy(update={"data": back.data.model_copy(update={"business_day": TOMORROW})})
    entries = _book(sale(1), next_day, sale_amended(_tipped(sale(1), 200), sale(1).data, 1))
    assert (entries[1].business_day, entries[1].sales, entries[1].refunds) == (TOMORROW, 0, 1)
    assert _figures(entries[1].lines) == BACK
    assert _figures(entries[2].lines) == {"tips": 200, "tender:card": 200}


def test_a_sale_that_does_not_add_up_says_by_how_much_and_why() -> None:
    """Paid a cent more than bought: plus one, in words."""
    [entry] = _book(_wrong(1))
    assert entry.difference == 1
    assert entry.reason == "total: stated 10.81 USD, its parts make 10.80 USD"


def test_what_is_no_sale_is_not_booked() -> None:
    """A caller's mistake is loud."""
    with pytest.raises(TypeError, match=r"customer\.changed"):
        enter(customer("c1", 1), None)


def test_lines_survive_being_stored() -> None:
    """As JSON and back."""
    [entry] = _book(sale(1))
    assert lines_from_json(lines_as_json(entry.lines)) == entry.lines


def test_a_closed_day_is_the_sum_of_its_members() -> None:
    """Two sales and a refund: figures, counts, members."""
    entries = _book(sale(1), sale(2), refund(1))
    day = _closed(*entries)
    assert _figures(day.lines) == {
        "gross_sales": 2000, "returns": -1000, "tax:Sales tax @ 0.08": 80, "tender:card": 1080,
    }  # fmt: skip
    assert (day.sales, day.refunds, day.revision, day.closed_by) == (2, 1, 1, "clock")
    assert day.members == tuple(entry.event.id for entry in entries)
    assert (day.location_id, day.business_day, day.currency, day.timezone) == ("L1", TODAY, "USD", "UTC")
    assert paid_for(day.lines, "USD") == paid_with(day.lines, "USD")


def test_what_does_not_add_up_stands_apart() -> None:
    """Its figures are not among the day's, so those add up; it brings its own, and is still counted as a sale."""
    good, bad = _book(sale(1), _wrong(2))
    day = _closed(good, bad)
    assert _figures(day.lines) == SOLD
    assert day.members == (good.event.id,)
    [flagged] = day.flagged
    assert (flagged.event_id, flagged.entity_id, flagged.difference) == (bad.event.id, "order-2", usd(1))
    assert flagged.lines == bad.lines
    assert "stated 10.81 USD" in flagged.reason
    assert day.sales == 2


def test_a_wrong_sale_that_is_corrected_leaves_both_flagged_and_nothing_in_sum() -> None:
    """The correction alone does not add up either; together with what it corrects it does."""
    wrong, corrected = _book(_wrong(1), sale_amended(sale(1), _wrong(1).data, 1))
    day = _closed(wrong, corrected)
    assert [member.difference.minor for member in day.flagged] == [1, -1]
    assert all(member.reason for member in day.flagged)
    assert _figures(merge(line for member in day.flagged for line in member.lines)) == SOLD


def test_a_second_revision_holds_only_what_came_later() -> None:
    """Also when all of it is a change of what the first one had."""
    _, amendment = _book(sale(1), sale_amended(_tipped(sale(1), 200), sale(1).data, 1))
    day = _closed(amendment, revision=2)
    assert (day.revision, day.sales, day.members) == (2, 0, (amendment.event.id,))
    assert _figures(day.lines) == {"tips": 200, "tender:card": 200}


def test_a_day_with_more_returns_than_sales_is_negative() -> None:
    """Figures below zero, adding up."""
    day = _closed(*_book(refund(1), refund(2)))
    assert _figures(day.lines) == {name: 2 * amount for name, amount in BACK.items()}
    assert paid_with(day.lines, "USD") == paid_for(day.lines, "USD") == usd(-2160)


def test_a_sale_and_its_refund_on_one_day_leave_gross_and_returns() -> None:
    """Tax and tender come to nothing and are no lines."""
    assert _figures(_closed(*_book(sale(1), refund(1))).lines) == {"gross_sales": 1000, "returns": -1000}
