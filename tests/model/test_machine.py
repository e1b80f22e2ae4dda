"""Anything may happen at any time, and the promises hold: a state machine against the real engine and its ledger.

A failing example prints its steps; every chance in it comes from the seed among them. `TILLSTREAM_MODEL_EXAMPLES=` runs
more of them.
"""

from __future__ import annotations

import itertools
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from libs.canonical.event import Event, sale_amended
from libs.canonical.sale import Sale
from libs.connectors.contract.manifest import Limits, Window
from tests.model.flavours import FLAVOURS, Flavour
from tests.model.healing import heal
from tests.model.operator import Operator
from tests.model.promises import check, check_end
from tests.model.vendor import Curse, Weather
from tests.model.world import UNLIMITED, ModelWorld, Replica, Stage
from tests.system.sales import customer, refund, sale

_EXAMPLES = int(os.environ.get("TILLSTREAM_MODEL_EXAMPLES", "50"))
_STEPS = 40
_MOST_REPLICAS = 3
_LIMITED = Limits(windows=(Window(calls=10, seconds=5), Window(calls=60, seconds=60)), concurrency=4)
_WEATHERS: tuple[Weather, ...] = (
    "fair", "away", "unavailable", "broken", "silent", "slow", "cut", "garbage", "throttling", "expired",
    "unauthorised",
)  # fmt: skip
_CURSES: tuple[Curse, ...] = ("poison", "forbidden", "conflict", "missing", "sick")
_runs = itertools.count(1)

_orders = st.integers(0, 5)
_people = st.sampled_from(("ana", "ben", "chi"))


