"""`till dlq`: dead letters of all stages, found, understood, handed back, changed or given up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Annotated, Any

import typer
from rich.table import Table

from libs.canonical.identity import digest
from libs.runtime import exact_json
from libs.runtime.engine.dead_letters import fingerprint
from services.ops.dead_letter_rebuild import Rebuilder, Rebuilt
from services.ops.dead_letter_work import DeadLetterWork, Result, stored_headers
from services.ops.environment import configuration, connection_of, database, operator, settings
from services.ops.masking import masked
from services.ops.patching import Assignment, CannotPatch, assignment
from services.ops.queries import dead_letters as queries
from services.ops.queries.dead_letters import Choice
from services.ops.speaking import USAGE, AsJson, Failure, moment, plainly, readable_json, say, say_json, show
from services.ops.times import moment_of

Id = Annotated[
    str,
    typer.Argument(metavar="ID", help="The event's or letter's id, as `till dlq list` shows it", show_default=False),
]
MaybeId = Annotated[
    str | None,
    typer.Argument(metavar="[ID]", help="One letter's id; left out: all that the filters choose", show_default=False),
]
OfConnection = Annotated[
    str | None, typer.Option("--connection", help="Only of this connection: `--connection hubspot-main`")
]
OfClass = Annotated[str | None, typer.Option("--class", help="Only of this class: `--class poison`")]
OfReason = Annotated[str | None, typer.Option("--reason", help="Only with this text in the reason: `--reason SKU`")]
Matching = Annotated[str | None, typer.Option("--matching", help="Only with this text in the reason: `--matching SKU`")]
OfEntity = Annotated[
    str | None, typer.Option("--entity", help="Only of this sale, customer or order key: `--entity Ord9`")
]
Since = Annotated[str | None, typer.Option("--since", help="Only dead since then: `--since 2h`, `--since 2026-11-20`")]
Until = Annotated[str | None, typer.Option("--until", help="Only dead before then: `--until 2026-11-21T06:00:00Z`")]
As = Annotated[
    str | None, typer.Option("--as", help="Who acts, for the audit; left out: this machine's user: `--as ana`")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do it; left out: only show what would be done")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be done (the default without `--yes`)")]
Because = Annotated[
    str,
    typer.Option("--reason", help="Why they are given up, for the audit: `--reason 'test sales'`", show_default=False),
]
Assignments = Annotated[
    list[str],
    typer.Option(
        "--set",
        help="A field and its new value (JSON or text); repeatable: `--set data.lines.0.sku=ABC-1`",
        show_default=False,
    ),
]
Everything = Annotated[bool, typer.Option("--all", help="Every dead letter there is, without any filter")]


@plainly
def groups(
    connection: OfConnection = None, class_: OfClass = None, reason: OfReason = None, entity: OfEntity = None,
    since: Since = None, until: Until = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Count dead letters by connection and cause: reasons that differ only in numbers and ids are one group."""
    choice = _choice(None, connection, class_, reason, entity, since, until)
    found = _merged(asyncio.run(_ask(lambda pool: queries.groups(pool, choice))))
    show(found, as_json, lambda: _draw_groups(found))


def _merged(rows: Sequence[Any]) -> list[dict[str, Any]]:
    merged: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in rows:
        name = (row["connection"], row["stage"], fingerprint(row["class"], row["reason"]))
        group = merged.get(name)
        if group is None:
            merged[name] = {"fingerprint": name[2], **dict(row)}
            continue
        if row["last"] > group["last"]:
            group |= {"last": row["last"], "reason": row["reason"], "example": row["example"]}
        group |= {"n": group["n"] + row["n"], "first": min(group["first"], row["first"])}
    return sorted(merged.values(), key=lambda group: -int(group["n"]))


