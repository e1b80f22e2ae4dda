"""HubSpot as a target: from a canonical event to the calls that put it into the CRM."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from libs.canonical.event import AnyEvent
from libs.canonical.kinds import Kind
from libs.canonical.sale import Amendment, Sale, SaleLine
from libs.connectors.contract.http import Request, Response
from libs.connectors.contract.manifest import load_manifest
from libs.connectors.contract.target import Deliver, Done, Filtered, Plan, Ref, Step, Target, Verdict
from libs.connectors.hubspot.batching import BATCHING, answer_verdict
from libs.connectors.hubspot.config import Config, check
from libs.connectors.hubspot.contacts import changed, contact_ref, erased, stand_in
from libs.connectors.hubspot.line_items import line_steps
from libs.connectors.hubspot.orders import buyer_step, order_step, refunded, voided
from libs.connectors.hubspot.verdicts import refusal

Known = Mapping[Ref, str]
Planner = Callable[[AnyEvent, Any, Config, Known], Plan]


def references(event: AnyEvent, config: Config) -> Sequence[Ref]:
    """Only an erasure depends on what is on record; all other plans find or make what they refer to."""
    return (contact_ref(event.account, event.entity_id),) if event.kind is Kind.CUSTOMER_ERASED else ()


def plan(event: AnyEvent, config: Config, known: Known) -> Plan:
    """The steps for an event, or the rule by which it is not for a CRM."""
    planner = _PLANNERS.get(event.kind)
    return planner(event, event.data, config, known) if planner else Filtered(f"{event.kind} is not kept in HubSpot")


def judge(step: Step, response: Response) -> Verdict | None:
    """What an answer means; None leaves it to the runtime's status table."""
    return answer_verdict(step, response) if response.ok else refusal(step, response)


def found(step: Step, response: Response) -> Done | None:
    """The contact that a lookup by e-mail address found, or None (HubSpot, batch read: absent ones are no results)."""
    body = response.json if isinstance(response.json, Mapping) else {}
    results = body.get("results") or ()
    return Done(remote_id=str(results[0]["id"]), already=True) if response.ok and results else None


def probe(config: Config) -> Request:
    """One order: a read with one of the scopes that deliveries need, and without personal data."""
    return Request("GET", f"{config.objects_path}/orders", query={"limit": "1", "properties": "pos_order_id"})


def _completed(event: AnyEvent, sale: Sale, config: Config, known: Known) -> Plan:
    return _sale(event, sale, (), config, amended=False)


def _amended(event: AnyEvent, amendment: Amendment, config: Config, known: Known) -> Plan:
    kept = {line.id for line in amendment.sale.lines}
    gone = [line for line in amendment.before.lines if line.id not in kept]
    return _sale(event, amendment.sale, gone, config, amended=True)


def _sale(event: AnyEvent, sale: Sale, gone: Sequence[SaleLine], config: Config, *, amended: bool) -> Plan:
    contact = stand_in(event.account, sale.customer, config) if sale.customer else None
    order = order_step(event, sale, config, amended=amended)
    steps = [contact] if contact else []
    steps += [order, *line_steps(event, sale, gone, config, amended=amended)]
    if contact and sale.customer:
        steps.append(buyer_step(event, sale, sale.customer, config))
    return Deliver(tuple(steps), document=order.target_key)


_PLANNERS: Mapping[Kind, Planner] = {
    Kind.SALE_COMPLETED: _completed,
    Kind.SALE_AMENDED: _amended,
    Kind.SALE_VOIDED: lambda event, void, config, known: voided(event, void, config),
    Kind.REFUND_COMPLETED: lambda event, refund, config, known: refunded(event, refund, config),
    Kind.CUSTOMER_CHANGED: lambda event, customer, config, known: changed(event, customer, config),
    Kind.CUSTOMER_ERASED: lambda event, customer, config, known: erased(event, customer, config, bool(known)),
}

TARGET = Target(
    manifest=load_manifest(Path(__file__).parent),
    config=Config,
    references=references,
    plan=plan,
    judge=judge,
    found=found,
    probe=probe,
    check=check,
    batching=BATCHING,
)
