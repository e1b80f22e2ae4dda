"""What the ledger is told of an event, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from libs.connectors.contract.target import Ref
from libs.runtime.kafka.records import Partition


class Fenced(Exception):
    """Another process owns the partition now: whatever was under way here is dropped, and done there."""


# Why an event is set aside without holding up its key: it waits for a document, not for a repair.
WAITS_FOR_DOCUMENT = ("day_open", "left_out")

SETTLED = frozenset(("delivered", "superseded", "filtered", "shadowed", "discarded"))


@dataclass(eq=False, slots=True)
class Entry:
    """An event as it is first written. `state` is claimed, or at once filtered, shadowed, parked or dead."""

    event_id: str
    kind: str
    order_key: str
    entity_id: str
    version: int
    location_id: str | None
    occurred_at: datetime
    partition: Partition
    offset: int
    epoch: int
    state: str = "claimed"
    class_: str | None = None
    reason: str | None = None
    newest_only: bool = False
    plan_hash: str | None = None
    config_hash: str | None = None
    document: str | None = None
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    traceparent: str | None = None

    @property
    def plain(self) -> bool:
        """A claim of a fact, of which nothing else is to be said."""
        return self.state == "claimed" and not self.newest_only and self.document is None


@dataclass(frozen=True)
class Row:
    """A delivery as the ledger has it. `interrupted`: a write may have been sent whose outcome nobody saw."""

    event_id: str
    state: str
    class_: str | None
    order_key: str
    partition: Partition
    epoch: int
    attempts: int
    generation: int
    steps: dict[str, Any]
    plan_hash: str | None
    sent_at: datetime | None
    first_seen: datetime
    lease_until: datetime | None
    in_topic: bool
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    traceparent: str | None = None

    @property
    def interrupted(self) -> bool:
        """Whether a call may have had an effect that is not recorded."""
        return self.sent_at is not None and self.state not in SETTLED


@dataclass(slots=True)
class Claim:
    """The answer to writing an entry. `fresh`: it was written now; else `row` is what was there before.

    `held_until`: somebody's claim is still alive; ask again after that moment.
    """

    fresh: bool
    state: str
    row: Row | None = None
    held_until: datetime | None = None


@dataclass(eq=False, slots=True)
class Settlement:
    """What became of an event after work on it."""

    event_id: str
    partition: Partition
    epoch: int
    state: str
    class_: str | None = None
    reason: str | None = None
    remote_id: str | None = None
    document: str | None = None
    settles: tuple[str, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)
    attempts: int = 0
    retry_in: float | None = None  # seconds
    maybe_sent: bool = False
    in_topic: bool = False
    steps: dict[str, Any] = field(default_factory=dict)
    provides: dict[Ref, str] = field(default_factory=dict)
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()

    @property
    def plain(self) -> bool:
        """Delivered, and nothing else is to be said."""
        return self.state == "delivered" and self.document is None
