"""`python -m tests.chaos [SCENARIO ...] [--minutes N] [--seed N]`: break everything, show a table, write a report."""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import structlog
from rich.console import Console

from bench.machine import machine
from deploy.local.layout import LOCAL
from tests.chaos.ground import Ground
from tests.chaos.report import show, write
from tests.chaos.scenario import Played, Scenario, play
from tests.chaos.scenarios import SCENARIOS

# What a scenario takes besides its harm: building its world and letting it settle, in seconds.
_BESIDES = 20.0


def lengths(chosen: Sequence[Scenario], minutes: float | None) -> dict[str, float]:
    """Seconds of harm for each: its short length, or its share of the minutes if that is more."""
    if minutes is None:
        return {each.name: each.seconds for each in chosen}
    left = max(0.0, minutes * 60 - _BESIDES * len(chosen))
    shares = sum(each.share for each in chosen)
    return {each.name: max(each.seconds, left * each.share / shares) for each in chosen}


async def _run(
    chosen: Sequence[Scenario], folder: Path, *, seed: int, minutes: float | None, samples: int | None
) -> list[Played]:
    # What clients log while a server is away is not for the screen.
    logging.basicConfig(filename=folder / "runner.log", filemode="w", level=logging.INFO)
    structlog.configure(logger_factory=structlog.stdlib.LoggerFactory())
    console, began = Console(stderr=True, highlight=False), time.monotonic()

    def say(text: str) -> None:
        console.print(f"{time.monotonic() - began:5.0f} s  {text}", markup=False)

    say(f"seed {seed}; starting three brokers and PostgreSQL")
    ground = Ground(folder / "stack")
    await ground.open()
    played: list[Played] = []
    try:
        seconds = lengths(chosen, minutes)
        for number, each in enumerate(chosen, 1):
            say(f"{number} of {len(chosen)}: {each.name}, {seconds[each.name]:.0f} s: {each.what}")
            played.append(
                await play(
                    each, ground, folder / each.name,
                    seed=seed, seconds=seconds[each.name], samples=samples, say=say,
                )
            )  # fmt: skip
            say(f"{each.name}: {'kept' if played[-1].kept else 'BROKEN'}, {played[-1].events:,} events")
            if played[-1].kept:
                shutil.rmtree(folder / each.name)
    finally:
        await ground.close()
    return played


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 when every promise was kept, 1 when not, 2 for wrong arguments."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO", help=f"any of {', '.join(SCENARIOS)}; none: all")
    parser.add_argument("--minutes", type=float, help="spread over the scenarios; left out: a few seconds each")
    parser.add_argument("--seed", type=int, help="repeats the choices of an earlier run")
    parser.add_argument("--samples", type=int, help="of each set-up of `neighbours`; left out: what its seconds give")
    parser.add_argument("--folder", type=Path, default=LOCAL / "chaos", help="where everything of the run is kept")
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.scenario if name not in SCENARIOS]:
        parser.error(f"no scenario is called {unknown[0]!r}; there are: {', '.join(SCENARIOS)}")
    chosen = [SCENARIOS[name] for name in dict.fromkeys(asked.scenario or SCENARIOS)]
    seed = random.SystemRandom().randrange(10**9) if asked.seed is None else asked.seed
    folder = asked.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for each in chosen:
        shutil.rmtree(folder / each.name, ignore_errors=True)
    played = asyncio.run(_run(chosen, folder, seed=seed, minutes=asked.minutes, samples=asked.samples))
    show(Console(width=None if sys.stdout.isatty() else 160, highlight=False), played, seed)
    write(folder / "report.json", played, seed, machine())
    print(f"written: {folder / 'report.json'}; repeat with SEED={seed}")
    return 0 if all(each.kept for each in played) else 1


if __name__ == "__main__":
    sys.exit(main())
