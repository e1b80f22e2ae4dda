"""What the demo sees of Tillstream's database: counts, never content, and the business clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from libs.runtime.business_clock import set_business_clock
from libs.runtime.database.pool import Pool
from tools.demo.till import Store

TARGETS = ("qbo-receipts", "qbo-journal", "hubspot-main")
_SETTLED = "('delivered', 'filtered', 'superseded', 'discarded', 'shadowed')"


@dataclass(frozen=True)
class Sample:
    """How much has fallen due and is done, by target, `at` seconds after the demo began."""

    at: float
    day: int
    received: int
    due: dict[str, int]
    done: dict[str, int]
    dead: dict[str, int]

    def waiting(self, target: str) -> int:
        """What is due and not done."""
        return max(0, self.due[target] - self.done[target])

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self)


class Observer:
    """Counts, about once a second, and keeps every count."""

    def __init__(self, pool: Pool, stores: Sequence[Store]) -> None:
        self._pool = pool
        self._places = {
            books: [store.location for store in stores if store.books == books]
            for books in ("qbo-receipts", "qbo-journal")
        }
        self.began = time.monotonic()
        self.day = 0
        self.samples: list[Sample] = []

    async def sample(self) -> Sample:
        """The counts now."""
        receipts, journal = self._places["qbo-receipts"], self._places["qbo-journal"]
        row = await self._pool.fetchrow(
            "select (select count(*) from notification) + coalesce((select sum(repeats) from notification_repeat), 0) "
            "as received, (select count(*) from book_entry) as entries, "
            "(select count(*) from book_entry where location_id = any($1)) as receipts, "
            "(select count(*) from day_close where published_at is not null and event_id is not null "
            "and location_id = any($2)) as journals",
            receipts, journal,
        )  # fmt: skip
        done = await self._pool.fetch(
            f"select connection, count(*) filter (where state in {_SETTLED}) as n, "
            "count(*) filter (where state = 'dead') as dead from delivery where "
            "(connection = 'hubspot-main' and topic = 'retail.sales') "
            "or (connection = 'qbo-receipts' and topic = 'retail.sales' and location_id = any($1)) "
            "or (connection = 'qbo-journal' and kind = 'day.closed' and location_id = any($2)) group by 1",
            receipts, journal,
        )  # fmt: skip
        found = {each["connection"]: each for each in done}
        sample = Sample(
            at=time.monotonic() - self.began,
            day=self.day,
            received=row["received"],
            due={"qbo-receipts": row["receipts"], "qbo-journal": row["journals"], "hubspot-main": row["entries"]},
            done={name: found[name]["n"] if name in found else 0 for name in TARGETS},
            dead={name: found[name]["dead"] if name in found else 0 for name in TARGETS},
        )
        self.samples.append(sample)
        return sample

    async def set_clock(self, at: datetime) -> None:
        """The business clock stands at that time."""
        await set_business_clock(self._pool, at, 0.0)

    async def booked(self, until: date = date.max) -> int:
        """Sales and refunds of days up to that one that are in the books."""
        found: int = await self._pool.fetchval(
            "select count(*) from book_entry where kind in ('sale.completed', 'refund.completed') "
            "and business_day <= $1",
            until,
        )
        return found

    async def open_days(self, until: date) -> int:
        """Days up to that one with entries that belong to no revision yet, or with a revision not told yet."""
        found: int = await self._pool.fetchval(
            "select (select count(*) from book_entry where revision is null and business_day <= $1) + "
            "(select count(*) from day_close where published_at is null and event_id is not null)",
            until,
        )
        return found

    async def unsettled(self) -> dict[str, int]:
        """What is under way anywhere: notifications, fetches, and deliveries by connection."""
        row = await self._pool.fetchrow(
            "select (select count(*) from notification where outcome = 'waiting') as notifications, "
            "(select count(*) from fetch_work) as fetches, (select count(*) from spool) as spooled, "
            "(select count(*) from delivery where state in ('claimed', 'parked')) as deliveries, "
            "(select count(*) from delivery where state = 'dead') as dead, "
            "(select count(*) from dead_letter where state = 'open') as letters"
        )
        return dict(row)

    async def dead_now(self) -> list[dict[str, Any]]:
        """Dead letters of deliveries: where, which class, why."""
        rows = await self._pool.fetch(
            "select connection, event_id, kind, entity_id, order_key, class, reason, dead_at from delivery "
            "where state = 'dead' order by dead_at"
        )
        return [dict(row) for row in rows]

    async def delivery(self, connection: str, entity: str, kind: str) -> dict[str, Any] | None:
        """How one event stands at a target."""
        row = await self._pool.fetchrow(
            "select event_id, state, class, reason, remote_id, document, settled_at from delivery "
            "where connection = $1 and entity_id = $2 and kind = $3",
            connection, entity, kind,
        )  # fmt: skip
        return dict(row) if row else None

    async def circuits(self) -> list[dict[str, Any]]:
        """How the circuits of the targets changed."""
        rows = await self._pool.fetch("select connection, at, circuit, reason from circuit_change order by at")
        return [dict(row) for row in rows]

    async def canonical_days(self) -> list[dict[str, Any]]:
        """What the events say was taken per store and day: the sum of how it was paid."""
        rows = await self._pool.fetch("select location_id, business_day, lines from book_entry where kind is not null")
        sums: dict[tuple[str, str], int] = {}
        for row in rows:
            place = (row["location_id"], row["business_day"].isoformat())
            paid = sum(line["amount"]["minor"] for line in row["lines"] if line["component"] == "tender")
            sums[place] = sums.get(place, 0) + paid
        return [{"location": location, "day": day, "minor": minor} for (location, day), minor in sorted(sums.items())]

    async def deliveries(self) -> list[dict[str, Any]]:
        """Delivered sales, refunds and days with their times, for latency."""
        rows = await self._pool.fetch(
            "select d.connection, d.kind, d.entity_id, d.settled_at, c.published_at as closed from delivery d "
            "left join day_close c on c.event_id = d.event_id "
            "where d.state = 'delivered' and d.settled_at is not null"
        )
        return [dict(row) for row in rows]

    async def contents(self) -> dict[str, bytes]:
        """Every table's rows in PostgreSQL's own binary form: nothing compressed, nothing left out."""
        names = await self._pool.fetch(
            "select c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace "
            "where c.relkind = 'r' and n.nspname = 'public' order by 1"
        )
        found = {}
        async with self._pool.acquire() as database:
            for row in names:
                parts: list[bytes] = []

                async def take(chunk: bytes, parts: list[bytes] = parts) -> None:
                    parts.append(chunk)

                await database.copy_from_table(row["name"], output=take, format="binary")
                found[row["name"]] = b"".join(parts)
        return found

    async def end(self) -> None:
        """No more questions."""
        await self._pool.close()

    async def watch(self, stopping: asyncio.Event, tell: Any) -> None:
        """Count until told to stop."""
        while not stopping.is_set():
            tell(await self.sample())
            try:
                async with asyncio.timeout(1.0):
                    await stopping.wait()
            except TimeoutError:
                continue
