"""Where is my sale? One id to everything that happened, in the order in which it happened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from libs.canonical.kinds import KINDS, Kind
from libs.runtime.configuration.model import Configuration
from libs.runtime.database.pool import Pool
from libs.runtime.engine.engine import consumed_topics
from libs.runtime.retention import remembered_for
from services.ops.queries import journey as queries

# What connectors call the root objects of their snapshots, beside the entities of the canonical kinds.
_ROOT_KINDS = ("order", "transaction", "payment", "catalogue")


@dataclass(frozen=True)
class Moment:
    """One thing that happened or waits. `where`: a stage or a connection; `tone`: good, waiting, bad or plain."""

    at: datetime
    where: str
    what: str
    detail: str
    tone: str = "plain"
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Journey:
    """Everything that was found; `looked` says where, for when that is nothing."""

    name: str
    order_keys: tuple[str, ...]
    moments: tuple[Moment, ...]
    looked: tuple[str, ...]


async def trace(pool: Pool, known: Configuration, name: str) -> Journey:
    """The journey of whatever has this id: sale, payment, receipt, customer, event, document, delivery, remote id."""
    looked: list[str] = []
    keys = await _order_keys(pool, name, looked)
    events = await queries.events(pool, list(keys))
    deliveries = await queries.deliveries(pool, list(keys))
    names = {name, *(ref for event in events for ref in event["refs"]), *(row["entity_id"] for row in deliveries)}
    roots = {name, *_roots(known, names, keys)}
    notifications = await queries.notifications(pool, list(roots), name)
    snapshots = await queries.snapshots(pool, list(roots), name)
    if not keys and not notifications and not snapshots:
        roots |= await queries.roots_ending_with(pool, name)
        looked.append("roots of snapshots, whatever their account")
        snapshots = await queries.snapshots(pool, list(roots), name)
        notifications = await queries.notifications(pool, list(roots), name)
    roots |= {key for row in notifications for key in row["root_keys"]} | {row["root_key"] for row in snapshots}
    looked += ["notifications", "snapshots", "objects still to be fetched", "dead letters of intake and transform"]
    moments = [
        *map(_notification, notifications),
        *map(_fetch, _of_these_roots(await queries.fetches(pool, list(roots)), roots, known)),
        *map(_snapshot, snapshots),
        *map(_unreadable, await queries.unreadable(pool, list(roots), name)),
        *map(_event, events),
        *map(_booking, await queries.bookings(pool, [event["event_id"] for event in events])),
        *(moment for row in deliveries for moment in _delivery(row)),
        *_not_there(known, events, deliveries),
    ]
    return Journey(name, tuple(sorted(keys)), tuple(sorted(moments, key=lambda each: each.at)), tuple(looked))


async def _order_keys(pool: Pool, name: str, looked: list[str]) -> set[str]:
    """By the cheapest way that finds any."""
    for ask, where in (
        (queries.order_keys, "ids, references and order keys of events"),
        (queries.order_keys_by_delivery, "events, entities, remote ids and documents of deliveries"),
        (queries.order_keys_by_remote_object, "objects known at targets"),
    ):
        looked.append(where)
        if keys := await ask(pool, name):
            return keys
    return set()


def _roots(known: Configuration, names: Iterable[str], keys: Iterable[str]) -> Iterator[str]:
    """How snapshots of any of these would be called."""
    accounts = {str(connection.account_key) for connection in known.sources()}
    accounts |= {":".join(key.split(":")[:2]) for key in keys}
    kinds = {*(spec.entity for spec in KINDS.values()), *_ROOT_KINDS}
    for account in accounts:
        for name in names:
            yield from (f"{account}:{kind}:{name}" for kind in kinds)


def _of_these_roots(rows: Sequence[Any], roots: set[str], known: Configuration) -> list[Any]:
    vendors = {connection.id: connection.vendor for connection in known.sources()}
    return [
        row
        for row in rows
        if f"{vendors.get(row['connection'])}:{row['account_id']}:{row['root_kind']}:{row['root_id']}" in roots
    ]


def _notification(row: Any) -> Moment:
    outcome = {
        "object": "its object was fetched",
        "waiting": "its object is still to be fetched",
        "no_effect": f"no effect: {row['reason']}",
        "rejected": f"rejected: {row['reason']}",
    }.get(row["outcome"], row["outcome"])
    tone = {"waiting": "waiting", "rejected": "bad"}.get(row["outcome"], "plain")
    return Moment(
        row["received_at"], row["connection"], "received", f"{row['type']} by {row['via']}: {outcome}", tone,
        {"delivery_id": row["delivery_id"]},
    )  # fmt: skip


def _fetch(row: Any) -> Moment:
    why = f", the last try failed: {row['last_error']}" if row["last_error"] else ""
    return Moment(
        row["received_at"], row["connection"], "to be fetched",
        f"{row['root_kind']} {row['root_id']}: {row['attempts']} tries, next {row['next_attempt_at']:%H:%M:%S}{why}",
        "waiting",
    )  # fmt: skip


def _snapshot(row: Any) -> Moment:
    said = {
        "mapped": ("transformed", f"{row['events']} events"),
        "no_effect": ("transformed", f"nothing new: {row['reason']}"),
        "not_yet": ("not an event yet", str(row["reason"])),
        "dead": ("dead letter", f"{row['reason']}; see `till dlq list --connection {row['connection']}`"),
    }
    what, detail = said.get(row["outcome"], (row["outcome"], str(row["reason"])))
    tone = {"dead": "bad", "not_yet": "waiting"}.get(row["outcome"], "plain")
    return Moment(row["at"], row["connection"], what, f"{row['root_key']}: {detail}", tone, {"snapshot": row["id"]})


def _unreadable(row: Any) -> Moment:
    fate = "" if row["state"] == "open" else f" ({row['state']} by {row['settled_by']})"
    heal = f"; `till dlq show {row['id']}`" if row["state"] == "open" else ""
    tone = "bad" if row["state"] == "open" else "plain"
    return Moment(row["at"], row["connection"], f"dead letter of {row['stage']}", f"{row['reason']}{fate}{heal}", tone)


def _event(row: Any) -> Moment:
    where = f" at {row['location_id']}" if row["location_id"] else ""
    detail = f"{row['kind']}{where}, occurred {row['occurred_at']:%Y-%m-%d %H:%M:%S} UTC"
    return Moment(row["at"], "events", "told", detail, "plain", {"event": row["event_id"], "refs": row["refs"]})


def _booking(row: Any) -> Moment:
    day = f"{row['location_id']} {row['business_day']} {row['currency']}"
    state = f"revision {row['revision']}" if row["revision"] is not None else "the day is open"
    flaw = f"; does not add up: {row['reason']}" if row["difference"] else ""
    tone = "bad" if row["difference"] else "plain"
    return Moment(row["entered_at"], "books", "booked", f"{day}, {state}{flaw}", tone, {"event": row["event_id"]})


def _delivery(row: Any) -> Iterator[Moment]:
    at, what, detail, tone = _FATES.get(row["state"], _other)(row)
    facts = {"event": row["event_id"], "state": row["state"], "class": row["class"], "remote_id": row["remote_id"]}
    facts |= {"document": row["document"], "next_attempt_at": row["next_attempt_at"], "attempts": row["attempts"]}
    yield Moment(at, row["connection"], what, f"{row['kind']}: {detail}", tone, facts)


Fate = tuple[datetime, str, str, str]


def _delivered(row: Any) -> Fate:
    names = [f"as {row['remote_id']}"] if row["remote_id"] else []
    names += [f"in document {row['document']}"] if row["document"] else []
    return row["settled_at"], "delivered", " ".join(names) or "without an id of its own", "good"


def _parked(row: Any) -> Fate:
    if row["class"] == "day_open":
        return row["first_seen"], "waits for its document", row["reason"] or "day open", "waiting"
    if row["class"] == "spilled":
        why = "kept in the database because Kafka would have deleted it; follows when the target takes events again"
        return row["first_seen"], "saved from expiry", why, "waiting"
    when = f", next try {row['next_attempt_at']:%Y-%m-%d %H:%M:%S} UTC" if row["next_attempt_at"] else ""
    tries = f" after {row['attempts']} tries" if row["attempts"] else ""
    return row["first_seen"], "parked", f"{row['class']}{tries}: {row['reason']}{when}", "waiting"


def _dead(row: Any) -> Fate:
    heal = f"heal with `till dlq replay {row['event_id']} --connection {row['connection']} --yes`"
    return row["dead_at"] or row["first_seen"], "dead", f"{row['class']}: {row['reason']}; {heal}", "bad"


def _claimed(row: Any) -> Fate:
    return row["first_seen"], "in flight", "being sent now", "waiting"


def _other(row: Any) -> Fate:
    return row["settled_at"] or row["first_seen"], row["state"], row["reason"] or "no reason given", "plain"


_FATES: dict[str, Callable[[Any], Fate]] = {
    "delivered": _delivered,
    "parked": _parked,
    "dead": _dead,
    "claimed": _claimed,
}


def _not_there(known: Configuration, events: Sequence[Any], deliveries: Sequence[Any]) -> Iterator[Moment]:
    """Events of which a target has no row: not read yet, or in a topic that it does not read."""
    seen = {(row["connection"], row["event_id"]) for row in deliveries}
    for event in events:
        try:
            topic = KINDS[Kind(event["kind"])].topic
        except ValueError:
            continue
        for connection in known.targets():
            if (connection.id, event["event_id"]) in seen:
                continue
            if topic not in consumed_topics(connection):
                what, detail, tone = "not for it", "not for this target: it takes nothing of this topic", "plain"
            elif datetime.now(UTC) - event["at"] > remembered_for(event["kind"]):
                what, detail, tone = "forgotten", "longer ago than the ledger remembers", "plain"
            else:
                what, detail, tone = "nothing yet", "waits in Kafka: not read yet", "waiting"
            yield Moment(event["at"], connection.id, what, f"{event['kind']}: {detail}", tone,
                         {"event": event["event_id"]})  # fmt: skip
