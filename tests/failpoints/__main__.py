"""`python -m tests.failpoints [PLACE ...]`: end lives at every dangerous place, count, and show the table."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.local import StackError
from deploy.local.layout import LOCAL
from tests.failpoints.ground import Ground
from tests.failpoints.lives import LifeFailed
from tests.failpoints.report import table, write
from tests.failpoints.trial import PLACES, Row, Trial, rows_of


async def _try(rows: list[Row], asked: argparse.Namespace) -> None:
    vendors = {row.service: row.target for row in rows if row.target != "books"}
    async with Ground(asked.folder, vendors) as ground:
        trial = Trial(
            ground, rows, exits=asked.exits, kills=asked.kills, seed=asked.seed, minutes=asked.minutes,
            say=lambda text: print(text, file=sys.stderr, flush=True),
        )  # fmt: skip
        await trial.run()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 when nothing was lost, doubled or out of order, 1 when something was, or a life went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.failpoints", description=__doc__)
    parser.add_argument("place", nargs="*", help=f"any of {', '.join(PLACES)}; none: all")
    parser.add_argument("--exits", type=int, default=int(os.environ.get("TILLSTREAM_FAILPOINT_EXITS", "3")),
                        help="lives that end by themselves, a place (TILLSTREAM_FAILPOINT_EXITS)")  # fmt: skip
    parser.add_argument("--kills", type=int, default=int(os.environ.get("TILLSTREAM_FAILPOINT_KILLS", "1")),
                        help="lives that are killed while held, a place (TILLSTREAM_FAILPOINT_KILLS)")  # fmt: skip
    parser.add_argument("--minutes", type=float, default=float(os.environ.get("MINUTES", "inf")),
                        help="no more lives after that, and what was done is counted (MINUTES)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED", "1")), help="repeats a run (SEED)")
    parser.add_argument("--folder", type=Path, default=LOCAL / "failpoints", help="for the stack, logs and marks")
    parser.add_argument("--json", type=Path, default=LOCAL / "chaos/failpoints.json", help="where the report goes")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.place) - set(PLACES):
        parser.error(f"no such place: {', '.join(sorted(unknown))}; there are: {', '.join(PLACES)}")
    rows = rows_of(asked.place or list(PLACES))
    began = time.monotonic()
    try:
        asyncio.run(_try(rows, asked))
        failed = []
    except* (LifeFailed, StackError) as group:
        failed = [str(error) for error in group.exceptions]
    if failed:
        sys.stderr.write("\n".join(failed) + "\n")
        return 1
    seconds = time.monotonic() - began
    write(rows, asked.json, seed=asked.seed, seconds=seconds)
    well = all(row.findings.none for row in rows)
    lives = sum(row.exits + row.kills for row in rows)
    print(table(rows))
    print(f"{'All is well' if well else 'Something is wrong'}: {lives} lives, seed {asked.seed}, {seconds:.0f} s")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
