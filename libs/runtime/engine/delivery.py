"""One event on its way to one target: its steps one after the other, and what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from opentelemetry.trace import SpanKind

from libs.canonical.event import AnyEvent, UnknownSchemaVersion
from libs.connectors.contract.target import (
    Conflict,
    Deliver,
    Done,
    Filtered,
    Hold,
    Invalid,
    MissingDependency,
    Outage,
    PartOfDocument,
    Retry,
    Step,
    UnknownOutcome,
)
from libs.runtime.configuration.model import Connection
from libs.runtime.database.pool import DATABASE_AWAY
from libs.runtime.engine.attempts import Attempts, Spilled
from libs.runtime.engine.batcher import Batcher
from libs.runtime.engine.brake import Brake
from libs.runtime.engine.circuit import Circuit
from libs.runtime.engine.dead_letters import DeadLetter, DeadLetterTopic
from libs.runtime.engine.lanes import Item
from libs.runtime.engine.ledger import SETTLED, Entry, Fenced, Ledger, Row, Settlement
from libs.runtime.engine.planning import UNREADABLE, Planner
from libs.runtime.engine.remotes import Remotes
from libs.runtime.engine.work import Work, looked_through, unreadable_entry
from libs.runtime.failpoints import failpoint
from libs.runtime.telemetry.metrics import LATENCY
from libs.runtime.telemetry.tracing import exporting, span

log = structlog.get_logger()

# How long outcomes gather before they are written down together, in seconds: far less than a call takes.
_GATHER = 0.003
# How long a document waits in hand for members whose own records were not read yet, in seconds.
_MEMBERS_PATIENCE = 60
# A held event (an unmapped account) is looked at again this often, and at every start; in seconds.
_HOLD_AGAIN = 3600.0


@dataclass(frozen=True)
class Parts:
    """What a connection's deliveries are made with."""

    ledger: Ledger
    planner: Planner
    remotes: Remotes
    attempts: Attempts
    circuit: Circuit
    dead_letters: DeadLetterTopic


