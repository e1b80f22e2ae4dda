"""`till map` and `till render`: connectors tried on paper, without any stack."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from libs.canonical.event import AnyEvent, MalformedEvent, decode
from libs.canonical.kinds import Kind
from libs.connectors.contract.connector import Connector, connector
from libs.connectors.contract.dry_run import plan_as_json, plan_event
from libs.connectors.contract.source import Fetch, SourceSettings
from libs.connectors.contract.target import Deliver, Filtered, Hold, PartOfDocument, Plan, Ref, Target
from libs.runtime import exact_json
from services.ops.documents import as_settings, read_json, read_settings_file
from services.ops.mapping_on_paper import Given, MappedRoot, OnPaper, WouldBeDead, given_in, map_on_paper
from services.ops.pictures import event_picture
from services.ops.speaking import FAILED, NEEDS_MORE, USAGE, AsJson, Failure, plainly, readable_json, say, say_json

Vendor = Annotated[
    str, typer.Argument(help="The connector's name, as in the folder libs/connectors: `shopify`", show_default=False)
]


@plainly
def map_(
    vendor: Vendor,
    file: Annotated[
        Path,
        typer.Argument(
            help='A webhook\'s body, or {"headers": {...}, "body": {...}}; `-` reads standard input: `order.json`',
            show_default=False,
        ),
    ],
    type_: Annotated[
        str | None,
        typer.Option("--type", help="What the webhook is, where the vendor says so in a header: `--type orders/paid`"),
    ] = None,
    with_: Annotated[
        list[Path] | None,
        typer.Option(
            "--with",
            help="A file with an object the fetcher would ask for, or several by part name; repeatable: "
            "`--with payment.json`",
        ),
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option(
            "--settings", help="YAML or JSON with the source's settings (time zone, tenders): `--settings square.yaml`"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show which retail events a vendor's notification becomes. Needs no Kafka, no database, no network.

    Exit code 3: it would be a dead letter, or is no event yet, or needs objects that `--with` can give.
    """
    known = connector(vendor)
    given = given_in(read_json(file))
    files = [(path.stem, read_json(path)) for path in with_ or ()]
    try:
        result = map_on_paper(known, given, type_=type_, files=files, settings=_source_settings(settings, given, file))
    except WouldBeDead as error:
        _refuse("dead_letter", f"would be a dead letter: {error}", as_json)
    except Failure:
        raise
    except Exception as error:  # noqa: BLE001 - a connector's own mistake is told as what it would be: a dead letter
        _refuse(
            "dead_letter", f"would be a dead letter: internal error in the connector ({type(error).__name__})", as_json
        )
    else:
        _show_mapped(result, as_json)


def _source_settings(path: Path | None, given: Given, file: Path) -> SourceSettings:
    if path is not None:
        return read_settings_file(path, SourceSettings)
    return as_settings(given.settings or {}, SourceSettings, f"{file}: settings")


def _refuse(outcome: str, reason: str, as_json: bool, needs: Iterable[Fetch] = ()) -> None:
    if as_json:
        say_json({"outcome": outcome, "reason": reason, "needs": [_fetch(fetch) for fetch in needs]})
    raise Failure(reason, NEEDS_MORE)


def _fetch(fetch: Fetch) -> dict[str, Any]:
    return {"part": fetch.part, "method": fetch.request.method, "path": fetch.request.path}


def _fetch_line(fetch: Fetch) -> str:
    return f"  {fetch.part}: {fetch.request.method} {fetch.request.path}"


def _show_mapped(result: OnPaper, as_json: bool) -> None:
    events = [event for root in result.roots if root.mapped.outcome for event in root.mapped.outcome.events]
    needs = [fetch for root in result.roots for fetch in root.needs]
    if not as_json:
        _tell_preparations(result)
        for root in result.roots:
            _tell_root(root)
    elif events or not needs:
        say_json([event.model_dump(mode="json") for event in events])
    if not result.identified.roots:
        if not as_json:
            say(f"no effect: {result.identified.no_effect}")
        return
    _conclude(result, events, needs, as_json)


def _conclude(result: OnPaper, events: list[AnyEvent], needs: list[Fetch], as_json: bool) -> None:
    if needs:
        wanted = "\n".join(_fetch_line(fetch) for fetch in needs)
        _refuse(
            "needs_fetch",
            f"needs what the fetcher would ask the vendor for; give it by --with:\n{wanted}",
            as_json and not events,
            needs,
        )
    waiting = [
        root.mapped.outcome.reason for root in result.roots if root.mapped.outcome and root.mapped.outcome.not_yet
    ]
    if waiting and not events:
        raise Failure(f"not yet an event: {'; '.join(str(reason) for reason in waiting)}", NEEDS_MORE)


def _tell_preparations(result: OnPaper) -> None:
    say(f"{result.identified.type} of account {result.identified.account_id}", style="dim")
    for name, value in result.stand_ins.items():
        say(f"header {name} was not given; stand-in from the connector's example: {value}", style="yellow")
    for path in result.cut:
        say(f"card data cut at {path}", style="yellow")


