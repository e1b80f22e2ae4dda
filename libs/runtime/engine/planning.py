"""What an event means for one connection: whether it is for it at all, what would be sent, what stands against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from libs.canonical.event import AnyEvent, MalformedEvent, UnknownKind, UnknownSchemaVersion, decode, kind_of
from libs.canonical.kinds import KINDS, Nature
from libs.connectors.contract.target import Deliver, Plan, Ref, Target
from libs.runtime.configuration.model import Connection
from libs.runtime.engine.lanes import Item
from libs.runtime.engine.ledger import Ledger
from libs.runtime.engine.remotes import Remotes
from libs.runtime.engine.rules import Rules
from libs.runtime.retention import maybe_forgotten

UNREADABLE = (UnknownKind, UnknownSchemaVersion, MalformedEvent)

_BIGINT = 2**63
_NUL = b"\\u0000"

NEWER_WAITS = "a newer version waits right behind it"


class Planner:
    """Judges events of one connection."""

    def __init__(self, connection: Connection, target: Target, ledger: Ledger, remotes: Remotes, rules: Rules) -> None:
        facts = target.manifest.target
        assert facts is not None
        self._connection, self._target, self._facts = connection, target, facts
        self._config = connection.target_config
        self._ledger, self._remotes, self._rules = ledger, remotes, rules

    @staticmethod
    def read(item: Item) -> AnyEvent:
        """The event of a record. Raises UnknownKind, UnknownSchemaVersion, MalformedEvent."""
        event = decode(kind_of(item.text), item.value)
        # What the database could not keep must not stop a partition.
        if not -_BIGINT <= event.version < _BIGINT:
            raise MalformedEvent("version: more than 64 bits")
        if item.value and _NUL in item.value and "\x00" in f"{event.id}{event.entity_id}{event.location_id}":
            raise MalformedEvent("an id holds a NUL character")
        return event

    def rule_against(self, event: AnyEvent) -> str | None:
        """The rule that keeps the event out, or None."""
        return self._rules.against(event)

    def maybe_forgotten(self, event: AnyEvent, first_seen: datetime) -> bool:
        """Whether an event may have had an earlier row that was pruned since: it is asked for before it is sent."""
        return maybe_forgotten(event.kind, event.occurred_at, first_seen, self._rules.started_at)

    async def known(self, events: Sequence[AnyEvent]) -> Mapping[Ref, str]:
        """Remote ids that the plans of these events may rest on, asked for together."""
        refs = [ref for event in events for ref in self._target.references(event, self._config)]
        return await self._remotes.known(refs) if refs else {}

    def plan(self, event: AnyEvent, known: Mapping[Ref, str]) -> tuple[Plan, dict[Ref, str]]:
        """The plan, and those of the known remote ids that belong to this event."""
        refs = self._target.references(event, self._config)
        own = {ref: known[ref] for ref in refs if ref in known}
        return self._target.plan(event, self._config, own), own

    async def orphan(self, event: AnyEvent) -> str | None:
        """Why it has to wait for an event that was never delivered here, or None."""
        needs = self._facts.kinds[event.kind].needs
        if not needs or self._connection.orphan == "deliver":
            return None
        if await self._ledger.delivered_before(event.order_key, [str(kind) for kind in needs]):
            return None
        return f"{' or '.join(needs)} of {event.order_key} was never delivered here"

    def needless(self, item: Item, event: AnyEvent) -> str | None:
        """Why sending it would be of no use any more, or None: too late, or a newer state waits right behind it."""
        useful_for = KINDS[event.kind].useful_for
        if useful_for is not None and datetime.now(UTC) - event.occurred_at > useful_for:
            return f"of no use any more: it happened more than {_in_words(useful_for)} ago"
        if event.nature is Nature.STATE and any(self._replaces(later, event) for later in item.owned.behind(item)):
            return NEWER_WAITS
        return None

    async def outdated(self, event: AnyEvent) -> str | None:
        """Why a state that was set aside must not be sent any more: a newer one had its turn meanwhile. Or None."""
        if event.nature is Nature.STATE and await self._ledger.newer_delivered(event.order_key, event.version):
            return "a newer version was delivered before"
        return None

    def _replaces(self, item: Item, event: AnyEvent) -> bool:
        """Whether the record in the same lane is a newer state that will be sent by itself."""
        if item.row is not None:
            return False
        try:
            later = self.read(item)
        except UNREADABLE:
            return False
        if later.kind is not event.kind or later.version <= event.version or self._rules.against(later) is not None:
            return False
        plan, _ = self.plan(later, {})
        return isinstance(plan, Deliver)


def _in_words(span: timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    return f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} hours"
