"""An event in hand, and an event while its steps are carried out."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from libs.canonical.event import AnyEvent
from libs.canonical.identity import digest
from libs.connectors.contract.dry_run import plan_as_json
from libs.connectors.contract.target import Deliver, Done, Ref, Step
from libs.runtime.engine.ledger import Row
from libs.runtime.kafka.records import Partition, readable


@dataclass(frozen=True)
class Item:
    """An event in hand: a record from Kafka, or a row of the ledger whose time has come (`row` set)."""

    partition: Partition
    offset: int
    epoch: int
    order_key: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    row: Row | None = None


@dataclass
class Work:
    """An event while its steps are carried out. `doubtful`: a write of an earlier run may have had its effect."""

    item: Item
    event: AnyEvent
    plan: Deliver
    plan_hash: str
    steps: dict[str, Any]
    known: dict[Ref, str]
    provides: dict[Ref, str] = field(default_factory=dict)
    attempts: int = 0
    generation: int = 0
    first_seen: datetime = field(default_factory=lambda: datetime.now(UTC))
    sent_at: datetime | None = None
    doubtful: bool = False
    same_plan: bool = True
    remote_id: str | None = None

    @property
    def received_at(self) -> datetime:
        """When we received what led to this event, in UTC; when it was first seen here, if the record does not say."""
        text = readable(self.item.headers).get("received-at", "")
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return self.first_seen
        return moment if moment.tzinfo is not None else self.first_seen

    def resume(self, row: Row) -> None:
        """Go on where an earlier run stopped: done steps are skipped, an open outcome is resolved first."""
        self.attempts, self.generation, self.first_seen = row.attempts, row.generation, row.first_seen
        self.steps = dict(row.steps)
        self.doubtful, self.sent_at = row.interrupted, row.sent_at
        self.same_plan = row.plan_hash in (None, self.plan_hash)
        for done in self.steps.values():
            for kind, key, remote_id in done.get("refs", ()):
                self.known[Ref(kind, key)] = remote_id
            self.remote_id = done.get("id") or self.remote_id

    def note_done(self, step: Step, done: Done) -> dict[Ref, str]:
        """Take in what a finished step has told; gives the remote ids that may be remembered."""
        provided = dict(done.provides)
        if step.provides is not None and done.remote_id is not None:
            provided[step.provides] = done.remote_id
        self.known |= provided
        if step.reads:
            return {}  # what was read (a version, say) is of this moment only: it is read again when work resumes
        self.provides |= provided
        self.steps[step.name] = {"id": done.remote_id, "refs": [[*ref, remote] for ref, remote in provided.items()]}
        if not step.shared and done.remote_id is not None:
            self.remote_id = done.remote_id
        self.doubtful = False
        return provided


def unreadable_id(partition: Partition, offset: int) -> str:
    """The id under which a record without a readable one is accounted for: its place in the topic."""
    return f"{partition.topic}/{partition.number}/{offset}"


def hash_of_plan(plan: Deliver) -> str:
    """A digest of everything that the plan would send: the same plan may be sent again under the same key."""
    return digest(json.dumps(plan_as_json(plan), sort_keys=True, default=str))
