"""Events seen for the first time, many at once: read, judged, and written down in one statement.

Whatever comes of an event, it has a row of the ledger before anything is sent; what is to be sent is handed back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from libs.canonical.event import AnyEvent, MalformedEvent, UnknownKind, UnknownSchemaVersion
from libs.canonical.kinds import Nature
from libs.connectors.contract.target import Filtered, Hold, PartOfDocument, Ref
from libs.runtime.configuration.model import Connection
from libs.runtime.configuration.reading import configuration_hash
from libs.runtime.database.pool import DATABASE_AWAY
from libs.runtime.engine.lanes import Item
from libs.runtime.engine.ledger import WAITS_FOR_DOCUMENT, Claim, Entry, Fenced, Ledger
from libs.runtime.engine.planning import Planner
from libs.runtime.engine.work import Work, looked_through, traceparent_of, unreadable_entry
from libs.runtime.failpoints import failpoint
from libs.runtime.kafka.records import Partition
from libs.runtime.kafka.stored_headers import printable
from libs.runtime.telemetry.metrics import DUPLICATES


@dataclass(slots=True)
class HeldElsewhere:
    """A former owner's claim is still alive: ask again after that moment."""

    until: datetime


@dataclass(slots=True)
class Unreadable:
    """No canonical event: to become a dead letter."""

    reason: str


Outcome = Work | HeldElsewhere | Unreadable | Exception | None
"""What is left to do with an item: send it, ask again, bury it, deal with an error. None: it is at rest."""

SettleAs = Callable[[Item, AnyEvent, Entry], Awaitable[None]]


@dataclass(eq=False, slots=True)
class _Look:
    """An item while it is looked at."""

    item: Item
    event: AnyEvent | None = None
    entry: Entry | None = None
    work: Work | None = None
    outcome: Outcome = None


