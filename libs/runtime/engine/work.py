"""An event while its steps are carried out."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from libs.canonical.event import AnyEvent
from libs.connectors.contract.target import Deliver, Done, Ref, Step
from libs.runtime import exact_json
from libs.runtime.engine.lanes import Item
from libs.runtime.engine.ledger import Entry, Row, Settlement
from libs.runtime.kafka.records import Partition
from libs.runtime.kafka.stored_headers import printable
from libs.runtime.limits import Urgency


def _now() -> float:
    return time.monotonic()


@dataclass(eq=False, slots=True)
class Work:
    """An event while its steps are carried out.

    `doubtful`: a write of an earlier run may have had its effect. `forgotten`: so may any of them, so long ago that the
    ledger has forgotten it. `called`: a write went out in this run. `over_at`: when the last that had no answer must be
    over; `leased_at`: when its claim was last held; both in monotonic seconds. `placeholders`: the plan names remote
    ids that are filled in when a step is sent. `ending`: what became of it; nothing more is sent then, even if it is
    not known yet whether the database has taken that.
    """

    item: Item
    event: AnyEvent
    plan: Deliver
    plan_hash: str = ""
    placeholders: bool = True
    steps: dict[str, Any] = field(default_factory=dict)
    known: dict[Ref, str] = field(default_factory=dict)
    provides: dict[Ref, str] = field(default_factory=dict)
    attempts: int = 0
    generation: int = 0
    first_seen: datetime = field(default_factory=lambda: datetime.now(UTC))
    sent_at: datetime | None = None
    doubtful: bool = False
    forgotten: bool = False
    called: bool = False
    over_at: float = 0.0
    same_plan: bool = True
    remote_id: str | None = None
    ending: Settlement | None = None
    leased_at: float = field(default_factory=_now)

    @property
    def received_at(self) -> datetime:
        """When we received what led to this event, in UTC; when it was first seen here, if the record does not say."""
        text = self.item.text.get("received-at", "")
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return self.first_seen
        return moment if moment.tzinfo is not None else self.first_seen

    @property
    def urgency(self) -> Urgency:
        """Live events go before parked ones, and those before what an operator has replayed."""
        row = self.item.row
        if row is None:
            return Urgency.LIVE
        return Urgency.REPLAY if row.class_ == "replay" else Urgency.REDRIVE

    @property
    def untouched(self) -> bool:
        """Whether it is certain that nothing of it was ever sent."""
        return not (self.called or self.doubtful or self.steps)

    @property
    def over_in(self) -> float:
        """For so many seconds a write may be under way of which nothing was heard yet (or ever will be); 0: none is."""
        return max(0.0, self.over_at - _now())

    def leaving(self, longest_call: float) -> None:
        """A write goes out that takes so many seconds at most: until its answer is here, it may have its effect."""
        self.called, self.over_at = True, _now() + longest_call

    def answered(self) -> None:
        """Its answer is here, whatever it says, or it never went out."""
        self.over_at = 0.0

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
        self.doubtful = self.called = False
        return provided


def unreadable_id(partition: Partition, offset: int) -> str:
    """The id under which a record without a readable one is accounted for: its place in the topic."""
    return f"{partition.topic}/{partition.number}/{offset}"


def traceparent_of(item: Item) -> str | None:
    """The record's trace, as far as the database can keep it."""
    text = item.text.get("traceparent")
    return None if text is None else printable(text)


def unreadable_entry(item: Item) -> Entry:
    """The row of a record that is no event to us: known by its id, or else by its place in the topic."""
    event_id = printable(item.text.get("ce_id") or unreadable_id(item.partition, item.offset))
    return Entry(
        event_id=event_id,
        kind="unknown",
        order_key=item.order_key,
        entity_id=event_id,
        version=0,
        location_id=None,
        occurred_at=datetime.now(UTC),
        partition=item.partition,
        offset=item.offset,
        epoch=item.epoch,
        traceparent=traceparent_of(item),
    )


_NOTHING = Deliver(())
_HASH_OF_NOTHING = "nothing"
# How the encoder writes a placeholder. A request's own field of that name looks the same: then one is sought in vain.
_PLACEHOLDER = b'{"ref":['


def looked_through(plan: Deliver) -> tuple[str, bool]:
    """A digest of everything that the plan would send, and whether placeholders are in it.

    The same digest means that the same may be sent again under the same idempotency key.
    """
    if plan == _NOTHING:
        return _HASH_OF_NOTHING, False
    written = exact_json.encode_sorted(plan)
    return hashlib.blake2b(written, digest_size=16).hexdigest(), _PLACEHOLDER in written
