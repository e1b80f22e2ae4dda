"""What the state machine found, each as the shortest story that shows it."""

from __future__ import annotations

import pytest

from libs.canonical.event import AnyEvent, sale_amended
from tests.model.flavours import FLAVOURS, Flavour
from tests.model.healing import heal
from tests.model.operator import Operator
from tests.model.promises import check, check_end
from tests.model.world import Begin
from tests.system.sales import customer, refund, sale


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


def test_what_was_set_aside_is_not_gone_on_with_in_hand(begin: Begin) -> None:
    """An event was set aside, and the database's answer to that was lost.

    To send it on from hand would be a write of which its row knows nothing: after a crash it would be sent twice.
    """
    world = begin("lookup")
    replica = world.start()
    world.advance(10)
    event = sale_amended(sale(1, price=900), sale(1).data, 1)
    world.vendor.curses[event.id] = "missing"
    world.database.answers_to_lose.append("maybe_sent")
    world.publish(event)
    while world.database.answers_to_lose:
        world.advance(0.001)
    world.vendor.curses.clear()
    for _ in range(3000):
        world.advance(0.001)
        if world.vendor.effects:
            break
    world.kill(replica)
    heal(world, Operator(world))
    assert check_end(world) == {"delivered": 1}


def test_an_outage_met_on_asking_again_leaves_the_question_open(begin: Begin) -> None:
    """A batch had its effect and its answer was garbage; sent again it draws a 503, which says nothing of the first."""
    world = begin("keyed")
    world.start()
    world.advance(10)
    world.publish(customer("ana", 1))
    world.publish(customer("ben", 1))
    while not world.vendor.effects:
        world.advance(0.001)
        world.vendor.answers_lost = True
    world.vendor.answers_lost = False
    world.vendor.weather = "unavailable"
    world.advance(60)
    heal(world, Operator(world))
    assert check_end(world) == {"delivered": 2}


@pytest.mark.parametrize("event", [sale(0), refund(0)], ids=["shared article", "document of its own"])
def test_a_call_that_is_out_is_over_before_anybody_asks(begin: Begin, event: AnyEvent) -> None:
    """The partition moves on while the vendor works on a write, and the drain does not wait that long.

    Whoever has it next would ask, hear that nothing is there yet, and write it a second time.
    """
    world = begin("lookup")
    world.start()
    world.advance(10)
    world.vendor.write_takes = 14
    world.publish(event)
    while not world.vendor.writes:
        world.advance(0.01)
    world.start()
    world.advance(60)
    world.vendor.write_takes = None
    heal(world, Operator(world))
    assert check_end(world) == {"delivered": 1}


def test_an_article_is_not_made_while_another_event_s_call_for_it_is_out(begin: Begin) -> None:
    """Two sales need it; the first is stopped while the vendor makes it, and the second waits until that is over."""
    world = begin("lookup")
    world.start()
    world.advance(10)
    world.vendor.write_takes = 14
    world.publish(sale(0))
    while not world.vendor.writes:
        world.advance(0.01)
    world.publish(sale(7))
    world.start()
    world.advance(60)
    world.vendor.write_takes = None
    heal(world, Operator(world))
    assert check_end(world) == {"delivered": 2}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_connection_that_is_cut_does_not_end_the_call(begin: Begin, flavour: Flavour) -> None:
    """Connections break again and again, and what was sent has its effect up to a quarter of a minute later."""
    world = begin(flavour)
    world.start()
    world.advance(10)
    world.vendor.weather = "cut"
    for number in range(6):
        world.publish(sale(number))
        world.publish(refund(number))
        world.publish(customer("ana", number + 1))
    if flavour == "journal":
        world.close_day()
    world.advance(120)
    check(world)
    heal(world, Operator(world))
    ends = check_end(world)
    assert ends["delivered"] + ends["superseded"] == len(world.events)


def test_a_client_that_fell_silent_is_replaced(begin: Begin) -> None:
    """It is a member of the group, its heartbeats are heard, and no record reaches it: the engine joins anew."""
    world = begin("native")
    replica = world.start()
    world.publish(sale(0))
    world.advance(40)
    assert len(world.vendor.effects) == 2
    replica.consumers[-1].deaf = True
    for number in range(1, 5):
        world.publish(sale(number))
    world.advance(100)
    assert len(replica.consumers) == 2
    check(world)
    heal(world, Operator(world))
    assert check_end(world) == {"delivered": 5}


def test_stops_while_a_rebalance_does_not_end(begin: Begin) -> None:
    """The group waits for a member that is not heard of, and a poll for the group: told to stop, an engine ends."""
    world = begin("native")
    first, other = world.start(), world.start()
    world.advance(10)
    world.cut_off(other)
    world.kafka.group.rebalance()
    world.advance(5)
    assert not first.consumers[-1].settled
    told_at = world.clock.seconds
    world.stop(first)
    assert world.clock.seconds - told_at < 25
