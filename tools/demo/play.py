"""Fifteen days, one after the other: fed, booked, closed; QuickBooks is away for six; what is poison is healed."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from datetime import time as wall
from typing import Any

from tools.demo.baskets import DAYS
from tools.demo.configuration import REALMS, TIPS_ITEM
from tools.demo.happenings import (
    OUTAGE_BEGINS,
    OUTAGE_ENDS,
    REFUSED_ORDER_DAY,
    REFUSED_RECEIPT_DAY,
    UNREADABLE_ORDER_DAY,
)
from tools.demo.hooks import utc
from tools.demo.installation import DemoFailed, Installation, Running, till
from tools.demo.observing import Observer, Sample
from tools.demo.progress import Progress
from tools.demo.story import DAMAGED_TIME, Story
from tools.demo.till import Sale
from tools.demo.vendors import Sender, Simulators

# By then every store's day has ended (the last at 3:00 in Los Angeles) and two hours of grace have passed.
_MORNING = wall(14, 30)
_DAY_SECONDS = 60.0
_DRAIN_SECONDS = 240.0
_HEAL_SECONDS = 45.0


@dataclass
class Healed:
    """One poison event: why it was refused, what was done about it, what followed."""

    what: str
    connection: str
    sale: str
    reason: str
    before: str
    remedy: str
    after: str = ""
    followed: str = ""
    journey: dict[str, Any] = field(default_factory=dict)


@dataclass
class Played:
    """What the run measured by itself."""

    outage_begins: Sample | None = None
    outage_ends: Sample | None = None
    outage_real: tuple[datetime, datetime] | None = None
    drained_at: datetime | None = None
    drained_after: float = 0.0
    dead_in_outage: dict[str, int] = field(default_factory=dict)
    healed: list[Healed] = field(default_factory=list)


class Play:
    """Plays the story against a running installation."""

    def __init__(
        self, story: Story, installation: Installation, running: Running, simulators: Simulators, sender: Sender,
        observer: Observer, progress: Progress,
    ) -> None:  # fmt: skip
        self._story, self._installation, self._running = story, installation, running
        self._simulators, self._sender, self._observer, self._progress = simulators, sender, observer, progress
        self._due: Counter[int] = Counter()  # sales and refunds to be booked, by business day
        self.played = Played()

    async def run(self) -> Played:
        """All days, then until nothing is under way.

        A day is booked and closed while the next one is fed already, but never later than that.
        """
        await self._observer.set_clock(self._morning(0))
        closing: asyncio.Task[None] | None = None
        try:
            for day in range(DAYS):
                await self._feed(day)
                if closing is not None:
                    await closing
                closing = asyncio.create_task(self._settle(day))
                if day in (OUTAGE_BEGINS, OUTAGE_ENDS):
                    await closing
            if closing is not None:
                await closing
        finally:
            if closing is not None:
                closing.cancel()
        await self._until(self._nothing_under_way, "everything is delivered", _DRAIN_SECONDS)
        return self.played

    async def _feed(self, day: int) -> None:
        self._observer.day = day
        if day == REFUSED_RECEIPT_DAY:
            await self._tips_item(active=False)
        deeds = self._story.days[day]
        await self._sender.play(deeds, day)
        unreadable = self._story.happenings.unreadable_order.id
        told = {deed.tells for deed in deeds if deed.what in ("sale", "refund") and deed.tells != unreadable}
        for sale in (self._story.happenings.sales[each] for each in told if each in self._story.happenings.sales):
            self._due[sale.day] += 1
        for back in self._story.happenings.give_backs:
            # The goods handed back in an exchange come with the sale that they paid for.
            if (back.new.id if back.new else back.id) in told:
                self._due[back.day] += 1

    async def _settle(self, day: int) -> None:
        await self._until(lambda: self._booked(day), f"the sales of day {day + 1} are in the books", _DAY_SECONDS)
        if day == OUTAGE_BEGINS:
            await self._begin_outage()
        await self._heal(day)
        await self._observer.set_clock(self._morning(day + 1))
        await self._until(lambda: self._closed(day), f"day {day + 1} is closed everywhere", _DAY_SECONDS)
        if day == OUTAGE_ENDS:
            await self._end_outage()

    def _morning(self, day: int) -> datetime:
        return datetime.combine(self._story.first_day + timedelta(days=day), _MORNING, UTC)

    async def _until(self, done: Callable[[], Awaitable[bool]], what: str, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not await done():
            self._installation.check()
            if time.monotonic() > until:
                raise DemoFailed(f"after {seconds:.0f} s it is still not so that {what}: {await self._where()}")
            await asyncio.sleep(0.2)

    async def _where(self) -> str:
        under_way = await self._observer.unsettled()
        dead = [f"{each['connection']}: {each['reason']}" for each in await self._observer.dead_now()]
        return f"{under_way}; due {sum(self._due.values())}, booked {await self._observer.booked()}; dead: {dead[:5]}"

    async def _booked(self, day: int) -> bool:
        due = sum(n for of, n in self._due.items() if of <= day)
        return await self._observer.booked(self._story.first_day + timedelta(days=day)) >= due

    async def _closed(self, day: int) -> bool:
        return await self._observer.open_days(self._story.first_day + timedelta(days=day)) == 0

    async def _nothing_under_way(self) -> bool:
        left = {what: n for what, n in (await self._observer.unsettled()).items() if n}
        if left and set(left) <= {"dead", "letters"}:
            raise DemoFailed(f"dead letters are left over: {await self._where()}")
        if left:
            return False
        sample = await self._observer.sample()
        if any(sample.waiting(name) for name in sample.due):
            return False
        if self.played.drained_at is None:
            self._note_drained()
        return True

    # The outage

    async def _begin_outage(self) -> None:
        await self._simulators.break_down("quickbooks")
        self._progress.outage = True
        self.played.outage_begins = await self._observer.sample()
        self._outage_from = datetime.now(UTC)
        self._progress.say("QuickBooks goes down. HubSpot must not notice.")

    async def _end_outage(self) -> None:
        sample = self.played.outage_ends = await self._observer.sample()
        self.played.outage_real = (self._outage_from, datetime.now(UTC))
        self.played.dead_in_outage = {
            name: sample.dead[name] for name in ("qbo-receipts", "qbo-journal") if sample.dead[name]
        }
        waiting = sample.waiting("qbo-receipts") + sample.waiting("qbo-journal")
        await self._simulators.mend("quickbooks")
        self._progress.outage = False
        self._progress.say(f"QuickBooks is back: {waiting} documents were waiting for it and follow now.")
        self._draining = asyncio.create_task(self._watch_drain())

    async def _watch_drain(self) -> None:
        while self.played.drained_at is None:
            sample = await self._observer.sample()
            if not sample.waiting("qbo-receipts") and not sample.waiting("qbo-journal"):
                self._note_drained()
                return
            await asyncio.sleep(0.5)

    def _note_drained(self) -> None:
        if self.played.outage_real and self.played.drained_at is None:
            self.played.drained_at = datetime.now(UTC)
            self.played.drained_after = (self.played.drained_at - self.played.outage_real[1]).total_seconds()
            self._progress.say(
                f"All that waited for QuickBooks is there, {self.played.drained_after:.0f} s after it came back."
            )

    # What is poison

    async def _heal(self, day: int) -> None:
        happenings = self._story.happenings
        if day == REFUSED_RECEIPT_DAY + 1:
            await self._heal_receipt(happenings.refused_receipt)
        if day == REFUSED_ORDER_DAY + 3:
            await self._heal_order(happenings.refused_order)
        if day == UNREADABLE_ORDER_DAY + 3:
            await self._heal_unreadable(happenings.unreadable_order)

    async def _tips_item(self, *, active: bool) -> None:
        item = {
            "Id": TIPS_ITEM, "Name": "Tips", "Type": "Service", "IncomeAccountRef": {"value": "95"}, "Active": active,
        }  # fmt: skip
        await self._simulators.load("quickbooks", {"realm": REALMS["qbo-receipts"], "items": [item]})

    async def _letter(self, connection: str, entity: str) -> dict[str, Any]:
        """The dead letter of a sale, once it is there."""
        found: list[dict[str, Any]] = []

        async def there() -> bool:
            found[:] = await till(self._running.env, "dlq", "list", "--connection", connection, "--entity", entity)
            return bool(found)

        await self._until(there, f"{connection} has a dead letter of sale {entity}", _HEAL_SECONDS)
        return found[0]

    async def _replay(self, letter: dict[str, Any]) -> None:
        await till(
            self._running.env, "dlq", "replay", letter["id"], "--connection", letter["connection"], "--yes",
            "--as", "demo",
        )  # fmt: skip

    def _note(self, healed: Healed) -> None:
        self.played.healed.append(healed)
        self._progress.say(f"Healed: {healed.what}: {healed.remedy}.")

    async def _heal_receipt(self, sale: Sale) -> None:
        """QuickBooks refuses a receipt whose item somebody made inactive: the item is mended, the receipt replayed."""
        letter = await self._letter("qbo-receipts", sale.id)
        await self._tips_item(active=True)
        await self._replay(letter)
        self._note(
            Healed(
                "QuickBooks refused one receipt", "qbo-receipts", sale.id, letter["reason"],
                "item 'Tips' was inactive in QuickBooks", "item made active there, dead letter replayed",
            )
        )  # fmt: skip

    async def _heal_order(self, sale: Sale) -> None:
        """HubSpot takes no negative price: a bottle at -0.40 becomes minus one at 0.40, the same money."""
        letter = await self._letter("hubspot-main", sale.id)
        before = await till(self._running.env, "trace", sale.id)
        at = len(sale.lines) - 1
        await till(
            self._running.env, "dlq", "edit", letter["id"], "--connection", "hubspot-main", "--yes", "--as", "demo",
            "--set", f"data.lines.{at}.quantity=-1", "--set", f"data.lines.{at}.unit_price.minor=40",
        )  # fmt: skip
        await self._replay(letter)
        self._note(
            Healed(
                "HubSpot refused one sale", "hubspot-main", sale.id, letter["reason"],
                "1 empty bottle at -0.40; HubSpot allows no negative price",
                "changed to -1 bottle at 0.40 (till dlq edit), replayed",
                followed="its refund, which had waited behind it",
                journey=before,
            )
        )  # fmt: skip

    async def _heal_unreadable(self, sale: Sale) -> None:
        """An order with a time that is none: corrected at the source and in the dead letter, replayed."""
        letter = await self._letter("shopify-main", sale.id)
        for vendor, objects in self._story.repaired.load.items():
            await self._simulators.load(vendor, objects)
        await till(
            self._running.env, "dlq", "edit", letter["id"], "--connection", "shopify-main", "--yes", "--as", "demo",
            "--set", f"parts.order.processed_at={utc(sale.at)}",
        )  # fmt: skip
        await self._replay(letter)
        self._due[sale.day] += 1
        self._note(
            Healed(
                "One order could not be read", "shopify-main", sale.id, letter["reason"],
                f"its time was written '{DAMAGED_TIME}'", "corrected in the shop and in the dead letter, replayed",
            )
        )  # fmt: skip

    async def healed_now(self) -> None:
        """How each healed event stands now; raises DemoFailed when one is not where it belongs."""
        for healed in self.played.healed:
            target = "qbo-receipts" if healed.connection == "shopify-main" else healed.connection
            found = await self._observer.delivery(target, healed.sale, "sale.completed")
            if found is None or found["state"] != "delivered":
                raise DemoFailed(f"{healed.what}: sale {healed.sale} is {found and found['state']} at {target}")
            healed.after = f"delivered to {target} as {found['document'] or found['remote_id']}"
