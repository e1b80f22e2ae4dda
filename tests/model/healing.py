"""The end of every story: everything is back, somebody looks after the dead letters, and all comes to rest."""

from __future__ import annotations

from tests.model.operator import Operator
from tests.model.promises import at_rest, check
from tests.model.world import ModelWorld

# After so many rounds of a minute whatever is not at rest never will be.
_ROUNDS = 30


def heal(world: ModelWorld, operator: Operator) -> None:
    """Bring everything back, and wait until all is at rest; `check_end` says whether it is."""
    world.kafka.away = world.kafka.letters_refused = world.database.away = False
    world.database.flaky = 0.0
    world.vendor.weather = "fair"
    world.vendor.curses.clear()
    for replica in world.replicas:
        world.join_again(replica)
    while len(world.replicas) < 2:
        world.start()
    for number in range(_ROUNDS):
        operator.resume()
        world.advance(60)
        check(world)
        if _at_rest(world):
            return
        if number < 3:
            operator.replay()
        else:  # a write of which the vendor cannot be asked: a person has looked there
            operator.discard(0)


def _at_rest(world: ModelWorld) -> bool:
    rows = world.run(world.rows())
    read = all(
        world.kafka.group.committed.get(tp, 0) == partition.end for tp, partition in world.kafka.partitions.items()
    )
    return read and len(rows) == len(world.events) and at_rest(world, rows)
