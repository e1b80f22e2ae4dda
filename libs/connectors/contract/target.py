"""From a canonical event to the calls a target needs, and from an answer to what it means.

references  which remote ids must be known to plan?
plan        the steps of this event, or why it is not sent
judge       what an answer means (None: the runtime's own status table decides)
probe       a cheap read that tells a broken connection from a broken event
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import BaseModel

from libs.canonical.event import AnyEvent
from libs.connectors.contract.http import Request, Response
from libs.connectors.contract.manifest import Manifest


class Ref(NamedTuple):
    """A name for an object at the target whose remote id is kept, such as Ref("item", "SKU-1")."""

    kind: str
    key: str


@dataclass(frozen=True)
class Remote:
    """A placeholder inside a request's JSON: replaced by the remote id when the step is sent."""

    ref: Ref


@dataclass(frozen=True)
class Step:
    """One call of a delivery.

    `provides`: the remote id in the answer is kept under this ref; when the ref is known already the step is skipped
    if `once` is set. `lookup`: how to ask whether it was already done; used after an unknown outcome, and before the
    first try too when `ask_first`. `target_key`: the object it changes (one call at a time, one per batch); with
    `shared` the object belongs to several events (an item, a customer) and the idempotency key is made of the target
    key instead of the event. `batch`: the name of the batch call into which it may be joined. `reads`: it changes
    nothing. `native_key`: whether the vendor's idempotency key goes on this call.
    """

    name: str
    request: Request
    target_key: str
    provides: Ref | None = None
    once: bool = False
    shared: bool = False
    lookup: Request | None = None
    ask_first: bool = False
    batch: str | None = None
    reads: bool = False
    native_key: bool = True


@dataclass(frozen=True)
class Deliver:
    """Send these steps in order. `document` names what is written at the target.

    `settles`: ids of events that are part of this document and are delivered with it. `left_out`: events that should
    have been part of it and wait, each with the reason.
    """

    steps: tuple[Step, ...]
    document: str | None = None
    settles: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Filtered:
    """Not for this target, by a rule that can be named."""

    rule: str


@dataclass(frozen=True)
class PartOfDocument:
    """Not sent by itself: it waits until the document that holds it is done (a day's journal)."""

    reason: str = "day open"


@dataclass(frozen=True)
class Hold:
    """Cannot be sent until somebody or something changes (an unmapped account): set aside with this reason."""

    reason: str


Plan = Deliver | Filtered | PartOfDocument | Hold


# What an answer means, sorted by the reaction it calls for.


@dataclass(frozen=True)
class Done:
    """It has its effect. `remote_id` as the target names the object.

    `provides`: the remote ids of further objects that the same call wrote, kept like the step's own.
    """

    remote_id: str | None = None
    already: bool = False  # it had been done before (found by lookup, or refused as a duplicate of ourselves)
    provides: Mapping[Ref, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Retry:
    """This one call failed in passing."""

    reason: str
    after: float | None = None


@dataclass(frozen=True)
class Throttled:
    """Too many calls; `after` in seconds when the vendor says so."""

    reason: str
    after: float | None = None


@dataclass(frozen=True)
class AuthFailed:
    """Credentials expired, revoked or lacking a right."""

    reason: str


@dataclass(frozen=True)
class Outage:
    """The target is down or unreachable; the call had no effect."""

    reason: str


@dataclass(frozen=True)
class MissingDependency:
    """Something it refers to is not there yet."""

    what: str


@dataclass(frozen=True)
class Conflict:
    """It clashes with what is there: look it up, and if that is ours it is done, else a person must decide."""

    reason: str


@dataclass(frozen=True)
class Invalid:
    """Refused for what it says; repeating it would not help."""

    reason: str
    field: str | None = None


@dataclass(frozen=True)
class UnknownOutcome:
    """It was sent and no answer came: it may have had its effect."""

    reason: str


Verdict = Done | Retry | Throttled | AuthFailed | Outage | MissingDependency | Conflict | Invalid | UnknownOutcome


@dataclass(frozen=True)
class Batching:
    """How steps with one `batch` name become one call, and its answer one verdict each.

    `join(batch, steps, trace_ids)`: the request; `trace_ids` are unique per step and may be sent along so that
    `split(batch, steps, trace_ids, response)` can match results. `split` gives None when the answer speaks of the call
    as a whole (the runtime then asks `judge`, and bisects a refusal).
    """

    join: Callable[[str, Sequence[Step], Sequence[str]], Request]
    split: Callable[[str, Sequence[Step], Sequence[str], Response], Sequence[Verdict] | None]


@dataclass(frozen=True)
class Target:
    """A vendor as a target.

    `config` is the model of a connection's `settings`. `found(step, response)` reads a lookup's answer: Done with the
    remote id, or None when it is not there; an error answer is for `judge`. `check(config)` gives plain sentences on
    what must be mapped before going live.
    """

    manifest: Manifest
    config: type[BaseModel]
    references: Callable[[AnyEvent, Any], Sequence[Ref]]
    plan: Callable[[AnyEvent, Any, Mapping[Ref, str]], Plan]
    judge: Callable[[Step, Response], Verdict | None]
    found: Callable[[Step, Response], Done | None]
    probe: Callable[[Any], Request]
    check: Callable[[Any], Sequence[str]]
    batching: Batching | None = None
