"""All scenarios, in the order in which a run plays them."""

from __future__ import annotations

from tests.chaos.scenario import Scenario
from tests.chaos.scenarios.replicas import KILL_LOOP

SCENARIOS: dict[str, Scenario] = {each.name: each for each in (KILL_LOOP,)}
