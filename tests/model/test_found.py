"""What the state machine found, each as the shortest story that shows it."""

from __future__ import annotations

from tests.model.healing import heal
from tests.model.operator import Operator
from tests.model.promises import check, check_end
from tests.model.world import Begin
from tests.system.sales import customer, sale


def test_stops_while_the_database_is_away(begin: Begin) -> None:
    """Told to stop before it could begin, an engine ends."""
    world = begin("native")
    world.database.away = True
    replica = world.start()
    world.advance(5)
    world.stop(replica)


def test_a_late_older_state_never_follows_a_newer_one(begin: Begin) -> None:
    """It waits behind the newer one, which is a dead letter; once that is healed, the older one is of no use."""
    world = begin("upsert")
    world.start()
    world.publish(customer("ana", 1))
    world.advance(10)
    world.publish(newer := customer("ana", 3))
    world.vendor.curses[newer.id] = "poison"
    world.advance(10)
    world.publish(customer("ana", 2))
    world.advance(10)
    check(world)
    heal(world, Operator(world))
    assert check_end(world) == {"delivered": 2, "superseded": 1}


def test_a_claim_that_ran_out_is_not_sent_on(begin: Begin) -> None:
    """While a pause holds up what it has in hand, a replica loses its partition and does not hear of it.

    Its claims run out, and another replica takes them over. When the pause ends, only one of the two may send.
    """
    world = begin("lookup")
    operator = Operator(world)
    first = world.start()
    world.advance(10)
    world.vendor.weather = "slow"
    for number in range(7):
        world.publish(sale(number))
    world.advance(1)
    operator.pause()
    world.advance(40)
    world.cut_off(first)
    world.start()
    world.advance(120)
    operator.resume()
    world.advance(60)
    heal(world, operator)
    assert check_end(world) == {"delivered": 7}
