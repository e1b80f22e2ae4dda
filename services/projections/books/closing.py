"""Closing days. A revision's membership is stored in the transaction that closes it; its event follows from there.

Revision 1 holds all that was entered by the close; every later one only what came after. A day without any entry is
recorded as revision 0 and not posted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import structlog

from libs.canonical.day import DayClosed, DayLine, FlaggedMember, merge
from libs.canonical.event import day_closed, decode, encode
from libs.canonical.identity import Account
from libs.canonical.kinds import Kind
from libs.canonical.moments import business_day, day_end, zone
from libs.canonical.money import Money
from libs.runtime.business_clock import business_now
from libs.runtime.configuration.model import BooksSettings
from libs.runtime.database.pool import DATABASE_AWAY, Pool
from libs.runtime.failpoints import failpoint
from libs.runtime.kafka.writer import KafkaAway, Outgoing, Writer
from libs.runtime.telemetry.metrics import DAYS
from libs.runtime.telemetry.progress import Progress
from services.projections.books.entries import lines_from_json

log = structlog.get_logger()


@dataclass(frozen=True)
class Day:
    """One location's business day in one currency."""

    account: str
    location_id: str
    business_day: date
    currency: str
    timezone: str

    @property
    def account_value(self) -> Account:
        """The account as a canonical value."""
        vendor, _, account_id = self.account.partition(":")
        return Account(vendor=vendor, id=account_id)


def summarise(day: Day, revision: int, rows: Sequence[Any], closed_at: datetime, closed_by: str) -> DayClosed:
    """The revision that holds exactly these entries. What does not add up stands apart."""
    clean: list[DayLine] = []
    members: list[str] = []
    flagged: list[FlaggedMember] = []
    for row in rows:
        lines = lines_from_json(row["lines"])
        if row["difference"]:
            flagged.append(
                FlaggedMember(
                    event_id=row["event_id"],
                    entity_id=row["entity_id"],
                    lines=lines,
                    difference=Money(minor=row["difference"], currency=day.currency),
                    reason=row["reason"] or "the sums do not hold",
                )
            )
        else:
            clean += lines
            members.append(row["event_id"])
    return DayClosed(
        location_id=day.location_id,
        business_day=day.business_day,
        currency=day.currency,
        timezone=day.timezone,
        revision=revision,
        sales=sum(row["sales"] for row in rows),
        refunds=sum(row["refunds"] for row in rows),
        lines=merge(clean),
        members=tuple(members),
        flagged=tuple(flagged),
        closed_at=closed_at,
        closed_by=closed_by,
    )