class Deliverer:
    """Brings the events of one connection to rest; safe for many at once on distinct order keys."""

    def __init__(self, connection: Connection, parts: Parts) -> None:
        self._connection = connection
        self._ledger, self._planner, self._remotes = parts.ledger, parts.planner, parts.remotes
        self._attempts, self._circuit, self._dead_letters = parts.attempts, parts.circuit, parts.dead_letters
        self.brake = Brake()
        self.under_way: set[Work] = set()
        self.settlements: Batcher[Settlement, Exception | None] = Batcher(
            self._settle_together, size=500, linger=_GATHER
        )
        self._latency = LATENCY.labels(connection.id)
        self._attributes = {"tillstream.connection": connection.id, "messaging.system": "kafka"}

    # Sending ----------------------------------------------------------------------------------------------------

    async def send(self, work: Work) -> None:
        """Carry out the steps that are not done yet, until the event is at rest. Raises Fenced.

        When it raises what the database raises while it is away, it may be called again with the same work.
        """
        self.under_way.add(work)
        try:
            await self._traced(work)
        finally:
            self.under_way.discard(work)

    async def _traced(self, work: Work) -> None:
        if not exporting():
            await self._carry_out(work)
            return
        item = work.item
        with span(f"process {item.partition.topic}", SpanKind.CONSUMER, item.text.get("traceparent"), self._attributes):
            await self._carry_out(work)

    async def settle_at_once(self, works: Sequence[Work]) -> list[Fenced | None]:
        """The events that need no call are delivered: all of them written down in one statement."""
        failpoint("before_complete")
        settled = await self._ledger.settle([self._settlement(work, "delivered") for work in works])
        for work in works:
            self._observe(work)
        return settled

    def _observe(self, work: Work) -> None:
        waited = (datetime.now(UTC) - work.received_at).total_seconds()
        self._latency.observe(max(0.0, waited))

    async def _carry_out(self, work: Work) -> None:
        if work.ending is not None:
            await self._end(work, work.ending)
            return
        work.sent_at = work.sent_at or datetime.now(UTC)
        work.forgotten = self._planner.maybe_forgotten(work.event, work.first_seen)
        if work.plan.settles and not await self._members_known(work):
            await self._give_time_or_up(work, "dependency", "some events of this document were not read yet")
            return
        steps = work.plan.steps
        reads: tuple[Step, ...] = ()
        for number, step in enumerate(steps):
            if step.name in work.steps:
                continue
            if step.once and step.provides is not None:
                known = await self._remotes.known([step.provides])
                if known:
                    work.known |= known
                    continue
            verdict = await self._attempts.until_answered(work, step, reads)
            reads = (*reads, step) if step.reads else ()
            if not isinstance(verdict, Done):
                await self._not_done(work, step, verdict)
                return
            self._remotes.learn(work.note_done(step, verdict))
            if not step.reads:
                self.brake.success()
            failpoint("after_send")
            if number + 1 < len(steps) and not step.reads:
                await self._ledger.save_step(
                    work.event.id, work.item.partition, work.item.epoch, work.steps, work.provides
                )
                failpoint("between_steps")
        failpoint("before_complete")
        await self._settle(work, "delivered")
        self._observe(work)

    async def _members_known(self, work: Work) -> bool:
        members = [*work.plan.settles, *work.plan.left_out]
        for _ in range(_MEMBERS_PATIENCE):
            if not await self._ledger.unseen(members):
                return True
            await asyncio.sleep(1)
        return False

    # A row whose time has come ----------------------------------------------------------------------------------

    async def redrive(self, item: Item, row: Row) -> None:
        """Take up a parked event: judged anew, since configuration and target may have changed. Raises Fenced."""
        taken = await self._ledger.take_up(row, item.epoch)
        if taken is None:
            return
        row = taken
        try:
            event = self._planner.read(item)
        except UNREADABLE as error:
            class_ = "upgrade" if isinstance(error, UnknownSchemaVersion) else "poison"
            await self._settle_unreadable(item, row, class_, str(error))
            return
        rule = self._planner.rule_against(event)
        plan, known = self._planner.plan(event, await self._planner.known([event]))
        work = Work(item, event, plan if isinstance(plan, Deliver) else Deliver(()), known=known)
        work.attempts, work.first_seen = row.attempts, row.first_seen
        if rule is not None or isinstance(plan, Filtered):
            await self._settle(work, "filtered", reason=rule or getattr(plan, "rule", None))
        elif isinstance(plan, PartOfDocument):
            await self._settle(work, "parked", class_="day_open", reason=plan.reason)
        elif (why := self._planner.needless(item, event) or await self._planner.outdated(event)) is not None:
            await self._settle(work, "superseded", reason=why)
        elif isinstance(plan, Hold):
            await self._settle(work, "parked", class_="hold", reason=plan.reason, retry_in=_HOLD_AGAIN)
        elif row.class_ != "replay" and (orphan := await self._planner.orphan(event)) is not None:
            await self._give_time_or_up(work, "dependency", orphan)
        elif self._connection.shadow:
            await self._settle(work, "shadowed", reason="shadow: everything but the write was done")
        else:
            work.plan_hash, work.placeholders = looked_through(plan)
            work.resume(row)
            await self._ledger.mark_sending(row, item.epoch, work.plan_hash)
            await self.send(work)

    async def _settle_unreadable(self, item: Item, row: Row, class_: str, reason: str) -> None:
        state = "parked" if class_ == "upgrade" else "dead"
        if state == "dead":
            await self._publish_dead(item, row.event_id, class_, reason, attempts=row.attempts)
        await self._write_settlement(
            Settlement(
                row.event_id, item.partition, item.epoch, state, class_, reason,
                retry_in=_HOLD_AGAIN, attempts=row.attempts, in_topic=state == "dead", steps=row.steps,
                maybe_sent=row.interrupted,
            )
        )  # fmt: skip

    # Outcomes ---------------------------------------------------------------------------------------------------

    async def _not_done(self, work: Work, step: Step, verdict: object) -> None:
        match verdict:
            case Spilled():
                await self._settle(
                    work, "parked", class_="spilled", reason="kept here before Kafka deletes it", retry_in=0.0
                )
            case MissingDependency(what):
                await self._give_time_or_up(work, "dependency", what)
            case Invalid(reason, where):
                await self.give_up(work, "poison", f"{step.name}: {reason}" + (f" ({where})" if where else ""))
            case Conflict(reason):
                await self.give_up(work, "conflict", f"{step.name}: {reason}")
            case Outage(reason) | Retry(reason) | UnknownOutcome(reason):
                await self._give_time_or_up(work, "retry", f"{step.name}: {reason}")
            case _:
                await self.give_up(work, "bug", f"{step.name}: no reaction to {type(verdict).__name__}")

    async def _give_time_or_up(self, work: Work, class_: str, reason: str) -> None:
        parking = self._connection.parking
        age = (datetime.now(UTC) - work.first_seen).total_seconds()
        if work.attempts + 1 >= parking.attempts or age > parking.give_up_after_seconds:
            await self.give_up(work, class_, f"{reason} (given up after {work.attempts + 1} tries)")
            return
        wait = parking.delays_seconds[min(work.attempts, len(parking.delays_seconds) - 1)]
        wait = max(wait, work.over_in)
        failpoint("inside_parking")
        await self._settle(work, "parked", class_=class_, reason=reason, retry_in=wait, attempts=work.attempts + 1)

    async def give_up(self, work: Work, class_: str, reason: str) -> None:
        """Make a dead letter of it, if the brake allows. Raises Fenced."""
        if class_ in ("poison", "conflict", "bug"):
            await self._until_allowed(work.item, reason)
        await self._publish_dead(work.item, work.event.id, class_, reason, attempts=work.attempts + 1)
        failpoint("inside_dead_lettering")
        await self._settle(work, "dead", class_=class_, reason=reason, attempts=work.attempts + 1)
        log.warning("dead letter", connection=self._connection.id, event_id=work.event.id, why=class_)

    async def _until_allowed(self, item: Item, reason: str) -> None:
        """Wait while the brake forbids another dead letter: the connection is paused, and a person decides."""
        while not self.brake.allows(item.order_key):
            await self._circuit.stop_until_resumed(
                "tillstream", f"many events in a row were refused, the last: {reason}"
            )
            await self._circuit.wait_until_resumed()
            self.brake.reset()

    async def bury(self, item: Item, class_: str, reason: str) -> None:
        """A record that cannot be read, or on which our own code fails, becomes a dead letter. Raises Fenced."""
        try:
            event: AnyEvent | None = self._planner.read(item)
        except UNREADABLE:
            event = None
        entry = unreadable_entry(item)
        if event is not None:
            entry.event_id, entry.kind, entry.entity_id = event.id, event.kind.value, event.entity_id
        row = item.row
        if row is not None:
            await self._settle_unreadable(item, row, class_, reason)
            return
        await self._until_allowed(item, reason)
        # First the letter, then the row: its offset counts as done only when both have it.
        await self._publish_dead(item, entry.event_id, class_, reason, attempts=0)
        failpoint("inside_dead_lettering")
        entry.state, entry.class_, entry.reason = "dead", class_, reason
        entry.key, entry.value, entry.headers = item.key, item.value, item.headers
        (claim,) = await self._ledger.write([entry])
        if isinstance(claim, Fenced):
            raise claim
        if not claim.fresh and claim.state in SETTLED:
            return
        if not claim.fresh and claim.state == "claimed":
            await self._write_settlement(
                Settlement(
                    entry.event_id, item.partition, item.epoch, "dead", class_, reason, in_topic=True, maybe_sent=True,
                    key=item.key, value=item.value, headers=item.headers,
                )
            )  # fmt: skip
        item.owned.locked.add(item.order_key)
        log.warning("dead letter", connection=self._connection.id, event_id=entry.event_id, why=class_)

    async def settle_as(self, item: Item, event: AnyEvent, entry: Entry) -> None:
        """A claim of an earlier run, under a configuration by which the event would not be sent at all any more."""
        work = Work(item, event, Deliver(()), doubtful=True)
        await self._settle(work, entry.state, class_=entry.class_, reason=entry.reason, retry_in=0.0)

    async def _publish_dead(self, item: Item, event_id: str, class_: str, reason: str, *, attempts: int) -> None:
        letter = DeadLetter(
            stage="delivery", connection=self._connection.id, event_id=event_id, class_=class_, reason=reason,
            attempts=attempts, key=item.key, value=item.value, headers=item.headers, partition=item.partition,
            offset=item.offset,
        )  # fmt: skip
        if await self._dead_letters.try_to_publish(letter):
            return
        item.owned.refused += 1
        try:
            await self._dead_letters.publish(letter)
        finally:
            item.owned.refused -= 1

    def _settlement(
        self,
        work: Work,
        state: str,
        *,
        class_: str | None = None,
        reason: str | None = None,
        retry_in: float | None = None,
        attempts: int | None = None,
    ) -> Settlement:
        item = work.item
        settlement = Settlement(
            event_id=work.event.id,
            partition=item.owned.partition,
            epoch=item.owned.epoch,
            state=state,
            class_=class_,
            reason=reason,
            remote_id=work.remote_id,
            document=work.plan.document,
            attempts=work.attempts if attempts is None else attempts,
            retry_in=retry_in,
            maybe_sent=work.doubtful,
            in_topic=state == "dead",
            steps=work.steps,
            provides=work.provides,
        )
        if work.plan.settles or work.plan.left_out:
            settlement.settles, settlement.left_out = work.plan.settles, dict(work.plan.left_out)
        if _locks(state, class_):
            settlement.key, settlement.value, settlement.headers = item.key, item.value, item.headers
        return settlement

    async def _settle(
        self,
        work: Work,
        state: str,
        *,
        class_: str | None = None,
        reason: str | None = None,
        retry_in: float | None = None,
        attempts: int | None = None,
    ) -> None:
        work.ending = self._settlement(work, state, class_=class_, reason=reason, retry_in=retry_in, attempts=attempts)
        await self._end(work, work.ending)

    async def _end(self, work: Work, settlement: Settlement) -> None:
        await self._write_settlement(settlement)
        if _locks(settlement.state, settlement.class_):
            work.item.owned.locked.add(work.item.order_key)

    async def _write_settlement(self, settlement: Settlement) -> None:
        error = await self.settlements.submit(settlement)
        if error is not None:
            raise error

    async def _settle_together(self, settlements: Sequence[Settlement]) -> Sequence[Exception | None]:
        """In one statement; one by one when the database refuses them, so that only the offender is refused."""
        try:
            return await self._ledger.settle(settlements)
        except DATABASE_AWAY:
            raise
        except Exception as error:  # noqa: BLE001 - raised by whoever waits for it
            if len(settlements) == 1:
                return [error]
            return [(await self._settle_together([settlement]))[0] for settlement in settlements]


def _locks(state: str, class_: str | None) -> bool:
    """Whether an event set aside so keeps its bytes and holds up its key."""
    return state == "dead" or (state == "parked" and class_ != "day_open")
