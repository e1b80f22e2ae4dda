"""Short stories with a known end: each is the simplest in which one promise could be broken."""

from __future__ import annotations

import pytest

from libs.canonical.event import sale_amended
from tests.model.flavours import Flavour
from tests.model.healing import heal
from tests.model.operator import Operator
from tests.model.promises import check, check_end
from tests.model.world import Begin, ModelWorld
from tests.system.sales import refund, sale


@pytest.mark.parametrize("flavour", ["batched", "keyed"])
def test_many_in_one_call_have_their_effect_once(begin: Begin, flavour: Flavour) -> None:
    """Answers of whole batches are lost before and after the effect: each event in them has its effect, once."""
    world = begin(flavour)
    world.start()
    world.advance(10)
    world.vendor.weather = "silent"
    for number in range(12):
        world.publish(sale(number))
    world.advance(300)
    assert world.vendor.most_at_once > 1, "nothing was joined"
    check(world)
    heal(world, Operator(world))
    assert check_end(world) == {"delivered": 12}


def test_a_batch_that_was_sent_when_its_process_died_goes_out_again_as_it_was(begin: Begin) -> None:
    """Killed while the vendor works on it: two others, each with some of it, send it once more under the same key."""
    world = begin("keyed")
    first = world.start()
    world.advance(10)
    for number in range(4):
        world.publish(sale(number))
    while not world.vendor.effects:
        world.advance(0.001)
    done = len(world.vendor.effects)
    world.kill(first)
    world.vendor.weather = "slow"  # so that whoever else has one of them in hand comes while it is under way
    for number in range(4, 8):
        world.publish(sale(number))
    world.start()
    world.start()
    world.advance(120)
    check(world)
    heal(world, Operator(world))
    assert done > 1
    assert check_end(world) == {"delivered": 8}


def test_what_was_sold_is_delivered_with_its_day(begin: Begin) -> None:
    """The entry of a day is refused, put right and sent: its sales are delivered with it, and later ones later."""
    world = begin("journal")
    world.start()
    operator = Operator(world)
    for number in range(3):
        world.publish(sale(number))
    world.close_day()
    (first,) = world.days()
    world.vendor.curses[first.id] = "poison"
    world.publish(refund(1))
    world.close_day()
    world.advance(60)
    check(world)
    assert not world.vendor.effects, "the second entry waits behind the first"
    operator.edit(0)
    heal(world, operator)
    assert check_end(world) == {"delivered": 6}
    assert [effect.event for effect in world.vendor.effects] == [day.id for day in world.days()]


def _change_often(world: ModelWorld, number: int, times: int) -> None:
    before = sale(number)
    world.publish(before)
    for ordinal in range(1, times):
        now = sale(number, price=1000 + ordinal)
        world.publish(sale_amended(now, before.data, ordinal))
        before = now


def test_one_of_a_key_at_a_time(begin: Begin) -> None:
    """Many changes of few sales at a slow target: never two calls for one of them, never one out of order."""
    world = begin("upsert")
    world.start()
    world.advance(10)
    world.vendor.weather = "slow"
    for number in range(3):
        _change_often(world, number, 6)
    world.advance(600)
    check(world)
    heal(world, Operator(world))
    assert check_end(world) == {"delivered": 18}


def test_a_lost_answer_is_asked_about_before_anything_is_sent_again(begin: Begin) -> None:
    """Answers are lost before and after the effect: each has its effect, once, at a target that can only be asked."""
    world = begin("lookup")
    world.start()
    world.advance(10)
    world.vendor.weather = "silent"
    for number in range(8):
        world.publish(sale(number))
    world.advance(300)
    check(world)
    heal(world, Operator(world))
    assert check_end(world) == {"delivered": 8}


def test_an_outcome_that_could_not_be_written_is_written_later(begin: Begin) -> None:
    """The database goes while calls are under way: nothing is committed whose row still says that it is under way."""
    world = begin("native")
    world.start()
    world.advance(10)
    for number in range(8):
        world.publish(sale(number))
        world.publish(refund(number))
    while world.vendor.calls < 4:
        world.advance(0.05)
    world.database.away = True
    world.advance(20)
    check(world)
    world.database.away = False
    world.advance(20)
    check(world)
    heal(world, Operator(world))
    assert check_end(world) == {"delivered": 16}


def test_a_kill_loses_nothing(begin: Begin) -> None:
    """One event takes long while others are done: after a kill it is read again, though later ones were finished."""
    world = begin("upsert")
    world.start()
    world.advance(10)
    slow = sale(0)
    world.publish(slow)
    world.vendor.curses[slow.id] = "sick"
    for number in range(1, 9):
        world.publish(sale(number))
    for _ in range(12):
        world.advance(0.5)
        check(world)
    world.kill(world.replicas[0])
    world.start()
    heal(world, Operator(world))
    assert check_end(world) == {"delivered": 9}
