"""`till pause` and `till resume`: one connection held, all replicas within seconds."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from services.ops.environment import configuration, connection_of, database, operator, settings
from services.ops.queries import audit
from services.ops.queries import connections as queries
from services.ops.speaking import AsJson, plainly, say, show

Id = Annotated[
    str,
    typer.Argument(
        metavar="CONNECTION", help="A connection's id, as in the configuration: `hubspot-main`", show_default=False
    ),
]
As = Annotated[str | None, typer.Option("--as", help="Who acts; left out: this machine's user: `--as ana`")]


@plainly
def pause(
    connection: Id,
    reason: Annotated[
        str, typer.Option("--reason", help="Why, for everybody who looks: `--reason 'price update'`")
    ] = "paused by hand",
    as_: As = None,
    as_json: AsJson = False,
) -> None:
    """Hold a connection: a target gets nothing more, a source fetches nothing more. Nothing is lost meanwhile."""
    changed = asyncio.run(_pause(connection, operator(as_), reason))
    text = (
        f"{connection} pauses within seconds; `till resume {connection}` ends it"
        if changed
        else f"{connection} was paused already"
    )
    show({"connection": connection, "paused": True, "changed": changed}, as_json, lambda: say(text))


async def _pause(connection: str, who: str, reason: str) -> bool:
    here = settings()
    connection_of(configuration(), connection)
    async with database(here.postgres) as pool, pool.acquire() as held, held.transaction():
        changed = await queries.pause(held, connection, who, reason)
        await audit.record(held, who, "pause", connection, {"reason": reason}, "done" if changed else "nothing to do")
        return changed


@plainly
def resume(connection: Id, as_: As = None, as_json: AsJson = False) -> None:
    """Let a held connection go on. Also ends a stop that Tillstream made itself because too much was refused."""
    changed = asyncio.run(_resume(connection, operator(as_)))
    text = f"{connection} goes on within seconds" if changed else f"{connection} was not paused"
    show({"connection": connection, "paused": False, "changed": changed}, as_json, lambda: say(text))


async def _resume(connection: str, who: str) -> bool:
    here = settings()
    connection_of(configuration(), connection)
    async with database(here.postgres) as pool, pool.acquire() as held, held.transaction():
        changed = await queries.resume(held, connection)
        await audit.record(held, who, "resume", connection, {}, "done" if changed else "nothing to do")
        return changed
