"""All scenarios, in the order in which a run plays them."""

from __future__ import annotations

from tests.chaos.scenario import Scenario
from tests.chaos.scenarios.replicas import KILL_LOOP, REBALANCE_STORM, TOLD_TO_STOP
from tests.chaos.scenarios.servers import LEADER_KILLED, POSTGRES_KILLED

SCENARIOS: dict[str, Scenario] = {
    each.name: each for each in (KILL_LOOP, REBALANCE_STORM, TOLD_TO_STOP, LEADER_KILLED, POSTGRES_KILLED)
}
