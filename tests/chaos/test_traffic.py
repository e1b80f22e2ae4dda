"""What the tills do in a scenario follows from the seed, and from nothing else."""

from __future__ import annotations

import random

from libs.canonical.event import AnyEvent
from libs.runtime.settings import KafkaSettings
from tests.chaos.traffic import Traffic

_NOWHERE = KafkaSettings("127.0.0.1:1", 1000, 1, 1, {})


def _events(seed: int) -> list[AnyEvent]:
    traffic = Traffic(_NOWHERE, random.Random(seed))
    return [event for _ in range(200) for event in traffic.next_events(2)]


def test_a_seed_repeats_what_is_sold() -> None:
    """The same seed gives the same events in the same order; another seed gives others."""
    assert [event.model_dump() for event in _events(1)] == [event.model_dump() for event in _events(1)]
    assert [event.model_dump() for event in _events(1)] != [event.model_dump() for event in _events(2)]


def test_there_is_something_of_every_kind_to_break() -> None:
    """Refunds and amendments come after their sale, second amendments exist, and old states come late."""
    kinds, seen, late = set(), set(), 0
    versions: dict[str, int] = {}
    for event in _events(3):
        kinds.add(str(event.kind))
        if event.kind == "sale.completed":
            seen.add(event.order_key)
        elif event.kind == "customer.changed":
            late += event.version < versions.get(event.order_key, 0)
            versions[event.order_key] = max(event.version, versions.get(event.order_key, 0))
        else:
            assert event.order_key in seen
    assert kinds == {"sale.completed", "sale.amended", "refund.completed", "customer.changed"}
    assert late > 0
