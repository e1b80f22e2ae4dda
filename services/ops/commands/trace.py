"""`till trace`: where is my sale?"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from services.ops.environment import configuration, database, settings
from services.ops.journey import Journey
from services.ops.journey import trace as find
from services.ops.speaking import AsJson, Failure, moment, plainly, say, show

_TONES = {"good": "green", "waiting": "yellow", "bad": "red", "plain": ""}


@plainly
def trace(
    name: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="An id of a sale, order, payment, refund, receipt, customer, event, delivery or document, "
            "or a target's own id: `R1042`",
            show_default=False,
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Show the whole journey of a sale, refund or customer: received, transformed, and where it is at every target."""
    journey = asyncio.run(_trace(name))
    if not journey.moments:
        raise Failure(f"nothing is known of {name!r}. Looked through: {'; '.join(journey.looked)}")
    show(asdict(journey), as_json, lambda: _draw(journey))


async def _trace(name: str) -> Journey:
    here, known = settings(), configuration()
    async with database(here.postgres) as pool:
        return await find(pool, known, name)


def _draw(journey: Journey) -> None:
    table = Table(
        title=f"Journey of {journey.name}", title_justify="left", header_style="dim", box=None, padding=(0, 2, 0, 0)
    )
    for column in ("time (UTC)", "where", "what", "detail"):
        table.add_column(column, overflow="fold")
    for each in journey.moments:
        table.add_row(moment(each.at), each.where, Text(each.what, style=_TONES[each.tone]), each.detail)
    say(table)
    for key in journey.order_keys:
        say(f"order key {key}", style="dim")
