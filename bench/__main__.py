"""`python -m bench [SCENARIO ...] [--quick] [--json PATH]`: measure, show a table, write a report.

What is through is shown and written also when it is interrupted, or when a scenario fails.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import sys
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.duration import minutes
from bench.machine import machine
from bench.measuring import Comparison
from bench.progress import say
from bench.report import show, write
from bench.scenarios import SCENARIOS, comparisons
from bench.sizes import FULL, QUICK, TINY, Sizes
from bench.stand import BenchFailed, Stand
from deploy.local import StackError, down
from deploy.local.layout import LOCAL


@dataclass
class Measured:
    """What is through so far, and why the rest is not: a sentence for each scenario."""

    found: list[Comparison] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)


async def measure(names: Sequence[str], stand: Stand, sizes: Sizes, measured: Measured) -> None:
    """Measure these scenarios, one after the other; one that fails does not keep the next from its turn."""
    measured.missing |= dict.fromkeys(names, "interrupted")
    await stand.open()
    try:
        for number, name in enumerate(names, 1):
            left = sum(minutes(later, sizes) for later in names[number - 1 :])
            say(f"{name} ({number} of {len(names)}; about {left:.0f} minutes left)")
            try:
                async with aclosing(comparisons(name, stand, sizes)) as results:
                    async for found in results:
                        measured.found += found
            except BenchFailed as error:
                measured.missing[name] = str(error)
                say(f"{name} failed: {error}")
                await stand.close()
            else:
                del measured.missing[name]
    finally:
        await stand.close()


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


def _list(sizes: Sizes) -> None:
    for name, scenario in SCENARIOS.items():
        about = (sys.modules[scenario.__module__].__doc__ or "").partition("\n")[0]
        print(f"{name:13} about {minutes(name, sizes):4.1f} min  {about}")


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="What Tillstream costs, beside bare loops and other people's software."
    )
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO", help=f"any of {', '.join(SCENARIOS)}; none: all")
    parser.add_argument("--list", action="store_true", help="say what the scenarios are and about how long they take")
    parser.add_argument("--quick", action="store_true", help="fewer rounds of fewer events")
    parser.add_argument("--tiny", action="store_true", help="only show that everything runs: the figures say nothing")
    parser.add_argument("--json", type=Path, default=LOCAL / "bench/report.json", help="where the report goes")
    parser.add_argument("--folder", type=Path, default=LOCAL / "bench", help="where its Kafka and PostgreSQL live")
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.scenario if name not in SCENARIOS]:
        parser.error(f"no scenario is called {unknown[0]!r}; there are: {', '.join(SCENARIOS)}")
    return asked


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 when everything was measured, 1 when something failed, 2 for wrong arguments, 130 interrupted."""
    asked = _arguments(arguments)
    sizes = TINY if asked.tiny else QUICK if asked.quick else FULL
    if asked.list:
        _list(sizes)
        return 0
    names = list(dict.fromkeys(asked.scenario)) or list(SCENARIOS)
    say(f"{len(names)} scenarios, about {sum(minutes(name, sizes) for name in names):.0f} minutes")
    where, measured, code = machine(), Measured(), 0
    try:
        with _alone(asked.folder):
            asyncio.run(measure(names, Stand(asked.folder.resolve()), sizes, measured))
    except (BenchFailed, StackError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        code = 130
    show(measured.found, where, measured.missing)
    write(asked.json, measured.found, where, sizes.rounds, measured.missing)
    print(f"written: {asked.json}")
    return code or (1 if measured.missing else 0)


if __name__ == "__main__":
    sys.exit(main())
