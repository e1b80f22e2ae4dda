"""Entering and closing on a real database: each event once, each entry in one revision, one event a revision."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import pytest
import yaml

from libs.canonical.day import DayClosed
from libs.canonical.event import AnyEvent, Event, sale_amended, sale_completed
from libs.canonical.event import decode as decode_event
from libs.canonical.kinds import Kind
from libs.canonical.money import Money
from libs.canonical.sale import Sale
from libs.runtime.business_clock import set_business_clock
from libs.runtime.configuration.model import BooksSettings
from libs.runtime.configuration.reading import parse_configuration
from libs.runtime.kafka.records import Partition, Record
from libs.runtime.kafka.writer import KafkaAway, Outgoing, Writer
from services.projections.books.bookkeeping import Bookkeeper
from services.projections.books.closing import Closer
from tests.system.configuration import configuration
from tests.system.sales import ACCOUNT, NOON, customer, outgoing, refund, sale

SETTINGS = BooksSettings(grace_seconds=7200, revision_every_seconds=3600)
DAY = date(2026, 11, 18)
CLOSE = datetime(2026, 11, 19, 2, tzinfo=UTC)  # midnight and two hours of grace


@dataclass
class Kafka:
    """Stands in for the writer: keeps what it is given, and fails before or after keeping it."""

    records: list[Outgoing] = field(default_factory=list)
    away: str = ""

    async def send_all(self, records: Sequence[Outgoing], *, within: float = 30.0) -> list[Any]:
        """Keep them, unless Kafka is away."""
        if self.away == "before":
            raise KafkaAway("not confirmed")
        self.records += records
        if self.away == "after":
            raise KafkaAway("not confirmed")
        return [None] * len(records)

    @property
    def days(self) -> list[DayClosed]:
        """The closed days among them."""
        events = [decode_event(Kind.DAY_CLOSED, record.value) for record in self.records]
        return [cast("DayClosed", event.data) for event in events]

    @property
    def ids(self) -> list[str]:
        """The event ids in their headers."""
        return [dict(record.headers)["ce_id"].decode() for record in self.records]


@dataclass
class Books:
    """A bookkeeper and a closer on one database, with a clock that the test sets."""

    pool: Any
    keeper: Bookkeeper
    kafka: Kafka

    def closer(self) -> Closer:
        """A closer, as another process would have one."""
        return Closer(SETTINGS, self.pool, cast("Writer", self.kafka))

    async def enter(self, *events: AnyEvent) -> None:
        """Enter events as one batch of records."""
        await self.keeper.enter([_record(event) for event in events])

    async def at(self, moment: datetime) -> None:
        """It is that time now: close what is due."""
        await set_business_clock(self.pool, moment, 0)
        await self.closer().tick()

    async def closes(self) -> list[tuple[date, int]]:
        """Days and revisions closed, in order."""
        rows = await self.pool.fetch("select business_day, revision from day_close order by 1, 2")
        return [(row["business_day"], row["revision"]) for row in rows]


def _record(event: AnyEvent) -> Record:
    message = outgoing(event)
    return Record(Partition(message.topic, 0), 0, message.key, message.value, tuple(message.headers), 0)


@pytest.fixture
async def books(pool: Any) -> Books:
    """Books at noon of the day before everything."""
    content = configuration("http://127.0.0.1:1", 1)
    content["connections"][0]["settings"] = {"locations": {"NYC": {"cut_off": "04:00"}}}
    await set_business_clock(pool, NOON - timedelta(days=1), 0)
    return Books(pool, Bookkeeper(parse_configuration(yaml.safe_dump(content)), pool), Kafka())


async def _everything(pool: Any) -> list[Any]:
    return [
        [dict(row) for row in await pool.fetch(f"select * from {table} order by 1")]
        for table in ("book_entry", "book_sale", "book_location")
    ]


async def test_the_same_batch_twice_changes_nothing(books: Books) -> None:
    """Kafka gives records again after a crash; ids are recognised, also inside one batch."""
    batch = [sale(1), sale(2), sale(1), refund(1)]
    await books.enter(*batch)
    once = await _everything(books.pool)
    assert [row["sales"] for row in once[0]].count(1) == 2
    await books.enter(*batch)
    await books.enter(sale(2))
    assert await _everything(books.pool) == once


async def test_a_sale_given_again_after_its_amendment_does_not_undo_it(books: Books) -> None:
    """What the books hold of it stays the amended sale: the next change is counted from there."""
    tender = sale(1).data.tenders[0].model_copy(update={"amount": Money(minor=1280, currency="USD")})
    tipped = _at(1, tip=Money(minor=200, currency="USD"), tenders=(tender,), total=Money(minor=1280, currency="USD"))
    amendment = sale_amended(tipped, sale(1).data, 1)
    await books.enter(sale(1), amendment)
    once = await _everything(books.pool)
    await books.enter(sale(1))
    assert await _everything(books.pool) == once


async def test_what_is_no_business_of_the_books_is_passed_over(books: Books) -> None:
    """Customers, unknown kinds, later versions and rubbish between the sales stop nothing."""
    odd = [
        Record(Partition("retail.sales", 0), n, b"k", b"{", (("ce_type", ce_type),), 0)
        for n, ce_type in enumerate((b"tillstream.loyalty.changed.v1", b"tillstream.sale.completed.v2",
                                     b"tillstream.sale.completed.v1", b"\xff"))
    ]  # fmt: skip
    await books.keeper.enter([*odd, _record(customer("c1", 1)), _record(sale(1))])
    await books.keeper.enter(odd)
    assert await books.pool.fetchval("select count(*) from book_entry") == 1


async def test_a_day_closes_after_its_grace_and_once(books: Books) -> None:
    """Not a second before; then revision 1 with all; then nothing more."""
    await books.enter(sale(1), sale(2), refund(1))
    await books.at(CLOSE - timedelta(seconds=1))
    assert books.kafka.records == []
    await books.at(CLOSE)
    await books.at(CLOSE + timedelta(seconds=1))
    [day] = books.kafka.days
    assert (day.business_day, day.revision, day.sales, day.refunds, day.closed_by) == (DAY, 1, 2, 1, "clock")
    assert set(day.members) == {sale(1).id, sale(2).id, refund(1).id}
    [record] = books.kafka.records
    assert (record.topic, record.key) == ("retail.days", b"square:ML1:day:L1:2026-11-18:USD")


async def test_what_comes_late_is_collected_in_a_revision_of_its_own(books: Books) -> None:
    """Revision 2 waits an hour for company and has the late ones alone."""
    await books.enter(sale(1))
    await books.at(CLOSE)
    await books.enter(sale(2))
    await books.at(CLOSE + timedelta(minutes=59))
    await books.enter(sale(3))
    await books.at(CLOSE + timedelta(minutes=61))
    assert await books.closes() == [(DAY, 1)], "the newest is not an hour old"
    await books.at(CLOSE + timedelta(minutes=119))
    assert [(day.revision, set(day.members)) for day in books.kafka.days] == [
        (1, {sale(1).id}), (2, {sale(2).id, sale(3).id}),
    ]  # fmt: skip
    assert len(set(books.kafka.ids)) == 2
    assert len({record.key for record in books.kafka.records}) == 1


async def test_an_empty_day_is_recorded_and_not_posted(books: Books) -> None:
    """Revision 0 has no event; should a sale of that day still come, its revision is the first."""
    await books.enter(sale(1))
    await books.at(CLOSE + timedelta(days=1))
    empty = DAY + timedelta(days=1)
    assert await books.closes() == [(DAY, 1), (empty, 0)]
    row = await books.pool.fetchrow("select * from day_close where revision = 0")
    assert (row["event_id"], row["value"]) == (None, None)
    assert [day.business_day for day in books.kafka.days] == [DAY]
    late = sale(2)
    await books.enter(late.model_copy(update={"data": late.data.model_copy(update={"business_day": empty})}))
    await books.at(CLOSE + timedelta(days=1, hours=2))
    assert [(day.business_day, day.revision) for day in books.kafka.days] == [(DAY, 1), (empty, 1)]


async def test_each_entry_is_in_exactly_one_revision(books: Books) -> None:
    """However they trickle in over days: all revisions together have each event once, and the same money."""
    for hour in range(6):
        await books.enter(*(sale(10 * hour + n) for n in range(3)), refund(10 * hour))
        await books.at(CLOSE + timedelta(hours=2 * hour))
    await books.at(CLOSE + timedelta(hours=14))
    members = [member for day in books.kafka.days for member in day.members]
    entered = [row["event_id"] for row in await books.pool.fetch("select event_id from book_entry")]
    assert sorted(members) == sorted(entered)
    assert len(set(members)) == 24
    assert [day.revision for day in books.kafka.days] == list(range(1, len(books.kafka.days) + 1))
    assert len(books.kafka.days) > 2
    stored = await books.pool.fetch("select event_id, revision from book_entry")
    assert {r["event_id"]: r["revision"] for r in stored} == {
        member: day.revision for day in books.kafka.days for member in day.members
    }
    tenders = sum(line.amount.minor for day in books.kafka.days for line in day.lines if line.component == "tender")
    assert tenders == 18 * 1080 - 6 * 1080


async def test_closers_in_several_processes_make_one_revision(books: Books) -> None:
    """All of them see that it is due; one closes it."""
    await books.enter(*(sale(n) for n in range(20)))
    await set_business_clock(books.pool, CLOSE, 0)
    await asyncio.gather(*(books.closer().tick() for _ in range(6)))
    assert await books.closes() == [(DAY, 1)]
    assert set(books.kafka.ids) == {books.kafka.ids[0]}, "copies, if any, have one id"
    assert books.kafka.days[0].sales == 20


@pytest.mark.parametrize("away", ["before", "after"])
async def test_a_crash_between_closing_and_publishing_publishes_the_same_event(books: Books, away: str) -> None:
    """Whether Kafka had it or not: the next process sends the same id and bytes, even if more has come since."""
    await books.enter(sale(1))
    books.kafka.away = away
    with pytest.raises(KafkaAway):
        await books.at(CLOSE)
    assert await books.closes() == [(DAY, 1)]
    await books.enter(sale(2))
    books.kafka.away = ""
    await books.at(CLOSE + timedelta(seconds=1))
    stored = await books.pool.fetchval("select event_id from day_close")
    assert set(books.kafka.ids) == {stored}
    assert len({record.value for record in books.kafka.records}) == 1
    assert len(books.kafka.records) == (2 if away == "after" else 1)
    assert set(books.kafka.days[0].members) == {sale(1).id}
    await books.at(CLOSE + timedelta(seconds=2))
    assert len(set(books.kafka.ids)) == 1, "published is published"


async def test_an_operator_closes_a_day_before_its_time(books: Books) -> None:
    """Once, and the revision says who."""
    await books.enter(sale(1))
    await books.pool.execute(
        "insert into day_close_request (account, location_id, business_day, currency, requested_by) "
        "values ('square:ML1', 'L1', $1, 'USD', 'ana')",
        DAY,
    )
    await books.at(NOON)
    await books.at(CLOSE)
    assert [(day.revision, day.closed_by) for day in books.kafka.days] == [(1, "operator")]
    assert await books.pool.fetchval("select count(*) from day_close_request") == 0


def _at(number: int, **change: Any) -> Event[Sale]:
    return sale_completed(ACCOUNT, sale(number).data.model_copy(update=change), recorded_at=NOON, version=1)


def _in_euro(number: int) -> AnyEvent:
    text = sale(number).data.model_dump_json().replace('"USD"', '"EUR"')
    return sale_completed(ACCOUNT, Sale.model_validate_json(text), recorded_at=NOON, version=1)


async def test_locations_currencies_and_days_close_apart(books: Books) -> None:
    """Never one document for two of them."""
    await books.enter(sale(1), _at(2, location_id="L2"), _in_euro(3), _at(4, business_day=DAY - timedelta(days=1)))
    await books.at(CLOSE)
    found = {(d.location_id, d.currency, d.business_day, d.sales) for d in books.kafka.days}
    assert found == {
        ("L1", "USD", DAY, 1), ("L2", "USD", DAY, 1), ("L1", "EUR", DAY, 1), ("L1", "USD", DAY - timedelta(days=1), 1),
    }  # fmt: skip
    assert all(line.amount.currency == d.currency for d in books.kafka.days for line in d.lines)


async def test_the_cut_off_and_the_night_of_25_hours(books: Books) -> None:
    """New York, Hallowe'en 2026: the day ends at four in the morning after the clock went back, 09:00 in UTC."""
    night = date(2026, 10, 31)
    await books.enter(_at(1, location_id="NYC", timezone="America/New_York", business_day=night))
    due = datetime(2026, 11, 1, 9, tzinfo=UTC) + timedelta(hours=2)
    await books.at(due - timedelta(seconds=1))
    assert await books.closes() == []
    await books.at(due)
    assert await books.closes() == [(night, 1)]


async def test_a_sale_that_does_not_add_up_is_flagged_in_its_revision(books: Books) -> None:
    """It is in the revision, apart from the members, and in no later one."""
    wrong = sale(2).data
    tender = wrong.tenders[0].model_copy(update={"amount": Money(minor=1081, currency="USD")})
    await books.enter(sale(1), _at(2, tenders=(tender,)))
    await books.at(CLOSE)
    await books.at(CLOSE + timedelta(hours=5))
    [day] = books.kafka.days
    assert day.members == (sale(1).id,)
    assert [(f.entity_id, f.difference.minor) for f in day.flagged] == [("order-2", 1)]
