"""Events of one connection in this process's hands: what is ready is begun, what is begun is brought to rest.

Many are taken in at once, and most never leave their batch; what needs a call, or anything else of its own, is followed
up by itself. Parked rows come in beside the records, head of each key first.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import structlog

from libs.runtime.database.pool import DATABASE_AWAY
from libs.runtime.engine.circuit import Circuit
from libs.runtime.engine.delivery import Deliverer
from libs.runtime.engine.intake import HeldElsewhere, Intake, Outcome, Unreadable
from libs.runtime.engine.lanes import Item, Owned
from libs.runtime.engine.ledger import Fenced, Ledger, Row
from libs.runtime.engine.work import Work
from libs.runtime.failpoints import failpoint
from libs.runtime.telemetry.progress import Progress

log = structlog.get_logger()

# Events taken in at once, and batches of them under way at once: while one is written, the next is read.
BATCH = 500
_BATCHES = 2
# A second batch is begun when at least so many are ready; fewer gather until the first is written.
_WORTH_A_BATCH = 64
# Between two looks for parked events whose time has come: longer and longer while there are none; seconds.
_REDRIVE_EVERY = (0.3, 2.0)
_BUG_TRIES = 3


@dataclass
class Load:
    """How much is in hand. `share`: of the events taken in last, the share that had to be sent."""

    at_once: int
    sending: int = 0
    taking_in: int = 0
    share: float = 1.0

    @property
    def room(self) -> int:
        """How many more may be taken in: as many as leave no more to be sent than may be sent at once.

        While most of that is in hand there is none: many events are taken in for little more than the cost of one.
        """
        free = self.at_once - self.sending - self.taking_in * self.share
        return 0 if free < self.at_once // 4 else min(BATCH, int(free / max(self.share, 0.01)))


@dataclass(slots=True)
class Redrive:
    """A parked row is to be taken up."""

    row: Row


@dataclass(frozen=True)
class Hands:
    """What a dispatcher works with."""

    ledger: Ledger
    intake: Intake
    deliverer: Deliverer
    circuit: Circuit


class Dispatcher:
    """Works on what is ready. `database_is_away` says so and waits a moment."""

    def __init__(
        self,
        connection: str,
        hands: Hands,
        load: Load,
        progress: Progress,
        database_is_away: Callable[[BaseException], Awaitable[None]],
    ) -> None:
        self._connection, self._load, self._progress = connection, load, progress
        self._ledger, self._intake, self._deliverer, self._circuit = (
            hands.ledger, hands.intake, hands.deliverer, hands.circuit,
        )  # fmt: skip
        self._database_is_away = database_is_away
        self._ready: deque[Item] = deque()
        self._batches: set[asyncio.Task[None]] = set()
        self._going_on = False
        self.admitting = True

    def add(self, item: Item) -> None:
        """Put an event into its lane."""
        if item.owned.enqueue(item):
            self._ready.append(item)

    def forget(self, going: Sequence[Owned]) -> None:
        """These partitions are another's now: what is not begun is read there."""
        for owned in going:
            owned.lost = True
        self._ready = deque(item for item in self._ready if not item.owned.lost)

    def go_on(self) -> None:
        """Begin what can be begun now; while the connection is paused, only what must be moved out of Kafka."""
        while self._ready and self.admitting and (room := self._load.room) > 0:
            if not self._circuit.closed and not self._bring_forward_what_spills():
                return
            if self._batches and (len(self._batches) >= _BATCHES or len(self._ready) < _WORTH_A_BATCH):
                return  # what is ready gathers
            fresh: list[Item] = []
            while self._ready and len(fresh) < room:
                if not self._circuit.closed and not self._ready[0].owned.must_spill(self._ready[0]):
                    break
                item = self._ready.popleft()
                if item.row is not None:
                    self._begin_one(item.owned, self._follow_up(item, Redrive(item.row)))
                    room -= 1
                elif not item.owned.lost:
                    fresh.append(item)
            if not fresh:
                continue
            self._load.taking_in += len(fresh)
            batch = asyncio.create_task(self._take_in(fresh))
            self._batches.add(batch)
            batch.add_done_callback(partial(self._taken_in, events=len(fresh)))

    def _go_on_soon(self) -> None:
        """Go on once this round of the event loop is over: what ends in one round is followed by one batch."""
        if not self._going_on:
            self._going_on = True
            asyncio.get_running_loop().call_soon(self._go_on_now)

    def _go_on_now(self) -> None:
        self._going_on = False
        self.go_on()

    def _bring_forward_what_spills(self) -> bool:
        spilling = [item for item in self._ready if item.owned.must_spill(item)]
        if spilling:
            self._ready = deque((*spilling, *(item for item in self._ready if not item.owned.must_spill(item))))
        return bool(spilling)

    def _taken_in(self, batch: asyncio.Task[None], events: int) -> None:
        self._batches.discard(batch)
        self._load.taking_in -= events
        if not batch.cancelled() and (error := batch.exception()) is not None:
            log.error("a batch ended in an error", connection=self._connection, exc_info=error)
        self.go_on()

    async def _take_in(self, items: list[Item]) -> None:
        while items := [item for item in items if not item.owned.lost]:
            try:
                outcomes = await self._intake.take_in(items)
                break
            except DATABASE_AWAY as error:
                await self._database_is_away(error)
            except Exception as error:  # noqa: BLE001 - told apart below
                if len(items) == 1:
                    outcomes = [error]
                    break
                # Something in one of them breaks the whole: each by itself, so that the others go on.
                log.warning("a batch is taken in one by one", connection=self._connection, error=type(error).__name__)
                for item in items:
                    await self._take_in([item])
                return
        else:
            return
        sent = 0
        at_once: list[Work] = []
        for item, outcome in zip(items, outcomes, strict=True):
            if outcome is None:
                self._finish(item)
            elif isinstance(outcome, Work) and not outcome.plan.steps and not outcome.plan.settles:
                at_once.append(outcome)
            else:
                sent += 1
                self._begin_one(item.owned, self._follow_up(item, outcome))
        self._load.share = sent / len(items)
        if at_once:
            await self._settle_at_once(at_once)
        self._progress.done(len(items) - sent)

    async def _settle_at_once(self, works: list[Work]) -> None:
        while True:
            try:
                settled = await self._deliverer.settle_at_once(works)
                break
            except DATABASE_AWAY as error:
                await self._database_is_away(error)
            except Exception:
                log.exception("a batch is settled one by one", connection=self._connection)
                for work in works:
                    self._begin_one(work.item.owned, self._follow_up(work.item, work))
                return
        for work, fenced in zip(works, settled, strict=True):
            if fenced is None:
                self._finish(work.item)
            else:
                self._lose(work.item.owned, fenced)

    def _begin_one(self, owned: Owned, doing: Any) -> None:
        """Let something about one event be done by itself."""
        self._load.sending += 1
        task = asyncio.create_task(doing)
        owned.tasks.add(task)
        task.add_done_callback(lambda done: self._ended(owned, done))

    def _ended(self, owned: Owned, task: asyncio.Task[None]) -> None:
        owned.tasks.discard(task)
        self._load.sending -= 1
        self._go_on_soon()

    async def _follow_up(self, item: Item, outcome: Outcome | Redrive) -> None:
        """What a batch left to do with one event, until it is at rest."""
        tries = 0
        try:
            while outcome is not None:
                if item.owned.lost:
                    raise Fenced(f"{item.partition} moved on")
                try:
                    outcome = await self._deal_with(item, outcome)
                except Fenced:
                    raise
                except DATABASE_AWAY as error:
                    await self._database_is_away(error)
                except Exception as error:
                    tries += 1
                    log.exception("internal error", connection=self._connection, tries=tries)
                    outcome = await self._after_error(item, outcome, error, tries)
                if isinstance(outcome, Work):
                    outcome.doubtful = outcome.doubtful or outcome.called
            self._finish(item)
            if item.row is not None:
                await self._after_row(item)
        except Fenced as fenced:
            self._lose(item.owned, fenced)
        finally:
            item.owned.redriving.discard(item.order_key)
        self._progress.done(1)

    async def _deal_with(self, item: Item, outcome: Outcome | Redrive) -> Outcome | Redrive:
        match outcome:
            case Work():
                await self._deliverer.send(outcome)
            case Redrive(row):
                await self._deliverer.redrive(item, row)
            case HeldElsewhere(until):
                await asyncio.sleep(max(0.05, (until - datetime.now(UTC)).total_seconds()))
                (again,) = await self._intake.take_in([item])
                return again
            case Unreadable(reason):
                await self._deliverer.bury(item, "poison", reason)
            case Exception():
                raise outcome
        return None

    async def _after_error(
        self, item: Item, outcome: Outcome | Redrive, error: Exception, tries: int
    ) -> Outcome | Redrive:
        """Our own code fails on an event: try again, and then make a dead letter of it."""
        if tries >= _BUG_TRIES:
            reason = f"internal error: {type(error).__name__}"
            try:
                if isinstance(outcome, Work):
                    await self._deliverer.give_up(outcome, "bug", reason)
                else:
                    await self._deliverer.bury(item, "bug", reason)
            except Fenced:
                raise
            except DATABASE_AWAY as away:
                await self._database_is_away(away)
            except Exception:
                log.exception("an event can neither be delivered nor set aside", connection=self._connection)
            else:
                return None
        pause = min(0.2 * 2**tries, 10)
        if isinstance(outcome, Work | Redrive):
            await asyncio.sleep(pause)
            return outcome
        return HeldElsewhere(datetime.now(UTC) + timedelta(seconds=pause))

    def _finish(self, item: Item) -> None:
        failpoint("before_commit")
        following = item.owned.finish(item)
        if following is not None:
            self._ready.append(following)

    def _lose(self, owned: Owned, fenced: Fenced) -> None:
        if not owned.lost:
            owned.lost, owned.lost_at = True, time.monotonic()
            log.info("partition has another owner", connection=self._connection, why=str(fenced))

    # Parked rows ------------------------------------------------------------------------------------------------

    async def redrive(self, all_owned: Callable[[], Sequence[Owned]]) -> None:
        """Take up parked events whose time has come, head of each key first; until cancelled."""
        shortest, longest = _REDRIVE_EVERY
        pause = shortest
        while True:
            await asyncio.sleep(pause)
            if not self.admitting or not self._circuit.closed:
                continue
            found = False
            for owned in all_owned():
                if not owned.locked or owned.lost:
                    continue
                try:
                    rows = await self._ledger.due(owned.partition, owned.epoch, 200)
                except DATABASE_AWAY:
                    break
                for row in rows:
                    if row.order_key not in owned.redriving:
                        self._enqueue_row(owned, row)
                        found = True
            pause = shortest if found else min(longest, pause * 1.5)
            self.go_on()

    def _enqueue_row(self, owned: Owned, row: Row) -> None:
        owned.redriving.add(row.order_key)
        self.add(Item(owned, -1, row.order_key, row.key, row.value, row.headers, row))

    async def _after_row(self, item: Item) -> None:
        """The next one that waits behind it follows at once; when none is left the key is free."""
        owned, order_key = item.owned, item.order_key
        try:
            following = await self._ledger.head(owned.partition, order_key, owned.epoch)
            if following is not None and self.admitting:
                self._enqueue_row(owned, following)
            elif not await self._ledger.still_locked(owned.partition, order_key):
                owned.locked.discard(order_key)
        except DATABASE_AWAY:
            return  # found again when it is back

    # The end ----------------------------------------------------------------------------------------------------

    async def drain(self, going: Sequence[Owned], seconds: float) -> None:
        """Let what is in flight end; what does not end in time is stopped, and its claims are given back.

        Not those whose call is out: the vendor may still do it, so nobody asks or sends before the lease is over.
        """
        deadline = time.monotonic() + seconds
        while doing := {*self._batches, *(task for owned in going for task in owned.tasks)}:
            # A batch that ends leaves single events to be sent, so it is looked again.
            if (left := deadline - time.monotonic()) <= 0:
                break
            await asyncio.wait(doing, timeout=left)
        else:
            return
        works = [work for work in self._deliverer.under_way if work.item.owned in going]
        for task in doing:
            task.cancel()
        _, running = await asyncio.wait(doing, timeout=2)
        if running:
            return  # still not at rest: the leases protect what they may be doing
        for owned in going:
            here = [work for work in works if work.item.owned is owned]
            with contextlib.suppress(*DATABASE_AWAY):
                await self._ledger.release(
                    owned.partition,
                    owned.epoch,
                    untouched=[work.event.id for work in here if work.untouched],
                    on_the_wire=[work.event.id for work in here if work.over_in],
                )
