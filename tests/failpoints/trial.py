"""The trial: lives end at every dangerous place while stories are told, and then everything is counted.

Each place has a connection of its own at each vendor, so that one life can end while the others' partitions wait for
the broker to notice: that wait, and not the work, is what a crash costs.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, field

from libs.runtime.business_clock import set_business_clock
from libs.runtime.engine.engine import consumed_topics, consumer_group
from libs.runtime.kafka.offsets import read_whole, standing
from libs.runtime.kafka.topics import dead_letters
from services.ops.balance import Accountant
from tests.failpoints.day_books import check_days, check_journal, closed_days
from tests.failpoints.findings import Findings
from tests.failpoints.ground import JOURNAL, SESSION_TIMEOUT_MS, Ground, names
from tests.failpoints.lives import BOOKS, Death
from tests.failpoints.stories import Story, story
from tests.system.sales import NOON, outgoing

# The places of a delivery, and at which passing at the latest a life ends there.
ENGINE_PLACES = {
    "after_claim": 12,
    "after_send": 12,
    "between_steps": 12,
    "before_complete": 12,
    "before_commit": 12,
    "inside_parking": 4,
    "inside_dead_lettering": 2,
}
BOOKS_PLACES = {"inside_day_close": 3, "after_day_published": 1}
PLACES = ENGINE_PLACES | BOOKS_PLACES
VENDORS = ("quickbooks", "hubspot")
# Stories told ahead of the connection that is furthest: enough for every life to find what it dies of.
_AHEAD = 30
_AT_ONCE = 6
# The last lives are not to be disturbed by a busy machine.
_CALM_MS = 20_000
_STUCK_SECONDS = 60.0

Say = Callable[[str], None]


@dataclass
class Row:
    """A line of the table: lives that ended at one place, before one target."""

    place: str
    target: str
    service: str
    exits: int = 0
    kills: int = 0
    events: int = 0
    findings: Findings = field(default_factory=Findings)


class Trial:
    """`exits` and `kills` are per place; the targets of a place share them. `minutes` may end it before that."""

    def __init__(
        self, ground: Ground, rows: list[Row], *, exits: int, kills: int, seed: int, minutes: float, say: Say
    ) -> None:
        self._ground, self.rows, self._seed, self._say = ground, rows, seed, say
        self._exits, self._kills = exits, kills
        self._stories: list[Story] = []
        self._dying = {row.service for row in rows}
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._began = time.monotonic()
        self._until = self._began + 60 * minutes

    async def run(self) -> list[Row]:
        """All of it; gives the rows, with what was found wrong. Raises LifeFailed."""
        await set_business_clock(self._ground.pool, NOON.replace(year=2027), 0)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tell_ahead())
            for service in sorted(self._dying):
                group.create_task(self._die_often(service))
        self._say(f"{self.deaths} lives ended over {len(self._stories)} stories; now all comes to rest")
        self._ground.targets.reopen_periods()
        await self._settle_books()
        async with asyncio.TaskGroup() as group:
            for service in [*(row.service for row in self.rows if row.service != BOOKS), JOURNAL]:
                group.create_task(self._settle(service))
        await self._count()
        return self.rows

    @property
    def deaths(self) -> int:
        """Lives that have ended so far."""
        return sum(row.exits + row.kills for row in self.rows)

    # Dying ------------------------------------------------------------------------------------------------------

    async def _die_often(self, service: str) -> None:
        rows = [row for row in self.rows if row.service == service]
        chance = random.Random(f"{self._seed}/{service}")
        deaths = [(row, held) for row in rows for held in self._manners(row)]
        chance.shuffle(deaths)
        for row, held in deaths:
            if time.monotonic() > self._until:
                break
            times = chance.randint(1, PLACES[row.place])
            # The books have many lives, but one after the other: they wait for nobody.
            async with self._at_once if service != BOOKS else nullcontext():
                await self._ground.lives.crash(service, Death(row.place, times, held))
            row.exits, row.kills = row.exits + (not held), row.kills + held
            if self.deaths % 100 == 0:
                self._say(f"{self.deaths} lives ended after {time.monotonic() - self._began:.0f} s")
            if service != BOOKS:
                await asyncio.sleep(SESSION_TIMEOUT_MS / 1000)  # until the broker gives the partitions away
        self._dying.discard(service)

    def _manners(self, row: Row) -> list[bool]:
        """Whether each of this row's lives is killed: its share of the place's exits and kills."""
        sharing = [each for each in self.rows if each.place == row.place]
        number, others = sharing.index(row), len(sharing) - 1
        exits = (self._exits + number) // len(sharing)
        kills = (self._kills + others - number) // len(sharing)
        return [False] * exits + [True] * kills

    # Telling ----------------------------------------------------------------------------------------------------

    async def _tell_ahead(self) -> None:
        """Keep telling as long as lives end: they die of what they do, so none may run out of it."""
        while self._dying:
            fresh = [story(len(self._stories) + n, self._seed) for n in range(await self._wanted())]
            if fresh:
                await self._ground.writer.send_all([outgoing(event) for told in fresh for event in told.events])
                self._stories += fresh
            await self._resume()
            await asyncio.sleep(0.3)

    async def _resume(self) -> None:
        """An operator's answer to a flood of refusals: lives that end early leave many of them, and little else."""
        await self._ground.pool.execute(
            "update connection_state set paused_by = null, paused_reason = null where paused_by = 'tillstream'"
        )

    async def _wanted(self) -> int:
        """How many stories to tell now: some ahead of the connection that is furthest, and the books' next few."""
        furthest = await self._ground.pool.fetchval(
            "select max(n) from (select count(distinct order_key) as n from delivery where connection = any($1) "
            "and state <> 'claimed' and order_key like '%:sale:%' group by connection) as stories",
            sorted(self._dying - {BOOKS}),
        )
        if self._dying != {BOOKS} and len(self._stories) - (furthest or 0) < _AHEAD:
            return 10
        if BOOKS in self._dying:
            closed = await self._ground.pool.fetchval("select count(*) from book_entry where revision is not null")
            return 4 if closed == self._facts else 0
        return 0

    @property
    def _facts(self) -> int:
        """How many events the books have to enter."""
        return sum(event.topic == "retail.sales" for told in self._stories for event in told.events)

    # Coming to rest ---------------------------------------------------------------------------------------------

    async def _settle_books(self) -> None:
        async def left() -> int:
            row = await self._ground.pool.fetchrow(
                "select (select count(*) from book_entry where revision is not null) as entered, "
                "(select count(*) from day_close where event_id is not null and published_at is null) as unpublished"
            )
            return abs(self._facts - int(row["entered"])) + int(row["unpublished"])

        await self._last_life(BOOKS, left)

    async def _settle(self, service: str) -> None:
        connection = self._ground.configuration.connection(service)
        behind = sum(told.role == "poison" for told in self._stories) if service != JOURNAL else 0

        async def left() -> int:
            states = await self._ground.pool.fetchrow(
                "select count(*) filter (where state = 'claimed') as claimed, "
                "count(*) filter (where state = 'parked') as parked from delivery where connection = $1",
                service,
            )
            stands = await standing(self._ground.kafka, consumer_group(service), consumed_topics(connection))
            waiting = sum(stand.waiting for stand in stands.values())
            return int(states["claimed"]) + abs(int(states["parked"]) - behind) + waiting

        async with self._at_once:
            await self._last_life(service, left)

    async def _last_life(self, service: str, left: Callable[[], Awaitable[int]]) -> None:
        """A life that nothing ends, until nothing is left to do, or until it gets nowhere any more."""
        process = self._ground.lives.begin_last(service, session_timeout_ms=_CALM_MS)
        before, since = -1, time.monotonic()
        while (now := await left()) != 0:
            if now != before:
                before, since = now, time.monotonic()
            elif time.monotonic() - since > _STUCK_SECONDS:
                self._say(f"{service} does not come to rest, {now} are left: the counts will show it")
                break
            await self._resume()
            await asyncio.sleep(0.5)
        await self._ground.lives.end(service, process)

    # Counting ---------------------------------------------------------------------------------------------------

    async def _count(self) -> None:
        counted = await Accountant(self._ground.kafka, self._ground.pool, self._ground.configuration).count()
        balances = {side.name: balance for side, balance, _ in counted}
        days = await closed_days(self._ground.kafka)
        for row in self.rows:
            if row.service == BOOKS:
                row.events = len(days)
                check_days(days, self._stories, row.findings)
                check_journal(days, self._ground.targets.journal(JOURNAL), self._stories, row.findings)
                row.findings.same("accounted for", balances[JOURNAL].mismatch, 0)
                continue
            balance = balances[row.service]
            row.events = balance.offered
            self._ground.targets.check(row.service, self._stories, row.findings)
            await self._count_letters(row)
            row.findings.same("accounted for", balance.mismatch, 0)
            row.findings.same("in flight", balance.terms["claimed"] + balance.terms["waiting"], 0)

    async def _count_letters(self, row: Row) -> None:
        """Each refused event has one dead letter; copies in the topic have one id."""
        letters: dict[str, set[str]] = {}
        async for record in read_whole(self._ground.kafka, [dead_letters(row.service)]):
            letters.setdefault(record.text["dl-event-id"], set()).add(record.text["dl-id"])
        refused = {"poison", "orphan"} if row.target == "hubspot" else {"poison"}
        expected = {told.events[0].id for told in self._stories if told.role in refused}
        for event_id in sorted(expected | set(letters)):
            row.findings.once(f"dead letter of {event_id}", len(letters.get(event_id, ())), int(event_id in expected))


def rows_of(places: list[str]) -> list[Row]:
    """The table's rows for these places."""
    rows = []
    for place in places:
        if place in BOOKS_PLACES:
            rows.append(Row(place, "books", BOOKS))
        else:
            rows += [Row(place, vendor, service) for service, vendor in names(VENDORS, [place]).items()]
    return rows
