"""All scenarios, in the order in which a run plays them."""

from __future__ import annotations

from tests.chaos.scenario import Scenario
from tests.chaos.scenarios.intake import KAFKA_GONE
from tests.chaos.scenarios.memory import SOAK
from tests.chaos.scenarios.neighbours import NEIGHBOURS
from tests.chaos.scenarios.network import NETWORK_KAFKA, NETWORK_POSTGRES, NETWORK_TARGET
from tests.chaos.scenarios.poison import POISON_ZOO
from tests.chaos.scenarios.replicas import KILL_LOOP, REBALANCE_STORM, TOLD_TO_STOP
from tests.chaos.scenarios.servers import LEADER_KILLED, POSTGRES_KILLED
from tests.chaos.scenarios.services import ALL_SERVICES
from tests.chaos.scenarios.target_faults import TARGET_FAULTS

SCENARIOS: dict[str, Scenario] = {
    each.name: each
    for each in (
        KILL_LOOP,
        REBALANCE_STORM,
        TOLD_TO_STOP,
        LEADER_KILLED,
        KAFKA_GONE,
        POSTGRES_KILLED,
        NETWORK_TARGET,
        NETWORK_KAFKA,
        NETWORK_POSTGRES,
        TARGET_FAULTS,
        POISON_ZOO,
        ALL_SERVICES,
        NEIGHBOURS,
        SOAK,
    )
}
