"""What must hold at every moment, and what must be true at the end, computed from log, vendor and rows alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from libs.canonical.kinds import Nature
from libs.runtime.engine.ledger import SETTLED
from tests.model.flavours import steps_of
from tests.model.world import ModelWorld

# Faults of the event itself. Whatever is the target's, the network's or the credentials' fault makes no dead letter.
_MAY_DIE = frozenset(("poison", "conflict"))


def check(world: ModelWorld) -> None:
    """At every moment. Raises AssertionError."""
    assert not world.vendor.complaints, world.vendor.complaints
    assert not world.kafka.listener_errors, world.kafka.listener_errors
    rows = {row["event_id"]: row for row in world.run(world.rows())}
    assert rows.keys() <= world.events.keys(), "a row of an event that nobody told"
    _nothing_is_passed_over(world, rows)
    for name, row in rows.items():
        state, class_ = row["state"], row["class"]
        if state == "dead":
            assert class_ in _MAY_DIE, f"{name} is a dead letter because of {class_}: {row['reason']}"
        if state in ("parked", "dead") and class_ != "day_open":
            assert row["value"] is not None, f"{name} is {state} and could never be sent"
        if state == "delivered":
            missing = set(steps_of(world.events[name], world.flavour)) - world.vendor.steps_done(name)
            assert not missing, f"{name} is delivered without {missing}"
    _members_go_with_their_document(world, rows)


def _members_go_with_their_document(world: ModelWorld, rows: dict[str, Any]) -> None:
    """A sale is delivered when the entry of its day is, in the same moment, and names it."""
    document_of = {row["event_id"]: row["document"] for row in rows.values()}
    delivered = {name for name, row in rows.items() if row["state"] == "delivered"}
    for day in world.days():
        for member in day.data.members:
            assert (member in delivered) == (day.id in delivered), f"{member} and {day.id}, of which it is a part"
            assert day.id not in delivered or document_of[member] == f"entry {day.id}", f"{member} names another"


def at_rest(world: ModelWorld, rows: Iterable[Any]) -> bool:
    """Whether every row has come to its end; what is part of a document that was given up waits for ever."""
    return not _unsettled(world, {row["event_id"]: row for row in rows})


def _unsettled(world: ModelWorld, rows: dict[str, Any]) -> dict[str, tuple[str, str]]:
    given_up = {name for name, row in rows.items() if row["state"] == "discarded"}
    waits = {member for day in world.days() if day.id in given_up for member in day.data.members}
    return {
        name: (row["state"], row["class"])
        for name, row in rows.items()
        if row["state"] not in SETTLED and not (name in waits and row["class"] == "day_open")
    }


def _nothing_is_passed_over(world: ModelWorld, rows: dict[str, Any]) -> None:
    """The identity: every event has one row that is at rest, or is still to be read."""
    for tp, partition in world.kafka.partitions.items():
        committed = world.kafka.group.committed.get(tp, 0)
        assert committed <= partition.end, f"{tp} is committed beyond its end"
        for message in partition.everything[: max(committed, partition.start)]:
            name = dict(message.headers)["ce_id"].decode()
            assert name in rows, f"{tp} is committed up to {committed}, and {name} at {message.offset} has no row"
            assert rows[name]["state"] != "claimed", f"{tp} is committed up to {committed}, and {name} is not at rest"


def check_end(world: ModelWorld) -> Counter[str]:
    """When all is healed and has come to rest: how many events came to which end. Raises AssertionError."""
    check(world)
    rows = {row["event_id"]: row for row in world.run(world.rows())}
    assert rows.keys() == world.events.keys(), f"lost: {world.events.keys() - rows.keys()}"
    unsettled = _unsettled(world, rows)
    assert not unsettled, unsettled
    for tp, partition in world.kafka.partitions.items():
        assert world.kafka.group.committed.get(tp, 0) == partition.end, f"{tp} is not read to its end"
    done = Counter((effect.event, effect.step) for effect in world.vendor.effects)
    assert set(done.values()) <= {1}, "an effect twice"
    for name, row in rows.items():
        event, state = world.events[name], row["state"]
        if event.nature is Nature.FACT:
            # What is parked now is part of a document that was given up: so it was judged above.
            left = ("parked",) if world.flavour == "journal" else ()
            assert state in ("delivered", "discarded", *left), f"{name} is {state}"
            continue
        newest = max(world.of_key(event.order_key), key=lambda other: other.version)
        assert state != "superseded" or event is not newest, f"{name} is the newest and was superseded"
        if rows[newest.id]["state"] == "delivered":
            last = [effect for effect in world.vendor.effects if effect.key == event.order_key][-1]
            assert last.event == newest.id, f"{event.order_key} ends with {last.event} and not with {newest.id}"
    return Counter(row["state"] for row in rows.values())
