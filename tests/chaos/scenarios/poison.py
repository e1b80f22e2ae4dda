"""Records that nobody can read or deliver, among good ones: each has its place, and the good ones do not notice."""

from __future__ import annotations

import asyncio
import json
import random

from libs.runtime.kafka.writer import Outgoing
from tests.chaos.scenario import Scenario
from tests.chaos.world import Unkept, World
from tests.system.sales import outgoing, sale

_TOPIC = "retail.sales"
_TYPE = b"tillstream.sale.completed.v1"
# Just below what a topic takes: as a dead letter it is a little larger.
_HUGE = 4 * 1024 * 1024 - 2048


def _zoo(chance: random.Random, number: int) -> list[tuple[str, Outgoing, str]]:
    """One of each kind: its id, the record, and the state in which it shall end. Keys are their own."""
    good = outgoing(sale(number))
    body = json.loads(good.value or b"")
    key = f"zoo-{number}".encode()
    names = {
        "null value": (None, [], "dead"),
        "not JSON": (chance.randbytes(40), [], "dead"),
        "an array": (b"[1, 2, 3]", [], "dead"),
        "wrong types": (json.dumps({**body, "data": {**body["data"], "total": "much"}}).encode(), [], "dead"),
        "a field missing": (json.dumps({k: v for k, v in body.items() if k != "order_key"}).encode(), [], "dead"),
        "nested without end": (b'{"data":' + b"[" * 50_000, [], "dead"),
        "unknown kind": (good.value, [("ce_type", b"tillstream.alien.landed.v1")], "filtered"),
        "later version": (good.value, [("ce_type", _TYPE.replace(b".v1", b".v2"))], "parked"),
        "binary type": (good.value, [("ce_type", b"\xff\xfe\x00")], "dead"),
        "huge": (b"x" * _HUGE, [], "dead"),
    }
    zoo = []
    for name, (value, headers, state) in names.items():
        event_id = f"zoo-{number}-{name}"
        record = Outgoing(
            _TOPIC, key + name.encode(), value, [("ce_id", event_id.encode()), *(headers or [("ce_type", _TYPE)])]
        )
        zoo.append((event_id, record, state))
    return zoo


def _odd_but_good(number: int) -> list[Outgoing]:
    """Readable in spite of their headers or without a key; each is a sale like any other."""
    records = []
    for offset, headers in enumerate(
        (
            [("ce_type", b"tillstream.alien.landed.v1"), ("ce_type", _TYPE), ("other", b"\x00\xff")],
            [("empty", b""), ("ce_type", _TYPE)],
        )
    ):
        event = sale(number + offset)
        good = outgoing(event)
        kept = [(name, value) for name, value in good.headers if name != "ce_type"]
        records.append(good._replace(headers=[*headers, *kept]))
    return records


async def _zoo_among_sales(world: World, chance: random.Random, seconds: float) -> None:
    await world.start("quickbooks#1", "quickbooks#2", "hubspot")
    number, states = 1_000_000, dict[str, str]()
    async with world.traffic.flowing():
        # A sink that was never successful takes a flood of poison for a fault of its own, and stops.
        await world.until(lambda: _some_delivered(world), "the first sales are delivered")
        async for _ in world.moments(seconds, 1, 3):
            number += 10
            zoo = _zoo(chance, number)
            chance.shuffle(zoo)
            world.faults += len(zoo)
            for event_id, record, state in zoo:
                states[event_id] = state
                world.poison.add(event_id)
                await world.traffic.write(record)
            await world.traffic.write(*_odd_but_good(number))
            await world.traffic.write_without_key(outgoing(sale(number + 5)))
    await world.settle()
    await _each_in_its_place(world, states)


async def _some_delivered(world: World) -> bool:
    rows = await world.pool.fetch("select connection from delivery where state = 'delivered' group by 1")
    return len(rows) == 2


async def _each_in_its_place(world: World, states: dict[str, str]) -> None:
    for _ in range(100):
        rows = await world.pool.fetch(
            "select connection, event_id, state from delivery where event_id = any($1)", list(states)
        )
        if len(rows) == 2 * len(states):
            break
        await asyncio.sleep(0.2)
    found = {(row["connection"], row["event_id"]): row["state"] for row in rows}
    wrong = [
        f"{connection}: {event_id} is {found.get((connection, event_id), 'nowhere')}, not {state}"
        for connection in ("qbo-receipts", "hubspot-main")
        for event_id, state in states.items()
        if found.get((connection, event_id)) != state
    ]
    if wrong:
        raise Unkept(f"{len(wrong)} bad records are not where they belong: {'; '.join(wrong[:5])}")


POISON_ZOO = Scenario("poison_zoo", "records that cannot be read, among good ones", _zoo_among_sales, 8)
