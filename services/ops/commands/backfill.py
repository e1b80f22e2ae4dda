"""`till backfill`: a span of a vendor's past, read again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from libs.runtime.configuration.model import Connection
from services.ops.environment import configuration, connection_of, database, operator, settings
from services.ops.queries import audit
from services.ops.queries import backfills as queries
from services.ops.speaking import USAGE, AsJson, Failure, console, plainly, say, show
from services.ops.times import moment_of

_ENDED = ("done", "failed")


@plainly
def backfill(
    connection: Annotated[str, typer.Argument(help="A source connection's id: `square-main`", show_default=False)],
    begin: Annotated[
        str,
        typer.Option(
            "--from", help="From when on (a day begins at midnight UTC): `--from 2026-11-01`", show_default=False
        ),
    ],
    end: Annotated[str | None, typer.Option("--to", help="Until before when; left out: now: `--to 2026-11-08`")] = None,
    feeds: Annotated[
        str | None, typer.Option("--feeds", help="Only these of the vendor's feeds: `--feeds orders,customers`")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay and show how it gets on: `till backfill square-main --from 3d --wait`")
    ] = False,
    as_: Annotated[str | None, typer.Option("--as", help="Who acts; left out: this machine's user: `--as ana`")] = None,
    as_json: AsJson = False,
) -> None:
    """Read a span of a vendor's past again. What is known already is recognised and has no second effect."""
    period = _period(begin, end)
    row = asyncio.run(_backfill(connection, period, feeds, operator(as_), wait=wait, quiet=as_json))
    show(dict(row), as_json, lambda: _tell(row))
    if row["state"] == "failed":
        raise Failure(f"backfill {row['id']} failed: {row['progress']}")


def _period(begin: str, end: str | None) -> tuple[datetime, datetime]:
    first, last = moment_of(begin), moment_of(end) or datetime.now(UTC)
    assert first is not None
    if first >= last:
        raise Failure(f"--from ({first:%Y-%m-%d %H:%M} UTC) must lie before --to ({last:%Y-%m-%d %H:%M} UTC)", USAGE)
    return first, last


def _feeds(source: Connection, stated: str | None) -> Sequence[str]:
    facts = source.connector.manifest.source
    known = facts.feeds if facts else ()
    chosen = [feed.strip() for feed in (stated or "").split(",") if feed.strip()] or list(known)
    unknown = [feed for feed in chosen if feed not in known]
    if unknown:
        raise Failure(f"{source.vendor} has no feed {', '.join(unknown)}; there are: {', '.join(known)}", USAGE)
    return chosen


async def _backfill(
    connection: str, period: tuple[datetime, datetime], feeds: str | None, who: str, *, wait: bool, quiet: bool
) -> Any:
    here = settings()
    source = connection_of(configuration(), connection, "source")
    chosen = _feeds(source, feeds)
    async with database(here.postgres) as pool:
        async with pool.acquire() as held, held.transaction():
            number = await queries.request(held, connection, chosen, *period, who)
            detail = {
                "request": number,
                "feeds": list(chosen),
                "from": period[0].isoformat(),
                "to": period[1].isoformat(),
            }
            await audit.record(held, who, "backfill", connection, detail)
        return await _follow(pool, number, quiet=quiet) if wait else await queries.one(pool, number)


async def _follow(pool: Any, number: int, *, quiet: bool) -> Any:
    with console(error=True).status(f"backfill {number}: waiting for a poller") as line:
        while True:
            row = await queries.one(pool, number)
            if row["state"] in _ENDED:
                return row
            if not quiet:
                line.update(f"backfill {number}: {row['state']}, {row['found']} objects found {row['progress'] or ''}")
            await asyncio.sleep(0.5)


def _tell(row: Any) -> None:
    span = f"{row['begin_at']:%Y-%m-%d %H:%M} to {row['end_at']:%Y-%m-%d %H:%M} UTC"
    what = f"backfill {row['id']} of {row['connection']} ({', '.join(row['feeds'])}), {span}"
    say(f"{what}: {row['state']}, {row['found']} found")