def _tell_root(root: MappedRoot) -> None:
    outcome = root.mapped.outcome
    for event in outcome.events if outcome else ():
        say(event_picture(event))
    if outcome and outcome.events and root.assumed_absent:
        say("not given, read as not there at the vendor:", style="yellow")
        for fetch in root.assumed_absent:
            say(_fetch_line(fetch), style="yellow")
    if outcome and not outcome.events and not root.needs:
        what = "not yet" if outcome.not_yet else "no effect"
        say(f"{root.mapped.root.kind} {root.mapped.root.id}: {what}: {outcome.reason}")


@plainly
def render(
    vendor: Vendor,
    file: Annotated[
        Path,
        typer.Argument(
            help="What `till map --json` printed: one event or a list; `-` reads standard input: `events.json`",
            show_default=False,
        ),
    ],
    settings: Annotated[
        Path | None,
        typer.Option(
            "--settings",
            help="YAML or JSON with the target's settings; left out: the connector's sample: `--settings books.yaml`",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what would be sent to a target for canonical events. Needs no Kafka, no database, no network.

    Nothing is known of the target's objects: each is looked up or made. Exit code 3: an event would be held.
    """
    known = connector(vendor)
    if known.target is None:
        raise Failure(f"{known.manifest.title} is no target: nothing is sent to it", USAGE)
    events = [_event(number, each) for number, each in enumerate(_events(read_json(file)), start=1)]
    config, sample = _target_settings(known, known.target, settings)
    if sample and not as_json:
        say(f"settings: the connector's sample {sample}; give your own by --settings", style="yellow")
    plans = [(event, _plan(known.target, event, config)) for event in events]
    if as_json:
        say_json([{"event": event.id, "kind": str(event.kind), **plan_as_json(plan)} for event, plan in plans])
    else:
        for event, plan in plans:
            _tell_plan(event, plan)
    held = [plan for _, plan in plans if isinstance(plan, Hold)]
    if held:
        raise Failure(f"{len(held)} of {len(plans)} would be held: {held[0].reason}", NEEDS_MORE)


def _events(document: Any) -> list[Any]:
    if isinstance(document, dict) and "outcome" in document and "kind" not in document:
        raise Failure(f"the file holds no event but a refusal: {document.get('reason')}", USAGE)
    return document if isinstance(document, list) else [document]


def _event(number: int, document: Any) -> AnyEvent:
    stated = str(document.get("kind")) if isinstance(document, dict) else ""
    try:
        kind = Kind(stated)
    except ValueError:
        raise Failure(f"event {number}: kind is none of {', '.join(Kind)}", USAGE) from None
    try:
        return decode(kind, readable_json(document).encode())
    except MalformedEvent as error:
        raise Failure(f"event {number} is no canonical event: {error}", USAGE) from None


def _target_settings(known: Connector, target: Target, path: Path | None) -> tuple[BaseModel, str | None]:
    """The settings, and where a sample was taken from."""
    if path is not None:
        return read_settings_file(path, target.config), None
    sample = known.folder / "sample_settings.yaml"
    if sample.exists():
        return read_settings_file(sample, target.config), sample.name
    for recorded in sorted(known.folder.glob("cases/*/in.json")):
        try:
            case = exact_json.decode(recorded.read_bytes())
        except (OSError, exact_json.DecodeError):
            continue
        if isinstance(case, dict) and "event" in case and case.get("settings"):
            return as_settings(case["settings"], target.config, recorded.parent.name), f"case {recorded.parent.name}"
    return as_settings({}, target.config, "no settings given"), "(empty)"


def _plan(target: Target, event: AnyEvent, config: BaseModel) -> Plan:
    facts = target.manifest.target
    if facts is None or event.kind not in facts.kinds:
        return Filtered(f"kind {event.kind} is not taken by this target")
    nothing_known: dict[Ref, str] = {}
    try:
        return plan_event(target, event, config, nothing_known)
    except Exception as error:  # noqa: BLE001 - a connector's own mistake is told, not thrown at the operator
        raise Failure(
            f"internal error in the connector on {event.kind} {event.id}: {type(error).__name__}", FAILED
        ) from None


def _tell_plan(event: AnyEvent, plan: Plan) -> None:
    say(f"{event.kind} {event.entity_id}", style="bold")
    match plan:
        case Deliver():
            if plan.document:
                say(f"  document {plan.document}")
            for number, step in enumerate(plan_as_json(plan)["steps"], start=1):
                say(f"  {number}. {step['step']}: {step['method']} {step['path']}", style="green")
                rest = {name: value for name, value in step.items() if name not in ("step", "method", "path")}
                say("     " + readable_json(rest).replace("\n", "\n     "))
            if plan.settles:
                say(f"  delivered with it: {len(plan.settles)} events")
            for left_out, reason in plan.left_out.items():
                say(f"  left out and waiting: {left_out}: {reason}", style="yellow")
        case Filtered(rule):
            say(f"  not sent, by rule: {rule}")
        case PartOfDocument(reason):
            say(f"  not sent by itself: {reason}")
        case Hold(reason):
            say(f"  would be held: {reason}", style="yellow")
