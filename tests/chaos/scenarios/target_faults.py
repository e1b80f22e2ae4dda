"""Everything that a target can answer, and everything that it can leave unanswered, with sales flowing."""

from __future__ import annotations

import asyncio
import random
import time

from services.sandbox.faults import KINDS
from tests.chaos.scenario import Scenario
from tests.chaos.world import Unkept, World

_FAULTS = tuple(kind for kind in KINDS if kind != "none")
# QuickBooks asks for a minute of silence after a 429: in a short run HubSpot alone throttles.
_A_MINUTE_EACH = ("throttled", "throttled_retry_after")
_LONG = 200.0
# A fault that struck so often has shown what it can do; one that does not strike within the time has shown nothing.
_ENOUGH, _PATIENCE = 2, 20.0


async def _each_fault(world: World, chance: random.Random, seconds: float) -> None:
    """Each fault is on until it has struck at both targets, and off again until the circuits are closed."""
    await world.start("quickbooks#1", "quickbooks#2", "hubspot")
    each = seconds / len(_FAULTS)
    async with world.traffic.flowing():
        for kind in chance.sample(_FAULTS, len(_FAULTS)):
            crm_only = kind in _A_MINUTE_EACH and seconds < _LONG
            vendors = ("hubspot",) if crm_only else ("quickbooks", "hubspot")
            for vendor in vendors:
                # Tokens are spared: one whose renewal was answered into the void is lost at QuickBooks, too.
                match = "^/v3" if vendor == "quickbooks" else None
                late = 1.0 if kind == "slow" else 20.0
                await world.fault(vendor, kind, seconds=late, match=match)
            await _has_struck(world, vendors, kind, each)
            for vendor in vendors:
                await world.fault(vendor, "none")
            await world.until(lambda: _closed(world), f"circuits are closed after {kind}", seconds=150)


async def _has_struck(world: World, vendors: tuple[str, ...], kind: str, least: float) -> None:
    began = time.monotonic()
    while True:
        struck = [await world.struck(vendor) for vendor in vendors]
        passed = time.monotonic() - began
        if min(struck) >= _ENOUGH and passed >= least / 2:
            return
        if passed > max(_PATIENCE, least):
            if min(struck) == 0:
                raise Unkept(f"{kind} never struck: nobody called within {passed:.0f} s")
            return
        await asyncio.sleep(0.1)


async def _closed(world: World) -> bool:
    return await world.count("select count(*) from connection_state where circuit = 'open'") == 0


TARGET_FAULTS = Scenario("target_faults", "every fault that the simulators know, in turn", _each_fault, 14, 3)
