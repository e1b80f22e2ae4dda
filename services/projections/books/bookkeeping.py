"""Entering events: the entry, what the books hold of the sale, and the event's id, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import time
from typing import Any

import structlog

from libs.canonical.event import AnyEvent, MalformedEvent, UnknownKind, UnknownSchemaVersion, decode, kind_of
from libs.runtime.business_clock import business_now
from libs.runtime.configuration.model import Configuration
from libs.runtime.database.pool import Connection as Database
from libs.runtime.database.pool import Pool
from libs.runtime.kafka.records import Record
from services.projections.books.entries import BOOKED, BookEntry, Standing, enter, lines_as_json, lines_from_json

log = structlog.get_logger()


class Bookkeeper:
    """Enters sales, amendments, voids and refunds."""

    def __init__(self, configuration: Configuration, pool: Pool) -> None:
        self._pool = pool
        self._settings = {str(c.account_key): c.source_settings for c in configuration.sources()}

    def _cut_off(self, event: AnyEvent, location_id: str) -> time:
        settings = self._settings.get(str(event.account))
        return settings.cut_off(location_id) if settings else time(0)

    async def enter(self, records: Sequence[Record]) -> None:
        """Enter a batch; events entered before are recognised by id."""
        events = [event for record in records if (event := _readable(record)) is not None]
        if not events:
            return
        async with self._pool.acquire() as database, database.transaction():
            known = await database.fetch(
                "select event_id from book_entry where event_id = any($1)", [event.id for event in events]
            )
            seen = {row["event_id"] for row in known}
            standings = await self._standings(database, {event.order_key for event in events})
            entries = []
            for event in events:
                if event.id in seen:
                    continue
                seen.add(event.id)
                entry, standing = enter(event, standings.get(event.order_key))
                entries.append(entry)
                if standing is not None:
                    standings[event.order_key] = standing
            await self._write(database, entries, standings)

    async def _standings(self, database: Database, order_keys: set[str]) -> dict[str, Standing]:
        rows = await database.fetch("select * from book_sale where order_key = any($1) for update", sorted(order_keys))
        return {
            row["order_key"]: Standing(
                lines_from_json(row["lines"]),
                row["reason"],
                row["location_id"],
                row["business_day"],
                row["currency"],
                row["timezone"],
            )
            for row in rows
        }

    async def _write(self, database: Database, entries: Sequence[BookEntry], standings: dict[str, Standing]) -> None:
        business_time = await business_now(database)
        await database.executemany(
            "insert into book_entry (event_id, account, location_id, business_day, currency, timezone, cut_off, "
            "entity_id, kind, sales, refunds, lines, difference, reason, business_entered_at) "
            "values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) on conflict do nothing",
            [
                (
                    e.event.id, str(e.event.account), e.location_id, e.business_day, e.currency, e.timezone,
                    self._cut_off(e.event, e.location_id), e.event.entity_id, str(e.event.kind), e.sales, e.refunds,
                    lines_as_json(e.lines), e.difference, e.reason, business_time,
                )
                for e in entries
            ],
        )  # fmt: skip
        touched = {entry.event.order_key: entry for entry in entries}
        rows: list[tuple[Any, ...]] = [
            (
                order_key, lines_as_json(standings[order_key].lines), entry.difference, standings[order_key].reason,
                standings[order_key].location_id, standings[order_key].business_day, standings[order_key].currency,
                standings[order_key].timezone,
            )
            for order_key, entry in sorted(touched.items())
            if order_key in standings
        ]  # fmt: skip
        await database.executemany(
            "insert into book_sale (order_key, lines, difference, reason, location_id, business_day, currency, "
            "timezone) values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (order_key) do update set "
            "lines = excluded.lines, difference = excluded.difference, reason = excluded.reason",
            rows,
        )
        places = {(str(e.event.account), e.location_id, e.currency): e for e in entries}
        await database.executemany(
            "insert into book_location (account, location_id, currency, timezone, cut_off, first_day) "
            "values ($1, $2, $3, $4, $5, $6) on conflict (account, location_id, currency) do update set "
            "first_day = least(book_location.first_day, excluded.first_day), timezone = excluded.timezone, "
            "cut_off = excluded.cut_off",
            [
                (*place, e.timezone, self._cut_off(e.event, e.location_id), e.business_day)
                for place, e in sorted(places.items(), key=lambda item: item[0])
            ],
        )


def _readable(record: Record) -> AnyEvent | None:
    try:
        kind = kind_of(record.text)
        return decode(kind, record.value) if kind in BOOKED else None
    except UnknownKind:
        return None
    except (MalformedEvent, UnknownSchemaVersion) as error:
        # Each target makes a dead letter of it; the books cannot enter what nobody can read.
        log.error("not a readable event", topic=record.partition.topic, offset=record.offset, why=str(error))
        return None
