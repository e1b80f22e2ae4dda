"""`till day`: business days, their closes, and their documents at targets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from libs.canonical.day import DayClosed, DayLine, paid_for, paid_with
from libs.canonical.event import decode
from libs.canonical.kinds import Kind
from services.ops.environment import database, operator, settings
from services.ops.queries import audit
from services.ops.queries import books as queries
from services.ops.speaking import USAGE, AsJson, Failure, plainly, say, show
from services.ops.times import day_of

Currency = Annotated[str | None, typer.Option("--currency", help="Only this currency: `--currency USD`")]


@plainly
def show_(
    location: Annotated[str | None, typer.Option("--location", help="Only this location: `--location L1`")] = None,
    day: Annotated[str | None, typer.Option("--day", help="Only this business day: `--day 2026-11-20`")] = None,
    currency: Currency = None,
    as_json: AsJson = False,
) -> None:
    """Show each store's days: revisions, what was paid for and how, the difference, and the documents at targets."""
    found = asyncio.run(_days(location, day_of(day), currency))
    show(found, as_json, lambda: _draw(found))


async def _days(location: str | None, day: date | None, currency: str | None) -> list[dict[str, Any]]:
    here = settings()
    async with database(here.postgres) as pool:
        closed = await queries.closed(pool, location, day, currency)
        unclosed = await queries.open_days(pool, location, day, currency)
        documents: dict[str, list[dict[str, Any]]] = {}
        for row in await queries.documents(pool, [row["event_id"] for row in closed if row["event_id"]]):
            documents.setdefault(row["event_id"], []).append(dict(row))
    days = [_closed(row, documents.get(row["event_id"], [])) for row in closed]
    days += [_open(row) for row in unclosed]
    return sorted(days, key=lambda each: (each["location"], each["day"], each["currency"], each["revision"] is None))


def _closed(row: Any, documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    lines, flagged = _figures(row["value"])
    bought, paid = paid_for(lines, row["currency"]), paid_with(lines, row["currency"])
    return {
        **_name(row),
        "revision": row["revision"],
        "closed_by": row["closed_by"],
        "closed_at": row["closed_at"],
        "paid_for": bought.major,
        "paid_with": paid.major,
        "difference": (paid - bought).major,
        "flagged": flagged,
        "documents": documents,
    }


def _name(row: Any) -> dict[str, Any]:
    return {
        "account": row["account"],
        "location": row["location_id"],
        "day": row["business_day"],
        "currency": row["currency"],
        "sales": row["sales"],
        "refunds": row["refunds"],
    }


def _figures(value: bytes | None) -> tuple[tuple[DayLine, ...], list[str]]:
    """The day's figures with those of flagged sales, which are kept apart in the event; and which those are."""
    if value is None:
        return (), []
    day = decode(Kind.DAY_CLOSED, value).data
    assert isinstance(day, DayClosed)
    lines = (*day.lines, *(line for member in day.flagged for line in member.lines))
    return lines, [f"{member.entity_id}: {member.difference}, {member.reason}" for member in day.flagged]


def _open(row: Any) -> dict[str, Any]:
    return {**_name(row), "revision": None, "documents": [], "flagged": []}


def _draw(found: Sequence[dict[str, Any]]) -> None:
    if not found:
        say("no business day is known yet")
        return
    table = Table(header_style="dim")
    for name in ("location", "day", "revision", "sales", "refunds", "paid for", "paid with", "difference", "documents"):
        table.add_column(
            name, justify="right" if name.startswith("paid") or name == "difference" else "left", overflow="fold"
        )
    before = None
    for each in found:
        if before is not None and before != each["location"]:
            table.add_section()
        before = each["location"]
        table.add_row(each["location"], str(each["day"]), *_cells(each))
    say(table)
    for line in [flaw for each in found for flaw in each["flagged"]]:
        say(f"does not add up: {line}", style="red")


def _cells(each: dict[str, Any]) -> list[str | Text]:
    counts: list[str | Text] = [str(each["sales"]), str(each["refunds"])]
    if each["revision"] is None:
        return [Text("open", style="yellow"), *counts, "", "", "", ""]
    if each["revision"] == 0:
        return [Text("empty", style="dim"), *counts, "", "", "", ""]
    currency = each["currency"]
    off = each["difference"]
    difference = Text(f"{off} {currency}", style="red" if off else "green")
    amounts: list[str | Text] = [f"{each['paid_for']} {currency}", f"{each['paid_with']} {currency}", difference]
    return [str(each["revision"]), *counts, *amounts, _documents(each["documents"])]


def _documents(documents: Sequence[dict[str, Any]]) -> Text:
    text = Text()
    for number, row in enumerate(documents):
        name = row["document"] or row["remote_id"] or ""
        said = f"{name} {row['remote_id']}" if row["document"] and row["remote_id"] else name
        fate = said if row["state"] == "delivered" else f"{row['state']}: {row['reason'] or row['class'] or ''}"
        style = {"delivered": "green", "dead": "red"}.get(row["state"], "yellow")
        text.append("\n" if number else "").append(f"{row['connection']} {fate}".rstrip(), style=style)
    return text


@plainly
def close(
    location: Annotated[str, typer.Argument(help="The location's id at its vendor: `L1`", show_default=False)],
    day: Annotated[str, typer.Argument(help="The business day: `2026-11-20`", show_default=False)],
    currency: Currency = None,
    as_: Annotated[str | None, typer.Option("--as", help="Who acts; left out: this machine's user: `--as ana`")] = None,
    as_json: AsJson = False,
) -> None:
    """Close a business day now, without waiting for its cut-off. What comes later makes a further revision."""
    wanted = day_of(day)
    assert wanted is not None
    asked = asyncio.run(_close(location, wanted, currency, operator(as_)))
    names = ", ".join(f"{account} {money}" for account, money in asked)
    result = [{"account": account, "location": location, "day": wanted, "currency": money} for account, money in asked]
    show(
        result,
        as_json,
        lambda: say(f"asked to close {location} {wanted} ({names}); see `till day show --day {wanted}`"),
    )


async def _close(location: str, day: date, currency: str | None, who: str) -> list[tuple[str, str]]:
    here = settings()
    async with database(here.postgres) as pool, pool.acquire() as held, held.transaction():
        known = await queries.locations(held)
        fitting = [r for r in known if r["location_id"] == location and currency in (None, r["currency"])]
        if not fitting:
            names = ", ".join(f"{r['location_id']} ({r['currency']})" for r in known) or "none yet"
            raise Failure(
                f"nothing was ever sold at {location!r} {currency or ''}".rstrip() + f"; locations are: {names}", USAGE
            )
        for row in fitting:
            await queries.request_close(held, row["account"], location, day, row["currency"], who)
            detail = {"account": row["account"], "day": day.isoformat(), "currency": row["currency"]}
            await audit.record(held, who, "day.close", location, detail)
        return [(row["account"], row["currency"]) for row in fitting]
