"""The one shape of a scenario, and playing one: build its world, do the harm, let it settle, judge."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.local import StackError
from tests.chaos.checker import HEADINGS, Findings
from tests.chaos.ground import Ground
from tests.chaos.world import Unkept, World

Harm = Callable[[World, random.Random, float], Awaitable[None]]
"""Does the harm in a world for that many seconds; events flow in meanwhile. Raises Unkept."""


@dataclass(frozen=True)
class Scenario:
    """`seconds` of harm in a short run; `share` is its part of the minutes of a long one."""

    name: str
    what: str
    harm: Harm
    seconds: float
    share: float = 1.0


@dataclass
class Played:
    """What came of a scenario. `counts` by heading of the judge; `broken`: what went wrong besides."""

    name: str
    seconds: float
    events: int
    kills: int
    faults: int
    counts: Mapping[str, int]
    details: list[str] = field(default_factory=list)
    broken: str | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)
    logs: str | None = None

    @property
    def kept(self) -> bool:
        """Whether every promise was kept."""
        return self.broken is None and not any(self.counts.values())

    def as_json(self) -> dict[str, Any]:
        """Everything of it, for programs."""
        return {
            "scenario": self.name,
            "kept": self.kept,
            "seconds": round(self.seconds, 1),
            "events": self.events,
            "kills": self.kills,
            "faults": self.faults,
            **self.counts,
            "broken": self.broken,
            "details": self.details[:100],
            "notes": dict(self.notes),
            "logs": self.logs,
        }


Say = Callable[[str], None]


async def play(
    scenario: Scenario, ground: Ground, folder: Path, *, seed: int, seconds: float, samples: int | None = None, say: Say
) -> Played:
    """Play a scenario in a world of its own. The same seed makes the same choices; what the machine makes of them in
    time is its own affair. Logs are in `folder`.
    `samples`: how many a scenario that measures shall take, however long that is."""
    began = time.monotonic()
    # Seeded by name too: a scenario does the same alone and among others.
    chance = random.Random(f"{seed} {scenario.name}")
    findings, broken = Findings(), None
    async with World(folder, ground, chance) as world:
        world.samples = samples
        try:
            try:
                await scenario.harm(world, chance, seconds)
            except Unkept as unkept:
                broken = str(unkept)
            say("harm done; waiting until everything is at rest")
            await world.settle()
            findings = await world.judge()
            if not findings.clean:
                world.write_account(await world.account())
        except (Unkept, AssertionError, TimeoutError, subprocess.TimeoutExpired, StackError) as error:
            # A service that neither starts nor stops, a server that does not come back: the next scenario goes on.
            broken = f"{type(error).__name__}: {str(error)[:2000]}"
        return Played(
            scenario.name,
            time.monotonic() - began,
            int(world.notes.pop("events", len(world.traffic.promised))),
            world.kills,
            world.faults,
            {heading: findings.counts[heading] for heading in HEADINGS},
            findings.details,
            broken,
            world.notes,
            None if broken is None and findings.clean else str(folder),
        )
