"""A connector run on paper: a notification with its fetched objects to events, an event to the steps of a target.

Used by `till map` and `till render`, by the golden cases and by the conformance suite.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from libs.canonical.event import AnyEvent
from libs.connectors.contract.source import (
    Fetch,
    Identified,
    Notification,
    Outcome,
    Root,
    Snapshot,
    Source,
    SourceSettings,
)
from libs.connectors.contract.target import Deliver, Filtered, Hold, PartOfDocument, Plan, Ref, Remote, Step, Target

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Mapped:
    """What one root came to. `missing`: the fetches without which it cannot be read (then no outcome)."""

    root: Root
    fetched: tuple[str, ...]
    missing: tuple[Fetch, ...]
    outcome: Outcome | None


def assemble(
    source: Source, root: Root, objects: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...], tuple[Fetch, ...]]:
    """The parts of a root's snapshot from the objects at hand: parts, names of those fetched, and what is missing."""
    parts = dict(root.have)
    fetched: list[str] = []
    while needed := source.assemble(root.kind, root.id, parts):
        absent = []
        for fetch in needed:
            if fetch.part in objects:
                parts[fetch.part] = objects[fetch.part]
                fetched.append(fetch.part)
            elif fetch.optional:
                parts[fetch.part] = None
            else:
                absent.append(fetch)
        if absent:
            return parts, tuple(fetched), tuple(absent)
    return parts, tuple(fetched), ()


def map_notification(
    source: Source, notification: Notification, objects: Mapping[str, Any], settings: SourceSettings
) -> tuple[Identified, list[Mapped]]:
    """Everything that a notification and the objects around it show. Raises MalformedNotification, Unmappable."""
    identified = source.identify(notification)
    results = []
    for root in identified.roots:
        parts, fetched, missing = assemble(source, root, objects)
        outcome = None
        if not missing:
            snapshot = Snapshot(
                vendor=source.manifest.vendor,
                account_id=identified.account_id,
                connection="dry-run",
                root_kind=root.kind,
                root_id=root.id,
                parts=parts,
                via="webhook",
                notified_as=identified.type,
                received_at=EPOCH,
                assembled_at=EPOCH,
            )
            outcome = source.to_canonical(snapshot, settings)
        results.append(Mapped(root, fetched, missing, outcome))
    return identified, results


def plan_event(target: Target, event: AnyEvent, config: BaseModel, known: Mapping[Ref, str]) -> Plan:
    """The target's plan, with only those remote ids known that it asked for."""
    asked = target.references(event, config)
    return target.plan(event, config, {ref: known[ref] for ref in asked if ref in known})


def plain(value: Any) -> Any:
    """A request's body as plain JSON; a placeholder for a remote id is written `{"$remote": [kind, key]}`."""
    if isinstance(value, Remote):
        return {"$remote": list(value.ref)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def step_as_json(step: Step) -> dict[str, Any]:
    """A step, readable, without the fields that say nothing."""
    request = step.request
    shown: dict[str, Any] = {"step": step.name, "method": request.method, "path": request.path}
    shown |= {"query": dict(request.query)} if request.query else {}
    shown |= {"json": plain(request.json)} if request.json is not None else {}
    shown |= {"form": dict(request.form)} if request.form is not None else {}
    shown["target_key"] = step.target_key
    shown |= {"provides": list(step.provides)} if step.provides else {}
    shown |= {"batch": step.batch} if step.batch else {}
    flags = [name for name in ("once", "shared", "ask_first", "reads") if getattr(step, name)]
    shown |= {"flags": flags} if flags else {}
    if step.lookup:
        shown["lookup"] = {"method": step.lookup.method, "path": step.lookup.path, "query": dict(step.lookup.query)}
    return shown


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """A plan, readable: what `till render` prints and golden cases hold."""
    match plan:
        case Deliver():
            shown: dict[str, Any] = {"plan": "deliver", "steps": [step_as_json(step) for step in plan.steps]}
            shown |= {"document": plan.document} if plan.document else {}
            shown |= {"settles": list(plan.settles)} if plan.settles else {}
            shown |= {"left_out": dict(plan.left_out)} if plan.left_out else {}
            return shown
        case Filtered(rule):
            return {"plan": "filtered", "rule": rule}
        case PartOfDocument(reason):
            return {"plan": "part_of_document", "reason": reason}
        case Hold(reason):
            return {"plan": "hold", "reason": reason}
