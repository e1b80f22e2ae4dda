"""`till status`: how every connection stands, and whether everything is accounted for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from libs.runtime.configuration.model import Configuration
from libs.runtime.database.pool import Pool
from services.ops.balance import DELIVERY_TERMS, NOTIFICATION_TERMS, SNAPSHOT_TERMS, Accountant, Balance, Snapshots
from services.ops.environment import configuration, database, settings
from services.ops.queries import connections as queries
from services.ops.speaking import USAGE, AsJson, Failure, age, console, plainly, say, say_json

_EVERY = 2.0  # seconds between two looks of --watch

# Why something is parked, where the class alone does not say it.
_PLAIN = {
    "behind": "behind others",
    "day_open": "until the day closes",
    "hold": "unmapped",
    "left_out": "left out of their day",
    "spilled": "saved from expiry in Kafka",
}


@plainly
def status(
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every 2 s until stopped: `till status --watch`")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Exit 1 when anything is not accounted for: `till status --check`")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show how each connection stands, and that nothing is lost: offered = what became of it, every term counted.

    Left side: distinct ids read from the topics. Right side: rows of the ledger. Reads whole topics, so it takes
    longer the more they hold.
    """
    if watch and as_json:
        raise Failure("--watch is for people: leave out --json", USAGE)
    try:
        off = asyncio.run(_status(watch=watch, as_json=as_json))
    except KeyboardInterrupt:
        if watch:
            return
        raise
    if off and check:
        raise Failure(f"not accounted for: {', '.join(off)}")


async def _status(*, watch: bool, as_json: bool) -> list[str]:
    here, known = settings(), configuration()
    async with database(here.postgres) as pool:
        accountant = Accountant(here.kafka, pool, known)
        if watch:
            await _follow(accountant, pool, known)
        found = await _look(accountant, pool, known)
    if as_json:
        say_json(found)
    else:
        say(_picture(found))
    return [
        each["name"]
        for part in ("targets", "sources", "snapshots")
        for each in found[part]
        if each["balance"]["mismatch"]
    ]


async def _follow(accountant: Accountant, pool: Pool, known: Configuration) -> None:
    with Live(console=console(), auto_refresh=False, screen=False) as live:
        while True:
            live.update(_picture(await _look(accountant, pool, known)), refresh=True)
            await asyncio.sleep(_EVERY)


async def _look(accountant: Accountant, pool: Pool, known: Configuration) -> dict[str, Any]:
    balances = await accountant.count()
    by_name = {balance.name: balance for side, balance, _ in balances if not isinstance(side, Snapshots)}
    states, repeats = await queries.states(pool), await queries.repeats(pool)
    fetches, spool = await queries.fetches(pool), await queries.spool(pool)
    feeds = [dict(row) for row in await queries.feeds(pool)]
    return {
        "at": datetime.now(UTC),
        "targets": [
            {"name": c.id, "vendor": c.vendor, "shadow": c.shadow, **_state(states.get(c.id)), **_target(by_name[c.id]),
             "repeats": repeats.get(c.id, 0), "balance": by_name[c.id].as_json()}
            for c in known.targets()
        ],
        "sources": [
            {"name": c.id, "vendor": c.vendor, **_state(states.get(c.id)), "repeats": repeats.get(c.id, 0),
             "waiting_in_kafka": by_name[c.id].lag, "to_fetch": fetches[c.id]["n"] if c.id in fetches else 0,
             "oldest_fetch": fetches[c.id]["oldest"] if c.id in fetches else None,
             "last_error": fetches[c.id]["last_error"] if c.id in fetches else None,
             "spooled": spool.get(f"inbox.{c.vendor}", 0),
             "feeds": [feed for feed in feeds if feed["connection"] == c.id], "balance": by_name[c.id].as_json()}
            for c in known.sources()
        ],
        "snapshots": [
            {"name": f"raw.{balance.name}", "waiting_in_kafka": balance.lag, "balance": balance.as_json()}
            for side, balance, _ in balances
            if isinstance(side, Snapshots)
        ],
    }  # fmt: skip


def _state(row: Any) -> dict[str, Any]:
    if row is None:
        return {"circuit": "never ran", "circuit_reason": None, "circuit_since": None, "paused": None}
    paused = {"by": row["paused_by"], "reason": row["paused_reason"], "since": row["paused_at"]}
    return {
        "circuit": row["circuit"],
        "circuit_reason": row["circuit_reason"],
        "circuit_since": row["circuit_since"],
        "paused": paused if row["paused_by"] else None,
    }