class Closer:
    """Closes what is due and publishes it, about once a second of real time."""

    def __init__(self, settings: BooksSettings, pool: Pool, writer: Writer) -> None:
        self._settings, self._pool, self._writer = settings, pool, writer
        self.progress = Progress("books.close")

    async def run(self, stopping: asyncio.Event) -> None:
        """Until told to stop."""
        while not stopping.is_set():
            self.progress.alive()
            try:
                await self.tick()
            except DATABASE_AWAY as error:
                log.warning("database is away", error=type(error).__name__)
            except KafkaAway as error:
                log.warning("closed days wait for Kafka", error=str(error))
            try:
                async with asyncio.timeout(1):
                    await stopping.wait()
            except TimeoutError:
                continue

    async def tick(self) -> None:
        """Close what is due now, record empty days, publish what is not published yet."""
        now = await business_now(self._pool)
        for day, closed_by in [*await self._requested(), *await self._due(now)]:
            await self.close(day, now, closed_by)
        await self._record_empty_days(now)
        await self._publish()

    async def _requested(self) -> list[tuple[Day, str]]:
        rows = await self._pool.fetch(
            "with taken as (delete from day_close_request returning *) select t.*, l.timezone from taken t "
            "join book_location l using (account, location_id, currency)"
        )
        return [
            (Day(r["account"], r["location_id"], r["business_day"], r["currency"], r["timezone"]), "operator")
            for r in rows
        ]

    async def _due(self, now: datetime) -> list[tuple[Day, str]]:
        rows = await self._pool.fetch(
            "select e.account, e.location_id, e.business_day, e.currency, min(e.timezone) as timezone, "
            "min(e.cut_off) as cut_off, max(e.business_entered_at) as newest, "
            "exists (select 1 from day_close d where d.account = e.account and d.location_id = e.location_id "
            " and d.business_day = e.business_day and d.currency = e.currency) as closed_before "
            "from book_entry e where e.revision is null group by 1, 2, 3, 4"
        )
        due = []
        for row in rows:
            end = day_end(row["business_day"], zone(row["timezone"]), row["cut_off"])
            moment = end + timedelta(seconds=self._settings.grace_seconds)
            if row["closed_before"]:
                # What comes late comes in company: one revision for all of it, not one each.
                moment = max(moment, row["newest"] + timedelta(seconds=self._settings.revision_every_seconds))
            if now >= moment:
                day = Day(row["account"], row["location_id"], row["business_day"], row["currency"], row["timezone"])
                due.append((day, "clock"))
        return due

    async def close(self, day: Day, now: datetime, closed_by: str) -> None:
        """Make the next revision of everything entered and in no revision yet; nothing when there is none."""
        name = (day.account, day.location_id, day.business_day, day.currency)
        async with self._pool.acquire() as database, database.transaction():
            # One closer at a time for one day, in whatever process.
            await database.execute("select pg_advisory_xact_lock(hashtextextended($1, 0))", ":".join(map(str, name)))
            rows = await database.fetch(
                "select * from book_entry where account = $1 and location_id = $2 and business_day = $3 "
                "and currency = $4 and revision is null order by event_id for update",
                *name,
            )
            if not rows:
                return
            revision = 1 + await database.fetchval(
                "select coalesce(max(revision), 0) from day_close where account = $1 and location_id = $2 "
                "and business_day = $3 and currency = $4",
                *name,
            )
            event = day_closed(day.account_value, summarise(day, revision, rows, now, closed_by))
            await database.execute(
                "update book_entry set revision = $2 where event_id = any($1)", [r["event_id"] for r in rows], revision
            )
            failpoint("inside_day_close")
            await database.execute(
                "insert into day_close (account, location_id, business_day, currency, revision, event_id, value, "
                "sales, refunds, closed_by, closed_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
                *name, revision, event.id, event.model_dump_json().encode(), event.data.sales, event.data.refunds,
                closed_by, now,
            )  # fmt: skip
        DAYS.labels("first" if revision == 1 else "later").inc()
        log.info("day closed", location=day.location_id, day=str(day.business_day), revision=revision, events=len(rows))

    async def _record_empty_days(self, now: datetime) -> None:
        for row in await self._pool.fetch("select * from book_location"):
            cut_off, timezone = row["cut_off"], zone(row["timezone"])
            grace = timedelta(seconds=self._settings.grace_seconds)
            last = business_day(now - grace, timezone, cut_off) - timedelta(days=1)
            await self._pool.execute(
                "insert into day_close (account, location_id, business_day, currency, revision, closed_by, closed_at, "
                "published_at) select $1, $2, d::date, $3, 0, 'clock', $6, now() "
                "from generate_series(greatest($4::date, $5::date - 40), $5::date, interval '1 day') d "
                "where not exists (select 1 from book_entry e where e.account = $1 and e.location_id = $2 "
                " and e.currency = $3 and e.business_day = d::date) on conflict do nothing",
                row["account"], row["location_id"], row["currency"], row["first_day"], last, now,
            )  # fmt: skip

    async def _publish(self) -> None:
        rows = await self._pool.fetch(
            "select * from day_close where published_at is null and event_id is not null "
            "order by closed_at, account, location_id, business_day, currency, revision limit 500"
        )
        if not rows:
            return
        messages = []
        for row in rows:
            stored = decode(Kind.DAY_CLOSED, row["value"])
            key, value, headers = encode(stored)
            headers.append(("received-at", datetime.now(UTC).isoformat().encode()))
            messages.append(Outgoing("retail.days", key, value, headers))
        await self._writer.send_all(messages)
        failpoint("after_day_published")
        await self._pool.executemany(
            "update day_close set published_at = now() where event_id = $1", [(row["event_id"],) for row in rows]
        )
        self.progress.done(len(rows))