def _draw_groups(found: Sequence[dict[str, Any]]) -> None:
    if not found:
        say("no dead letters", style="green")
        return
    table = _table("count", "connection", "stage", "class", "first (UTC)", "last (UTC)", "example", "reason")
    for group in found:
        table.add_row(
            str(group["n"]), group["connection"], group["stage"], group["class"], moment(group["first"]),
            moment(group["last"]), group["example"], group["reason"],
        )  # fmt: skip
    say(table)


@plainly
def list_(
    connection: OfConnection = None, class_: OfClass = None, reason: OfReason = None, entity: OfEntity = None,
    since: Since = None, until: Until = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many: `--limit 500`")] = 50,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """List dead letters, oldest first."""
    choice = _choice(None, connection, class_, reason, entity, since, until)
    found = [dict(row) for row in asyncio.run(_ask(lambda pool: queries.chosen(pool, choice, limit)))]
    show(found, as_json, lambda: _draw_list(found, limit))


def _draw_list(found: Sequence[dict[str, Any]], limit: int) -> None:
    if not found:
        say("no dead letters", style="green")
        return
    table = _table("id", "connection", "stage", "kind", "entity", "class", "dead since (UTC)", "reason")
    for row in found:
        table.add_row(
            row["id"], row["connection"], row["stage"], row["kind"], row["entity"], row["class"], moment(row["at"]),
            row["reason"],
        )  # fmt: skip
    say(table)
    if len(found) == limit:
        say(f"the first {limit}; more with --limit", style="dim")


@plainly
def show_(
    name: Id,
    connection: OfConnection = None,
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Show personal data too: `till dlq show ID --reveal`")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter: why, how often tried, which steps were done, and its content (personal data hidden)."""
    row = asyncio.run(_one_with_bytes(name, connection))
    details = _details(row, reveal=reveal)
    show(details, as_json, lambda: _draw_details(details))


async def _one_with_bytes(name: str, connection: str | None) -> Any:
    here = settings()
    async with database(here.postgres) as pool:
        letter = await _one(pool, name, connection)
        if letter["stage"] == "delivery":
            return await queries.delivery(pool, letter["connection"], letter["id"])
        return await queries.reading(pool, letter["id"])


_BYTES = ("key", "value", "headers")


def _details(row: Any, *, reveal: bool) -> dict[str, Any]:
    fields = {name: value for name, value in dict(row).items() if name not in _BYTES and value is not None}
    headers = {name: (value or b"").decode("utf-8", "replace") for name, value in stored_headers(row["headers"])}
    return {
        **fields,
        "key": (row["key"] or b"").decode("utf-8", "replace") or None,
        "headers": headers,
        "value": _content(row["value"], reveal=reveal),
    }


def _content(value: bytes | None, *, reveal: bool) -> Any:
    if value is None:
        return None
    try:
        document = exact_json.decode(value)
    except (exact_json.DecodeError, RecursionError):
        return (
            value.decode("utf-8", "replace") if reveal else f"{len(value)} bytes that are no JSON; --reveal shows them"
        )
    return document if reveal else masked(document)


def _draw_details(details: dict[str, Any]) -> None:
    for name, value in details.items():
        if name not in ("value", "headers", "steps"):
            say(f"{name:16} {value}")
    for name in ("steps", "headers", "value"):
        if details.get(name):
            say(name, style="bold")
            say(readable_json(details[name]))


@plainly
def replay(
    name: MaybeId = None, connection: OfConnection = None, class_: OfClass = None, reason: OfReason = None,
    entity: OfEntity = None, since: Since = None, until: Until = None, everything: Everything = False,
    rate: Annotated[float, typer.Option("--rate", min=0.01, help="Letters a second: `--rate 2`")] = 10.0,
    yes: Yes = False, dry_run: DryRun = False, as_: As = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Hand dead letters back, at a limited rate. Deliveries go to the target that failed and to no other.

    Shows what it would do; acts with `--yes`. An event is sent under its own id, so nothing that had its effect has
    it twice. Letters of intake and transform go to the topic they came from.
    """
    choice = _limited(_choice(name, connection, class_, reason, entity, since, until), everything)
    act = yes and not dry_run
    letters, result = asyncio.run(_act(choice, as_, rate, act, lambda work, found: work.replay(found)))
    _tell("replay", "handed back", letters, result, as_json)


@plainly
def discard(
    reason: Because,
    name: MaybeId = None, connection: OfConnection = None, class_: OfClass = None, matching: Matching = None,
    entity: OfEntity = None, since: Since = None, until: Until = None, everything: Everything = False,
    yes: Yes = False, dry_run: DryRun = False, as_: As = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Give dead letters up for good, with a reason. What waited behind them follows. Their content is deleted."""
    if not reason.strip():
        raise Failure("say why: --reason must not be empty", USAGE)
    choice = _limited(_choice(name, connection, class_, matching, entity, since, until), everything)
    act = yes and not dry_run
    letters, result = asyncio.run(_act(choice, as_, 10.0, act, lambda work, found: work.discard(found, reason)))
    _tell("discard", "discarded", letters, result, as_json)


@plainly
def edit(
    name: Id,
    set_: Assignments,
    connection: OfConnection = None,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show personal data in the difference too")] = False,
    yes: Yes = False, as_: As = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Change fields of a dead letter, which stays dead until it is replayed. Its id and order key cannot change.

    Shows the difference; acts with `--yes`. An event that would not be readable afterwards is refused (exit code 3).
    """
    try:
        assignments = [assignment(text) for text in set_]
    except CannotPatch as error:
        raise Failure(str(error), USAGE) from None
    changes = asyncio.run(_edit(name, connection, assignments, yes, as_))
    shown = [
        {"field": path, "before": _hide(path, old, reveal), "after": _hide(path, new, reveal)}
        for path, old, new in changes
    ]
    result = {"id": name, "done": yes, "changes": shown}
    show(result, as_json, lambda: _draw_changes(name, shown, done=yes))


@plainly
def rebuild(
    connection: Annotated[
        str | None,
        typer.Option("--connection", help="Only of this target or source: `--connection hubspot-main`"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show which letters have no row")] = False,
    as_: As = None,
    as_json: AsJson = False,
) -> None:
    """Put back dead letters that the database lost (a restored backup), from their topics; they are dead again.

    Rows that exist are never touched, so it may be run at any time and again. Sinks concerned have to be stopped: they
    read which keys are locked when they start. A replay of what was put back finds out first what became of it.
    """
    rebuilt = asyncio.run(_rebuild(connection, as_, act=not dry_run))
    found = {"action": "rebuild", "dry_run": dry_run, "topics": [asdict(each) for each in rebuilt]}
    show(found, as_json, lambda: _draw_rebuilt(rebuilt, dry_run=dry_run))


async def _rebuild(connection: str | None, who: str | None, *, act: bool) -> list[Rebuilt]:
    here, known = settings(), configuration()
    if connection is not None:
        connection_of(known, connection)
    async with database(here.postgres) as pool:
        return await Rebuilder(pool, here.kafka, known, operator(who)).rebuild(connection, act=act)


def _draw_rebuilt(rebuilt: Sequence[Rebuilt], *, dry_run: bool) -> None:
    table = _table("topic", "letters", "without a row", "put back")
    for each in rebuilt:
        table.add_row(each.topic, str(each.letters), str(len(each.missing)), str(each.restored))
    say(table)
    if dry_run:
        say("dry run: nothing was put back", style="yellow")


def _hide(path: str, value: Any, reveal: bool) -> Any:
    if reveal:
        return value
    for step in reversed(path.split(".")):
        value = {step: value}
    hidden: Any = masked(value)
    for step in path.split("."):
        hidden = hidden[step]
    return hidden


async def _edit(
    name: str, connection: str | None, assignments: list[Assignment], act: bool, who: str | None
) -> list[tuple[str, Any, Any]]:
    here, known = settings(), configuration()
    async with database(here.postgres) as pool:
        letter = await _one(pool, name, connection)
        return await DeadLetterWork(pool, here.kafka, known, operator(who), 1.0).edit(letter, assignments, act=act)


def _draw_changes(name: str, changes: Sequence[dict[str, Any]], *, done: bool) -> None:
    for change in changes:
        say(change["field"], style="bold")
        say(f"- {readable_json(change['before'])}", style="red")
        say(f"+ {readable_json(change['after'])}", style="green")
    say(
        f"changed; send it with `till dlq replay {name} --yes`" if done else "nothing was changed: add --yes to do it",
        style="" if done else "yellow",
    )


# What the commands share --------------------------------------------------------------------------------------------


def _choice(
    name: str | None, connection: str | None, class_: str | None, reason: str | None, entity: str | None,
    since: str | None, until: str | None,
) -> Choice:  # fmt: skip
    return Choice(name, connection, class_, reason, entity, moment_of(since), moment_of(until))


def _limited(choice: Choice, everything: bool) -> Choice:
    if choice.everything and not everything:
        raise Failure("say which: an ID, a filter such as --connection or --class, or --all", USAGE)
    return choice


async def _ask(question: Any) -> Any:
    here = settings()
    async with database(here.postgres) as pool:
        return await question(pool)


async def _chosen(pool: Any, choice: Choice) -> list[Any]:
    """The chosen letters; an id may also be that of a delivery's letter in its topic (header `dl-id`)."""
    found = await queries.chosen(pool, choice)
    if found or choice.id is None:
        return found
    return [
        row
        for row in await queries.chosen(pool, replace(choice, id=None))
        if row["stage"] == "delivery" and digest("delivery", row["connection"], row["id"]) == choice.id
    ]


async def _one(pool: Any, name: str, connection: str | None) -> Any:
    found = await _chosen(pool, Choice(id=name, connection=connection))
    if not found:
        at_connection = f" at {connection}" if connection else ""
        raise Failure(f"no dead letter has the id {name!r}{at_connection}: `till dlq list` shows those there are")
    if len(found) > 1:
        places = ", ".join(row["connection"] for row in found)
        raise Failure(f"{name} is dead at several connections: say which by --connection ({places})", USAGE)
    return found[0]


async def _act(
    choice: Choice, who: str | None, rate: float, act: bool, do: Any
) -> tuple[list[dict[str, Any]], Result | None]:
    """The chosen letters, and what came of acting on them (None: a dry run)."""
    here, known = settings(), configuration()
    async with database(here.postgres) as pool:
        found = [dict(row) for row in await _chosen(pool, choice)]
        if not found and choice.id:
            raise Failure(f"no dead letter has the id {choice.id!r}: `till dlq list` shows those there are")
        result = (
            await do(DeadLetterWork(pool, here.kafka, known, operator(who), rate), found) if act and found else None
        )
        return found, result


def _tell(what: str, participle: str, letters: Sequence[dict[str, Any]], result: Result | None, as_json: bool) -> None:
    if as_json:
        done = {"done": result.done, "not_done": result.not_done} if result else {"done": 0, "not_done": {}}
        say_json({"action": what, "dry_run": result is None, "chosen": [_short(letter) for letter in letters], **done})
    elif not letters:
        say("no dead letter matches: nothing to do")
    elif result is None:
        _draw_list(letters[:50], 51)
        say(f"dry run: {len(letters)} would be {participle}; add --yes to do it", style="yellow")
    else:
        say(f"{result.done} {participle}", style="green")
    if result is not None and result.not_done:
        raise Failure("\n".join(f"{name}: {fault}" for name, fault in result.not_done.items()))


def _short(letter: dict[str, Any]) -> dict[str, Any]:
    return {name: letter[name] for name in ("id", "connection", "stage", "class", "reason")}


def _table(*columns: str) -> Table:
    table = Table(header_style="dim", box=None, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