def _target(balance: Balance) -> dict[str, Any]:
    parked = {row["class"] or "?": row["n"] for row in balance.rows if row["state"] == "parked"}
    open_rows = [
        row["oldest"] for row in balance.rows if row["state"] in ("parked", "claimed") and row["class"] != "day_open"
    ]
    oldest = [*open_rows, *(each.written_at for each in balance.unread)]
    delivered = [row["newest"] for row in balance.rows if row["state"] == "delivered" and row["newest"]]
    return {
        "waiting_in_kafka": balance.lag,
        "oldest": min(oldest, default=None),
        "parked": parked,
        "dead": balance.terms["dead"],
        "last_delivery": max(delivered, default=None),
    }


# For people ---------------------------------------------------------------------------------------------------------


def _picture(found: dict[str, Any]) -> RenderableType:
    parts: list[RenderableType] = [
        _targets(found["targets"]),
        _identity("offered to targets", found["targets"], DELIVERY_TERMS),
        _sources(found["sources"]),
        _identity("received from sources", found["sources"], NOTIFICATION_TERMS),
        _identity("snapshots", found["snapshots"], SNAPSHOT_TERMS),
    ]
    return Group(*parts)


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", header_style="dim", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _condition(each: dict[str, Any]) -> Text:
    paused = each["paused"]
    if paused:
        return Text(f"paused {age(paused['since'])}: {paused['reason']} ({paused['by']})", style="yellow")
    if each["circuit"] == "closed":
        return Text("running, in shadow" if each.get("shadow") else "running", style="green")
    if each["circuit"] == "never ran":
        return Text("never ran", style="dim")
    return Text(
        f"{each['circuit'].replace('_', ' ')} {age(each['circuit_since'])}: {each['circuit_reason']}", style="red"
    )


def _targets(targets: Sequence[dict[str, Any]]) -> Table:
    table = _table("Targets", "connection", "state", "in Kafka", "oldest", "parked", "dead", "last delivery", "repeats")
    for each in targets:
        parked = (
            ", ".join(f"{n} {_PLAIN.get(name, name.replace('_', ' '))}" for name, n in sorted(each["parked"].items()))
            or "-"
        )
        table.add_row(
            each["name"], _condition(each), str(each["waiting_in_kafka"]), age(each["oldest"]), parked,
            Text(str(each["dead"]), style="red" if each["dead"] else ""), age(each["last_delivery"]),
            str(each["repeats"]),
        )  # fmt: skip
    return table


def _sources(sources: Sequence[dict[str, Any]]) -> Table:
    table = _table("Sources", "connection", "state", "in Kafka", "to fetch", "oldest", "spooled", "repeats", "feeds")
    for each in sources:
        feeds = ", ".join(f"{feed['feed']} {_feed(feed)}" for feed in each["feeds"]) or "-"
        table.add_row(
            each["name"], Text("running", style="green") if _fine(each) else _condition(each),
            str(each["waiting_in_kafka"]), str(each["to_fetch"]), age(each["oldest_fetch"]), str(each["spooled"]),
            str(each["repeats"]), feeds,
        )  # fmt: skip
    return table


def _fine(source: dict[str, Any]) -> bool:
    # A source has no circuit: it has a row only once it was paused.
    return source["paused"] is None


def _feed(feed: dict[str, Any]) -> str:
    error = f" ({feed['last_error']})" if feed["last_error"] else ""
    return f"up to {age(feed['watermark'])} ago{error}" if feed["watermark"] else f"not read yet{error}"


def _identity(title: str, each_of: Sequence[dict[str, Any]], terms: Sequence[str]) -> Table:
    aged = any(each["balance"]["aged_out"] for each in each_of)
    names = [name for name in terms if name != "claimed"]
    table = _table(
        f"Accounted for: {title}", "", "offered", *(["+ aged out"] if aged else []), *_signed(names), "difference"
    )
    for each in each_of:
        balance = dict(each["balance"])
        claimed = balance.pop("claimed", 0)
        cells = [str(balance[name] + (claimed if name == "waiting" else 0)) for name in names]
        off = balance["mismatch"]
        verdict = Text(f"{off:+d}", style="bold red") if off else Text("0", style="green")
        table.add_row(
            each["name"], str(balance["offered"]), *([str(balance["aged_out"])] if aged else []), *cells, verdict
        )
    return table


def _signed(terms: Sequence[str]) -> list[str]:
    """The terms as columns. What is claimed and what waits in Kafka are both in flight to a target."""
    in_flight = {"waiting": "in flight"} if "parked" in terms else {}
    names = [in_flight.get(name, name.replace("_", " ")) for name in terms]
    return [f"{'=' if number == 0 else '+'} {name}" for number, name in enumerate(names)]