class Machine(RuleBasedStateMachine):
    """Rules are what tills, operators, networks and machines do."""

    stage: Stage

    @initialize(seed=st.integers(0, 10**6), flavour=st.sampled_from(FLAVOURS), limited=st.booleans())
    def begin(self, seed: int, flavour: Flavour, limited: bool) -> None:
        """Two replicas, fair weather."""
        limits = _LIMITED if limited else UNLIMITED
        self.world = ModelWorld(self.stage, f"model-{next(_runs)}", flavour, seed, limits=limits)
        self.operator = Operator(self.world)
        self.sales: dict[int, Event[Sale]] = {}
        self.versions: dict[str, int] = {}
        self.amended = 0
        self.world.start()
        self.world.start()
        self.world.advance(10)

    def teardown(self) -> None:
        """Whatever happened: heal everything, and all is where it belongs."""
        if not hasattr(self, "world"):
            return
        try:
            if not self.world.vendor.complaints:
                if self.world.flavour == "journal":
                    self.world.close_day()
                heal(self.world, self.operator)
                check_end(self.world)
        finally:
            self.world.close()

    # Tills ------------------------------------------------------------------------------------------------------

    @rule(order=_orders)
    def sell(self, order: int) -> None:
        """A sale, or the same one again."""
        self.world.publish(self.sales.setdefault(order, sale(order)))

    @rule(order=_orders)
    @precondition(lambda self: self.sales)
    def amend(self, order: int) -> None:
        """The price of a sale is changed."""
        if order in self.sales:
            self.amended += 1
            before, now = self.sales[order], sale(order, price=2000 + self.amended)
            self.world.publish(sale_amended(now, before.data, self.amended))

    @rule(order=_orders)
    def give_back(self, order: int) -> None:
        """A refund, or the same one again; also of a sale that nobody has seen yet."""
        self.world.publish(refund(order))

    @rule(name=_people, behind=st.integers(0, 2))
    def change(self, name: str, behind: int) -> None:
        """A customer's newest state, or one that is late."""
        newest = self.versions[name] = self.versions.get(name, 0) + (0 if behind else 1)
        self.world.publish(customer(name, max(1, newest - behind)))

    @rule(orders=st.lists(_orders, min_size=4, max_size=12))
    def rush(self, orders: list[int]) -> None:
        """Many at once."""
        for order in orders:
            self.sell(order)
            self.give_back(order)
            self.change("ana", 0)

    @rule()
    @precondition(lambda self: self.world.flavour == "journal")
    def close_day(self) -> None:
        """The books close the day."""
        self.world.close_day()

    # The target -------------------------------------------------------------------------------------------------

    @rule(weather=st.sampled_from(_WEATHERS))
    def turn(self, weather: Weather) -> None:
        """The target's weather changes."""
        self.world.vendor.weather = weather

    @rule(luck=st.integers(0, 3), curse=st.sampled_from(_CURSES))
    @precondition(lambda self: self.world.events)
    def curse(self, luck: int, curse: Curse) -> None:
        """The target refuses one of the newest events for what it is."""
        newest = list(self.world.events)[-4:]
        name = newest[luck % len(newest)]
        self.world.vendor.curses[name] = curse

    @rule()
    @precondition(lambda self: self.world.vendor.curses)
    def lift(self) -> None:
        """What was wrong with an event at the target is put right there."""
        self.world.vendor.curses.popitem()

    # Replicas ---------------------------------------------------------------------------------------------------

    def _one(self, luck: int) -> Replica:
        return self.world.replicas[luck % len(self.world.replicas)]

    @rule()
    @precondition(lambda self: len(self.world.replicas) < _MOST_REPLICAS)
    def start(self) -> None:
        """Another replica."""
        self.world.start()

    @rule(luck=st.integers(0, 5))
    @precondition(lambda self: self.world.replicas)
    def stop(self, luck: int) -> None:
        """SIGTERM."""
        self.world.stop(self._one(luck))

    @rule(luck=st.integers(0, 5))
    @precondition(lambda self: self.world.replicas)
    def kill(self, luck: int) -> None:
        """SIGKILL."""
        self.world.kill(self._one(luck))

    @rule(luck=st.integers(0, 5))
    @precondition(lambda self: self.world.replicas)
    def cut_off(self, luck: int) -> None:
        """Kafka hears no more of a replica, which goes on."""
        self.world.cut_off(self._one(luck))

    @rule(luck=st.integers(0, 5))
    @precondition(lambda self: self.world.replicas)
    def join_again(self, luck: int) -> None:
        """It is heard of again."""
        self.world.join_again(self._one(luck))

    @rule(luck=st.integers(0, 5))
    @precondition(lambda self: self.world.replicas)
    def deafen(self, luck: int) -> None:
        """A replica's client falls silent: a fault of its own that no error tells of."""
        for consumer in self._one(luck).consumers:
            consumer.deaf = True

    @rule()
    def rebalance(self) -> None:
        """The group is made anew."""
        self.world.kafka.group.rebalance()

    # What lies below --------------------------------------------------------------------------------------------

    @rule(away=st.booleans())
    def kafka(self, away: bool) -> None:
        """Kafka goes, or is back."""
        self.world.kafka.away = away

    @rule(refused=st.booleans())
    def letters(self, refused: bool) -> None:
        """The dead-letter topic takes nothing, or does."""
        self.world.kafka.letters_refused = refused

    @rule(away=st.booleans(), flaky=st.sampled_from((0.0, 0.05, 0.2)))
    def database(self, away: bool, flaky: float) -> None:
        """The database goes, or is back, or its connections break now and then."""
        self.world.database.away, self.world.database.flaky = away, flaky

    @rule()
    def forget(self) -> None:
        """Kafka's retention passes over everything that is committed."""
        for tp, offset in self.world.kafka.group.committed.items():
            self.world.kafka.partitions[tp].delete(offset)

    @rule(seconds=st.sampled_from((0.05, 0.3, 1, 3, 10, 40, 100)))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.world.advance(seconds)

    # Operators --------------------------------------------------------------------------------------------------

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        """`till pause`, `till resume`."""
        if paused:
            self.operator.pause()
        else:
            self.operator.resume()

    @rule()
    def replay(self) -> None:
        """`till dlq replay`, of all."""
        self.operator.replay()

    @rule(luck=st.integers(0, 100))
    def edit(self, luck: int) -> None:
        """`till dlq edit`, and what was wrong with it is gone; then it is replayed."""
        self.operator.edit(luck)

    @rule(luck=st.integers(0, 100))
    def discard(self, luck: int) -> None:
        """`till dlq discard`."""
        self.operator.discard(luck)

    @invariant()
    def promises(self) -> None:
        """All of them, at every moment; and a moment passes before the next step."""
        if hasattr(self, "world"):
            self.world.advance(self.world.random.choice((0.0, 0.1, 1.0, 5.0)))
            check(self.world)


def play(stage: Stage, **more: Any) -> None:
    """Let it happen. Raises AssertionError with the steps that led there."""

    class Here(Machine):
        pass

    Here.stage = stage
    common = settings(
        stateful_step_count=_STEPS, deadline=None, database=None, suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )  # fmt: skip
    run_state_machine_as_test(Here, settings=settings(common, **more))


@pytest.mark.timeout(400 + 10 * _EXAMPLES)  # a failure is shortened for up to five minutes
def test_the_promises_hold_whatever_happens(stage: Stage) -> None:
    """Nothing lost, order kept, one effect each, the sum right, no offset or call too many, no unfair letter."""
    play(stage, max_examples=_EXAMPLES, derandomize=True)
