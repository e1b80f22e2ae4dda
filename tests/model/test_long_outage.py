"""The target is away for six hours, in virtual time, while shops sell on and replicas come and go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from libs.canonical.kinds import Nature
from tests.model.operator import Operator
from tests.model.promises import check, check_end
from tests.model.world import Begin, ModelWorld
from tests.system.sales import customer, refund, sale

_HOURS = 6
_SALES, _PEOPLE = 750, 25
_POLL = 10.0  # seconds for which an empty poll waits: six hours are long


class _Shops:
    """Sell steadily: of three sales each, one is given back; customers change all the time."""

    def __init__(self, world: ModelWorld) -> None:
        self._world, self._sold, self._version = world, 0, 0

    def trade(self, sales: int, seconds: float) -> None:
        """So many sales, and what belongs to them, spread over that time."""
        for _ in range(sales):
            number, self._sold = self._sold, self._sold + 1
            self._world.publish(sale(number))
            if number % 3 == 2:
                self._world.publish(refund(number - 1))
            for _ in range(1 + number % 2):
                self._version += 1
                self._world.publish(customer(f"person-{self._version % _PEOPLE}", self._version))
            self._world.advance(seconds / sales)


def _outage(world: ModelWorld, each_hour: Callable[[int], None]) -> None:
    """Trade through six hours without the target, and a little before and after; what happens meanwhile is given."""
    shops, operator = _Shops(world), Operator(world)
    world.poll = _POLL
    first, second = world.start(), world.start()
    world.advance(10)
    shops.trade(30, 120)
    world.vendor.weather = "away"
    for hour in range(_HOURS):
        shops.trade((_SALES - 60) // _HOURS, 3500)
        if hour == 1:
            world.stop(first)
            world.start()
        if hour == 2:
            operator.pause()
        if hour == 3:
            world.kill(second)
            world.start()
            operator.resume()
        if hour == 4:
            world.stop(world.replicas[0])
            world.start()
        each_hour(hour)
        world.advance(100)
        check(world)
    assert not operator.letters()
    world.vendor.weather = "fair"
    shops.trade(30, 120)
    world.advance(1200)


def _judge(world: ModelWorld) -> Counter[str]:
    ends = check_end(world)
    states = sum(event.nature is Nature.STATE for event in world.events.values())
    assert not world.kafka.letters, "an outage costs no event anything"
    assert len(world.events) > 1900, len(world.events)
    assert ends.keys() == {"delivered", "superseded"}
    assert ends["superseded"] > states / 4, f"of {states} states only {ends['superseded']} gave way to newer ones"
    return ends


@pytest.mark.timeout(300)
def test_six_hours_away(begin: Begin) -> None:
    """Afterwards everything is there, once and in order; of states that waited only the newest was sent."""
    world = begin("lookup")
    _outage(world, lambda _hour: None)
    _judge(world)


@pytest.mark.timeout(300)
def test_six_hours_away_while_kafka_keeps_records_for_two(begin: Begin) -> None:
    """What Kafka deletes during the outage was moved to rows before, and goes out in order from there."""
    world = begin("upsert")
    kept = 2 * 3600 * 1000
    world.retention = {tp.topic: kept for tp in world.kafka.partitions}
    deleted: list[int] = []
    _outage(world, lambda _hour: deleted.append(world.kafka.delete_older(kept)))
    assert sum(deleted) > 1000, deleted
    _judge(world)
