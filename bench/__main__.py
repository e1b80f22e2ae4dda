"""`python -m bench [SCENARIO ...] [--quick] [--json PATH]`: measure, show a table, write a report."""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from bench.machine import machine
from bench.measuring import Comparison
from bench.report import show, write
from bench.scenarios import SCENARIOS
from bench.sizes import FULL, QUICK, TINY
from bench.stand import BenchFailed, Stand
from deploy.local import StackError, down
from deploy.local.layout import LOCAL


async def _measure(names: Sequence[str], stand: Stand, sizes_name: str) -> list[Comparison]:
    sizes = {"full": FULL, "quick": QUICK, "tiny": TINY}[sizes_name]
    console = Console(stderr=True)
    found: list[Comparison] = []
    await stand.open()
    try:
        for name in names:
            console.print(f"measuring {name} ...", style="dim")
            found += await SCENARIOS[name](stand, sizes)
    finally:
        await stand.close()
    return found


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two benches in one folder would delete each other's topics; raises BenchFailed."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "running").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BenchFailed(f"another bench runs in {folder}; wait for it, or use another --folder") from None
        try:
            yield
        finally:
            down(folder / "stack")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 when everything was measured, 1 when something failed, 2 for wrong arguments."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="What Tillstream costs beside a bare loop.")
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO", help=f"any of {', '.join(SCENARIOS)}; none: all")
    parser.add_argument("--quick", action="store_true", help="three rounds of fewer events instead of five")
    parser.add_argument("--tiny", action="store_true", help="only show that everything runs: the figures say nothing")
    parser.add_argument("--json", type=Path, default=LOCAL / "bench/report.json", help="where the report goes")
    parser.add_argument("--folder", type=Path, default=LOCAL / "bench", help="where its Kafka and PostgreSQL live")
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.scenario if name not in SCENARIOS]:
        parser.error(f"no scenario is called {unknown[0]!r}; there are: {', '.join(SCENARIOS)}")
    names = list(dict.fromkeys(asked.scenario)) or list(SCENARIOS)
    size = "tiny" if asked.tiny else "quick" if asked.quick else "full"
    where = machine()
    try:
        with _alone(asked.folder):
            found = asyncio.run(_measure(names, Stand(asked.folder.resolve()), size))
    except (BenchFailed, StackError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    show(found, where)
    write(asked.json, found, where, {"full": FULL, "quick": QUICK, "tiny": TINY}[size].rounds)
    print(f"written: {asked.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