class Intake:
    """Takes in the events of one connection.

    `settle_as` ends a claim of an earlier run whose event would not be sent at all under today's configuration.
    """

    def __init__(self, connection: Connection, ledger: Ledger, planner: Planner, settle_as: SettleAs) -> None:
        self._ledger, self._planner, self._settle_as = ledger, planner, settle_as
        self._shadow = connection.shadow
        self._config_hash = configuration_hash(connection)
        self._duplicates = DUPLICATES.labels(connection.id)

    async def take_in(self, items: Sequence[Item]) -> list[Outcome]:
        """Bring each item to rest or hand it back, in their order; no two of them are of one order key.

        Raises what the database raises when it is away: nothing was sent then, and the items may be given again.
        """
        looks = [_Look(item) for item in items]
        for look in looks:
            self._read(look)
        readable = [look for look in looks if look.event is not None and look.entry is None]
        known = await self._planner.known([look.event for look in readable if look.event is not None])
        for look in readable:
            try:
                await self._judge(look, known)
            except DATABASE_AWAY:
                raise
            except Exception as error:  # noqa: BLE001 - a fault with this event alone: the others go on
                look.outcome = error
        await self._write(looks)
        return [look.outcome for look in looks]

    async def _write(self, looks: Sequence[_Look]) -> None:
        written = [(look, look.entry) for look in looks if look.entry is not None]
        if not written:
            return
        claims = await self._ledger.write([entry for _, entry in written])
        failpoint("after_claim")
        repeats: list[Partition] = []
        for (look, entry), claim in zip(written, claims, strict=True):
            if isinstance(claim, Fenced):
                look.outcome = claim
            elif claim.held_until is not None:
                # The former owner may still be sending: its claim is respected until its lease ends.
                look.outcome = HeldElsewhere(claim.held_until)
            elif not claim.fresh and (claim.row is None or claim.state != "claimed"):
                repeats.append(look.item.partition)
            else:
                await self._claimed(look, entry, claim)
        if repeats:
            self._duplicates.inc(len(repeats))
            await self._ledger.count_repeat(repeats)

    async def _claimed(self, look: _Look, entry: Entry, claim: Claim) -> None:
        if claim.fresh and claim.state == "parked" and entry.class_ not in WAITS_FOR_DOCUMENT:
            look.item.owned.locked.add(look.item.order_key)
        if claim.state != "claimed":
            return
        if look.work is None:
            if look.event is not None:
                await self._settle_as(look.item, look.event, entry)
            return
        if claim.row is not None:
            look.work.resume(claim.row)
        look.outcome = look.work

    # Judging ----------------------------------------------------------------------------------------------------

    def _read(self, look: _Look) -> None:
        try:
            event = look.event = self._planner.read(look.item)
        except UnknownKind as error:
            look.entry = self._entry(look.item, None, "filtered", None, f"unknown kind {error}")
        except UnknownSchemaVersion as error:
            look.entry = self._entry(look.item, None, "parked", "upgrade", f"needs a newer Tillstream: {error}")
        except MalformedEvent as error:
            look.outcome = Unreadable(f"not a canonical event: {error}")
        else:
            rule = self._planner.rule_against(event)
            if rule is not None:
                look.entry = self._entry(look.item, event, "filtered", None, rule)

    async def _judge(self, look: _Look, known: Mapping[Ref, str]) -> None:
        item, event = look.item, look.event
        assert event is not None
        plan, own = self._planner.plan(event, known)
        if isinstance(plan, Filtered):
            look.entry = self._entry(item, event, "filtered", None, plan.rule)
        elif isinstance(plan, PartOfDocument):
            look.entry = self._entry(item, event, "parked", "day_open", plan.reason)
        elif (why := self._planner.needless(item, event)) is not None:
            look.entry = self._entry(item, event, "superseded", None, why)
        elif item.order_key in item.owned.locked and not await self._frees_key(item, event):
            look.entry = self._entry(item, event, "parked", "behind", "waits for an earlier event of this key")
        elif isinstance(plan, Hold):
            look.entry = self._entry(item, event, "parked", "hold", plan.reason)
        elif (orphan := await self._planner.orphan(event)) is not None:
            look.entry = self._entry(item, event, "parked", "dependency", orphan)
        elif self._shadow:
            look.entry = self._entry(item, event, "shadowed", None, "shadow: everything but the write was done")
        elif item.owned.must_spill(item):
            look.entry = self._entry(item, event, "parked", "spilled", "kept here before Kafka deletes it")
        else:
            plan_hash, placeholders = looked_through(plan)
            look.work = Work(item, event, plan, plan_hash, placeholders, known=own)
            look.entry = self._entry(item, event, "claimed", None, None, plan_hash)

    async def _frees_key(self, item: Item, event: AnyEvent) -> bool:
        """A newer state supersedes older ones that are parked or dead; True when the key is free then."""
        if event.nature is not Nature.STATE:
            return False
        if not await self._ledger.supersede_older(item.partition, item.epoch, item.order_key, event.version):
            return False
        item.owned.locked.discard(item.order_key)
        return True

    def _entry(
        self,
        item: Item,
        event: AnyEvent | None,
        state: str,
        class_: str | None,
        reason: str | None,
        plan_hash: str | None = None,
    ) -> Entry:
        entry = unreadable_entry(item) if event is None else self._readable_entry(item, event)
        entry.state, entry.class_, entry.plan_hash = state, class_, plan_hash
        entry.reason = printable(reason) if reason else None
        if state == "parked" and class_ not in WAITS_FOR_DOCUMENT:
            entry.key, entry.value, entry.headers = item.key, item.value, item.headers
        return entry

    def _readable_entry(self, item: Item, event: AnyEvent) -> Entry:
        partition = item.owned.partition
        return Entry(
            event_id=event.id,
            kind=event.kind.value,
            order_key=item.order_key,
            entity_id=event.entity_id,
            version=event.version,
            location_id=event.location_id,
            occurred_at=event.occurred_at,
            partition=partition,
            offset=item.offset,
            epoch=item.owned.epoch,
            newest_only=event.nature is Nature.STATE,
            config_hash=self._config_hash,
            traceparent=traceparent_of(item),
        )
