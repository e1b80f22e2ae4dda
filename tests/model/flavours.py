"""Targets that differ in how a repeated write is kept from having a second effect.

native    a key of the vendor's for each call
upsert    what is written twice is there once
lookup    the vendor is asked first
batched   upsert, several events' writes in one call
keyed     the same, with the vendor's key over the whole call
journal   a key for each call; what is sold stands in the entry of its day, and is delivered with that
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from libs.canonical.event import AnyEvent
from libs.canonical.identity import digest
from libs.canonical.kinds import Kind
from libs.connectors.contract.connector import Connector
from libs.connectors.contract.http import Request, Response
from libs.connectors.contract.manifest import Manifest
from libs.connectors.contract.simulator import Simulator
from libs.connectors.contract.target import (
    Batching,
    Conflict,
    Deliver,
    Done,
    MissingDependency,
    PartOfDocument,
    Plan,
    Ref,
    Remote,
    Step,
    Target,
    UnknownOutcome,
    Verdict,
)
from libs.runtime.configuration.model import Connection

Flavour = Literal["native", "upsert", "lookup", "batched", "keyed", "journal"]
FLAVOURS: tuple[Flavour, ...] = ("native", "upsert", "lookup", "batched", "keyed", "journal")
KEY_HEADER = "Idempotency-Key"
_NATIVE = {"means": "native", "horizon_seconds": 86400, "key_in": "header", "key_name": KEY_HEADER}
_MEANS: dict[Flavour, dict[str, Any]] = {
    "native": _NATIVE,
    "upsert": {"means": "upsert"},
    "lookup": {"means": "lookup"},
    "batched": {"means": "upsert"},
    "keyed": _NATIVE,
    "journal": _NATIVE,
}
_BATCH = "writes"
_BATCHES: dict[Flavour, dict[str, Any]] = {
    "batched": {_BATCH: {"max_items": 5}},
    "keyed": {_BATCH: {"max_items": 5, "key": "whole"}},
}
# Step by step; a sale is one object and then its lines, which name it by the id that the vendor gave.
_STEPS = {
    Kind.SALE_COMPLETED: ("order", "lines"),
    Kind.SALE_AMENDED: ("amend",),
    Kind.REFUND_COMPLETED: ("refund", "receipt"),
    Kind.CUSTOMER_CHANGED: ("customer",),
}


_IN_THE_JOURNAL = {
    Kind.SALE_COMPLETED: (),
    Kind.SALE_AMENDED: (),
    Kind.REFUND_COMPLETED: (),
    Kind.DAY_CLOSED: ("entry",),
    Kind.CUSTOMER_CHANGED: ("customer",),
}


class Settings(BaseModel):
    """Nothing to set but the flavour, by which the connector is chosen."""

    flavour: Flavour


def steps_of(event: AnyEvent, flavour: Flavour) -> tuple[str, ...]:
    """The writes that an event must have made, each once; none, if it is part of a document."""
    return _kinds(flavour)[event.kind]


def _kinds(flavour: Flavour) -> dict[Kind, tuple[str, ...]]:
    return _IN_THE_JOURNAL if flavour == "journal" else _STEPS


def _item(event: AnyEvent) -> Step:
    """An article that many sales share: it is asked for, and made if it is not there."""
    sku: str = getattr(event.data, "lines")[0].sku  # noqa: B009 - a sale
    return Step(
        "item", Request("POST", "/items", json={"sku": sku}), target_key=f"item:{sku}", provides=Ref("item", sku),
        once=True, shared=True, ask_first=True, lookup=Request("GET", "/items", {"sku": sku}),
    )  # fmt: skip


def _write(event: AnyEvent, name: str, flavour: Flavour) -> Step:
    body: dict[str, Any] = {
        "event": event.id, "step": name, "key": event.order_key, "version": event.version,
        "data": digest(event.data.model_dump_json()),
    }  # fmt: skip
    order = Ref("order", event.order_key)
    if name == "lines":
        body["order"] = Remote(order)
    return Step(
        name,
        Request("PUT" if flavour == "upsert" else "POST", f"/{name}", json=body),
        target_key=event.order_key,
        provides=order if name == "order" else None,
        lookup=Request("GET", f"/{name}", {"event": event.id}) if flavour == "lookup" else None,
        batch=_BATCH if flavour in _BATCHES else None,
    )


def _plan(event: AnyEvent, config: Settings, _known: Mapping[Ref, str]) -> Plan:
    steps = [_write(event, name, config.flavour) for name in steps_of(event, config.flavour)]
    if event.kind is Kind.DAY_CLOSED:
        members: tuple[str, ...] = getattr(event.data, "members")  # noqa: B009 - a day
        return Deliver(tuple(steps), document=f"entry {event.id}", settles=members)
    if not steps:
        return PartOfDocument()
    if event.kind is Kind.SALE_COMPLETED and config.flavour == "lookup":
        steps.insert(0, _item(event))
    return Deliver(tuple(steps))


def _judge(step: Step, response: Response) -> Verdict | None:
    if response.status == 424:
        return MissingDependency("what it refers to")
    if response.ok and response.json is None:
        return UnknownOutcome("an answer that is none of the vendor's")
    return Done(response.json["id"]) if response.ok and not step.reads else None


def _join(_batch: str, steps: Sequence[Step], trace_ids: Sequence[str]) -> Request:
    items = [{**step.request.json, "trace": trace} for step, trace in zip(steps, trace_ids, strict=True)]
    return Request("POST", "/batch", json={"items": items})


def _split(
    _batch: str, _steps: Sequence[Step], trace_ids: Sequence[str], response: Response
) -> Sequence[Verdict] | None:
    if not response.ok or response.json is None:
        return None
    told = {result["trace"]: result for result in response.json["results"]}
    return [_verdict(told[trace]) for trace in trace_ids]


def _verdict(result: Mapping[str, Any]) -> Verdict:
    match result["status"]:
        case 200:
            return Done(result["id"])
        case 424:
            return MissingDependency("what it refers to")
        case _:
            return Conflict("changed meanwhile")


def _found(_step: Step, response: Response) -> Done | None:
    return Done(response.json["id"], already=True) if response.ok and response.json.get("id") else None


def _nothing(*_any: Any) -> Sequence[Any]:
    return ()


def _no_simulator() -> Simulator:
    raise NotImplementedError("this vendor is in memory: tests/model/vendor.py")


def _connector(flavour: Flavour) -> Connector:
    manifest = Manifest.model_validate(
        {
            "vendor": "model",
            "title": f"A vendor in memory, {flavour}",
            "level": "bronze",
            "checked_against": "tests/model/vendor.py",
            "documentation": "-",
            "environments": {"sandbox": {"base_url": "http://127.0.0.1"}},
            "authentication": {"scheme": "bearer"},
            "limits": {},
            "target": {
                "kinds": {
                    str(kind): {"policy": "latest_wins" if kind is Kind.CUSTOMER_CHANGED else "strict"}
                    for kind in _kinds(flavour)
                },
                "idempotency": [_MEANS[flavour]],
                "batches": _BATCHES.get(flavour, {}),
            },
        }
    )
    target = Target(
        manifest=manifest, config=Settings, references=_nothing, plan=_plan, judge=_judge, found=_found,
        probe=lambda _config: Request("GET", "/ping"), check=_nothing,
        batching=Batching(_join, _split) if flavour in _BATCHES else None,
    )  # fmt: skip
    return Connector(manifest, Path(__file__).parent, _no_simulator, target=target)


_CONNECTORS = {flavour: _connector(flavour) for flavour in FLAVOURS}


class ModelConnection(Connection):
    """A connection to the vendor in memory."""

    @property
    def connector(self) -> Connector:
        """The target of the flavour set."""
        return _CONNECTORS[self.settings["flavour"]]
