"""One event on its way to one target: rules, plan, claim, steps, and what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import structlog
from opentelemetry.trace import SpanKind

from libs.canonical.event import (
    AnyEvent,
    MalformedEvent,
    UnknownKind,
    UnknownSchemaVersion,
    decode,
    kind_of,
)
from libs.canonical.kinds import Nature
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
    Ref,
    Retry,
    Step,
    Target,
    UnknownOutcome,
    Verdict,
)
from libs.runtime.configuration.model import Connection
from libs.runtime.configuration.reading import configuration_hash
from libs.runtime.engine.attempts import Attempts
from libs.runtime.engine.batcher import Batcher
from libs.runtime.engine.brake import Brake
from libs.runtime.engine.calls import Caller
from libs.runtime.engine.circuit import Circuit
from libs.runtime.engine.dead_letters import DeadLetter, DeadLetterTopic
from libs.runtime.engine.failpoints import failpoint
from libs.runtime.engine.ledger import SETTLED, Claim, Entry, Fenced, Ledger, Row, Settlement
from libs.runtime.engine.remotes import Remotes
from libs.runtime.engine.rules import Rules
from libs.runtime.engine.work import Item, Work, hash_of_plan, unreadable_id
from libs.runtime.http.client import VendorClient
from libs.runtime.kafka.records import Partition, readable
from libs.runtime.kafka.stored_headers import printable
from libs.runtime.telemetry.metrics import DUPLICATES, LATENCY
from libs.runtime.telemetry.tracing import span

log = structlog.get_logger()

# How long a document waits in hand for members whose own records were not read yet, in seconds.
_MEMBERS_PATIENCE = 60
# A held event (an unmapped account) is looked at again this often, and at every start; in seconds.
_HOLD_AGAIN = 3600.0


class Deliverer:
    """Everything one connection needs to deliver one event after the other; safe for many at once on distinct keys.

    `locked` and `lock` tell and set whether an order key waits behind something parked or dead.
    """

    def __init__(
        self,
        connection: Connection,
        target: Target,
        *,
        ledger: Ledger,
        caller: Caller,
        client: VendorClient,
        circuit: Circuit,
        dead_letters: DeadLetterTopic,
        remotes: Remotes,
        rules: Rules,
        locked: Callable[[Item], bool],
        lock: Callable[[Item, bool], None],
    ) -> None:
        facts = target.manifest.target
        assert facts is not None
        self._connection, self._target, self._facts = connection, target, facts
        self._config = connection.target_config
        self._config_hash = configuration_hash(connection)
        self._ledger, self._circuit = ledger, circuit
        self._dead_letters, self._remotes, self._rules = dead_letters, remotes, rules
        self._locked, self._lock = locked, lock
        self.brake = Brake()
        self._attempts = Attempts(
            connection.id,
            caller=caller,
            client=client,
            circuit=circuit,
            remotes=remotes,
            upserts=any(i.means == "upsert" for i in facts.idempotency),
        )
        self.claims: Batcher[Entry, Claim | Fenced] = Batcher(ledger.write, size=500)
        self.settlements: Batcher[Settlement, Fenced | None] = Batcher(ledger.settle, size=500)
        self.repeats: Batcher[Partition, None] = Batcher(self._count_repeats, size=500, linger=0.05)

    async def _count_repeats(self, partitions: Any) -> list[None]:
        DUPLICATES.labels(self._connection.id).inc(len(partitions))
        await self._ledger.count_repeat(partitions)
        return [None] * len(partitions)

    # Reading ----------------------------------------------------------------------------------------------------

    async def handle(self, item: Item) -> None:
        """Bring an event to rest: delivered, or written down as what else it is. Raises Fenced."""
        traceparent = readable(item.headers).get("traceparent")
        attributes = {"tillstream.connection": self._connection.id, "messaging.system": "kafka"}
        with span(f"process {item.partition.topic}", SpanKind.CONSUMER, traceparent, attributes):
            if item.row is None:
                await self._handle_record(item)
            else:
                await self._handle_row(item, item.row)

    def _read(self, item: Item) -> AnyEvent:
        return decode(kind_of(readable(item.headers)), item.value)

    async def _handle_record(self, item: Item) -> None:
        try:
            event = self._read(item)
        except UnknownKind as error:
            await self._write_unreadable(item, "filtered", None, f"unknown kind {error}")
            return
        except UnknownSchemaVersion as error:
            await self._write_unreadable(item, "parked", "upgrade", f"needs a newer Tillstream: {error}")
            return
        except MalformedEvent as error:
            await self._write_unreadable(item, "dead", "poison", f"not a canonical event: {error}")
            return
        entry, work = await self._first_look(item, event)
        while True:
            claim = await self.claims.submit(entry)
            if isinstance(claim, Fenced):
                raise claim
            if claim.held_until is None:
                break
            # The former owner may still be sending: its claim is respected until its lease ends.
            await asyncio.sleep(max(0.05, (claim.held_until - datetime.now(UTC)).total_seconds()))
        failpoint("after_claim")
        if not claim.fresh and (claim.row is None or claim.state != "claimed"):
            await self.repeats.submit(item.partition)
            return
        if claim.fresh and claim.state in ("parked", "dead") and entry.class_ != "day_open":
            self._lock(item, True)
        if claim.state != "claimed":
            return
        if work is None:
            await self._settle_as(item, event, entry)
            return
        if claim.row is not None:
            work.resume(claim.row)
        await self._carry_out(work)

    async def _settle_as(self, item: Item, event: AnyEvent, entry: Entry) -> None:
        """A claim of an earlier run, under a configuration by which the event would not be sent at all any more."""
        work = Work(item, event, Deliver(()), "", {}, {}, doubtful=True)
        await self._settle(work, entry.state, class_=entry.class_, reason=entry.reason, retry_in=0.0)

    async def _write_unreadable(self, item: Item, state: str, class_: str | None, reason: str) -> None:
        event_id = printable(readable(item.headers).get("ce_id") or unreadable_id(item.partition, item.offset))
        entry = replace(
            self._entry(item, None, state, class_, reason), event_id=event_id, entity_id=event_id, version=0
        )
        if state == "dead":
            await self._publish_dead(item, event_id, class_ or "poison", reason, attempts=0)
        claim = await self.claims.submit(entry)
        if isinstance(claim, Fenced):
            raise claim
        if not claim.fresh:
            await self.repeats.submit(item.partition)
        elif state in ("parked", "dead"):
            self._lock(item, True)

    def _entry(
        self, item: Item, event: AnyEvent | None, state: str, class_: str | None = None, reason: str | None = None
    ) -> Entry:
        keep = state in ("parked", "dead") and class_ != "day_open"
        return Entry(
            event_id=printable(event.id) if event else "",
            kind=str(event.kind) if event else "unknown",
            order_key=item.order_key,
            entity_id=printable(event.entity_id) if event else "",
            version=event.version if event else 0,
            location_id=printable(event.location_id) if event and event.location_id else None,
            occurred_at=event.occurred_at if event else datetime.now(UTC),
            partition=item.partition,
            offset=item.offset,
            epoch=item.epoch,
            state=state,
            class_=class_,
            reason=printable(reason) if reason else None,
            newest_only=event is not None and event.nature is Nature.STATE,
            config_hash=self._config_hash,
            key=item.key if keep else None,
            value=item.value if keep else None,
            headers=item.headers if keep else (),
            traceparent=readable(item.headers).get("traceparent"),
        )

    async def _first_look(self, item: Item, event: AnyEvent) -> tuple[Entry, Work | None]:
        """What is to be written for an event never handled before, and the work if it is to be sent."""
        rule = self._rules.against(event)
        if rule is not None:
            return self._entry(item, event, "filtered", reason=rule), None
        plan, known = await self._plan(event)
        if isinstance(plan, Filtered):
            return self._entry(item, event, "filtered", reason=plan.rule), None
        if isinstance(plan, PartOfDocument):
            return self._entry(item, event, "parked", "day_open", plan.reason), None
        if self._locked(item) and not await self._frees_key(item, event):
            return self._entry(item, event, "parked", "behind", "waits for an earlier event of this key"), None
        if isinstance(plan, Hold):
            return self._entry(item, event, "parked", "hold", plan.reason), None
        orphan = await self._orphan(event)
        if orphan is not None:
            return self._entry(item, event, "parked", "dependency", orphan), None
        if self._connection.shadow:
            return self._entry(item, event, "shadowed", reason="shadow: everything but the write was done"), None
        work = Work(item, event, plan, hash_of_plan(plan), {}, known)
        return replace(self._entry(item, event, "claimed"), plan_hash=work.plan_hash), work

    async def _plan(self, event: AnyEvent) -> tuple[Deliver | Filtered | PartOfDocument | Hold, dict[Ref, str]]:
        known = await self._remotes.known(self._target.references(event, self._config))
        return self._target.plan(event, self._config, known), known

    async def _frees_key(self, item: Item, event: AnyEvent) -> bool:
        """A newer state supersedes older ones that are parked or dead; True when the key is free then."""
        if event.nature is not Nature.STATE:
            return False
        if not await self._ledger.supersede_older(item.partition, item.epoch, item.order_key, event.version):
            return False
        self._lock(item, False)
        return True

    async def _orphan(self, event: AnyEvent) -> str | None:
        needs = self._facts.kinds[event.kind].needs
        if not needs or self._connection.orphan == "deliver":
            return None
        if await self._ledger.delivered_before(event.order_key, [str(kind) for kind in needs]):
            return None
        return f"{' or '.join(needs)} of {event.order_key} was never delivered here"

    # A row whose time has come ----------------------------------------------------------------------------------

    async def _handle_row(self, item: Item, row: Row) -> None:
        if not await self._ledger.take_up(row, item.epoch):
            return
        try:
            event = self._read(item)
        except (UnknownKind, UnknownSchemaVersion, MalformedEvent) as error:
            class_ = "upgrade" if isinstance(error, UnknownSchemaVersion) else "poison"
            await self._settle_unreadable(item, row, class_, str(error))
            return
        rule = self._rules.against(event)
        plan, known = await self._plan(event)
        work = Work(item, event, plan if isinstance(plan, Deliver) else Deliver(()), "", {}, known)
        work.attempts, work.first_seen = row.attempts, row.first_seen
        if rule is not None or isinstance(plan, Filtered):
            await self._settle(work, "filtered", reason=rule or getattr(plan, "rule", None))
        elif isinstance(plan, PartOfDocument):
            await self._settle(work, "parked", class_="day_open", reason=plan.reason)
        elif isinstance(plan, Hold):
            await self._settle(work, "parked", class_="hold", reason=plan.reason, retry_in=_HOLD_AGAIN)
        elif row.class_ != "replay" and (orphan := await self._orphan(event)) is not None:
            await self._give_time_or_up(work, "dependency", orphan)
        elif self._connection.shadow:
            await self._settle(work, "shadowed", reason="shadow: everything but the write was done")
        else:
            work.plan_hash = hash_of_plan(plan)
            work.resume(row)
            await self._ledger.mark_sending(row, item.epoch, work.plan_hash)
            await self._carry_out(work)

    async def _settle_unreadable(self, item: Item, row: Row, class_: str, reason: str) -> None:
        state = "parked" if class_ == "upgrade" else "dead"
        if state == "dead":
            await self._publish_dead(item, row.event_id, class_, reason, attempts=row.attempts)
        await self._write_settlement(
            Settlement(
                row.event_id, item.partition, item.epoch, state, class_, reason,
                retry_in=_HOLD_AGAIN, attempts=row.attempts, in_topic=state == "dead",
            )
        )  # fmt: skip

    # Steps ------------------------------------------------------------------------------------------------------

    async def _carry_out(self, work: Work) -> None:
        work.sent_at = work.sent_at or datetime.now(UTC)
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
        waited = (datetime.now(UTC) - work.received_at).total_seconds()
        LATENCY.labels(self._connection.id).observe(max(0.0, waited))

    async def _members_known(self, work: Work) -> bool:
        members = [*work.plan.settles, *work.plan.left_out]
        for _ in range(_MEMBERS_PATIENCE):
            if not await self._ledger.unseen(members):
                return True
            await asyncio.sleep(1)
        return False

    # Outcomes ---------------------------------------------------------------------------------------------------

    async def _not_done(self, work: Work, step: Step, verdict: Verdict) -> None:
        match verdict:
            case MissingDependency(what):
                await self._give_time_or_up(work, "dependency", what)
            case Invalid(reason, where):
                await self._give_up(work, "poison", f"{step.name}: {reason}" + (f" ({where})" if where else ""))
            case Conflict(reason):
                await self._give_up(work, "conflict", f"{step.name}: {reason}")
            case Outage(reason) | Retry(reason) | UnknownOutcome(reason):
                await self._give_time_or_up(work, "retry", f"{step.name}: {reason}")
            case _:
                await self._give_up(work, "bug", f"{step.name}: no reaction to {type(verdict).__name__}")

    async def _give_time_or_up(self, work: Work, class_: str, reason: str) -> None:
        parking = self._connection.parking
        age = (datetime.now(UTC) - work.first_seen).total_seconds()
        if work.attempts + 1 >= parking.attempts or age > parking.give_up_after_seconds:
            await self._give_up(work, class_, f"{reason} (given up after {work.attempts + 1} tries)")
            return
        wait = parking.delays_seconds[min(work.attempts, len(parking.delays_seconds) - 1)]
        failpoint("inside_parking")
        await self._settle(work, "parked", class_=class_, reason=reason, retry_in=wait, attempts=work.attempts + 1)

    async def _give_up(self, work: Work, class_: str, reason: str) -> None:
        while class_ in ("poison", "conflict", "bug") and not self.brake.allows(work.item.order_key):
            await self._circuit.stop_until_resumed(
                "tillstream", f"many events in a row were refused, the last: {reason}"
            )
            await self._circuit.wait_until_resumed()
            self.brake.reset()
        await self._publish_dead(work.item, work.event.id, class_, reason, attempts=work.attempts + 1)
        failpoint("inside_dead_lettering")
        await self._settle(work, "dead", class_=class_, reason=reason, attempts=work.attempts + 1)
        log.warning("dead letter", connection=self._connection.id, event_id=work.event.id, why=class_)

    async def give_up_for_bug(self, item: Item, error: Exception) -> None:
        """An event on which our own code fails again and again becomes a dead letter too."""
        reason = f"internal error: {type(error).__name__}"
        try:
            event = self._read(item)
        except (UnknownKind, UnknownSchemaVersion, MalformedEvent):
            await self._write_unreadable(item, "dead", "bug", reason)
            return
        if item.row is None:
            claim = await self.claims.submit(self._entry(item, event, "claimed"))
            if isinstance(claim, Fenced):
                raise claim
            if claim.state in SETTLED:
                return
        await self._give_up(Work(item, event, Deliver(()), "", {}, {}, doubtful=True), "bug", reason)

    async def _publish_dead(self, item: Item, event_id: str, class_: str, reason: str, *, attempts: int) -> None:
        await self._dead_letters.publish(
            DeadLetter(
                stage="delivery", connection=self._connection.id, event_id=event_id, class_=class_, reason=reason,
                attempts=attempts, key=item.key, value=item.value, headers=item.headers, partition=item.partition,
                offset=item.offset,
            )
        )  # fmt: skip

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
        item = work.item
        keep = state in ("parked", "dead") and class_ != "day_open"
        await self._write_settlement(
            Settlement(
                event_id=work.event.id,
                partition=item.partition,
                epoch=item.epoch,
                state=state,
                class_=class_,
                reason=reason,
                remote_id=work.remote_id,
                document=work.plan.document,
                settles=work.plan.settles,
                left_out=dict(work.plan.left_out),
                attempts=work.attempts if attempts is None else attempts,
                retry_in=retry_in,
                maybe_sent=work.doubtful,
                in_topic=state == "dead",
                steps=work.steps,
                provides=work.provides,
                key=item.key if keep else None,
                value=item.value if keep else None,
                headers=item.headers if keep else (),
            )
        )
        if keep:
            self._lock(item, True)

    async def _write_settlement(self, settlement: Settlement) -> None:
        fenced = await self.settlements.submit(settlement)
        if fenced is not None:
            raise fenced
