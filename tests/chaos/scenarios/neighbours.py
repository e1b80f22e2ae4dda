"""A healthy connection beside a dead and a slow one, in one process, against the same among healthy ones."""

from __future__ import annotations

import asyncio
import copy
import random
import time
from dataclasses import dataclass

from tests.chaos.proxy import Proxy
from tests.chaos.scenario import Scenario
from tests.chaos.told import read_topics
from tests.chaos.world import RECEIPTS, World

_RATE = 25.0
_HEALTHY, _DEAD, _SLOW = "shop-healthy", "shop-dead", "shop-slow"
_REALMS = {_HEALTHY: "1001", _DEAD: "1003", _SLOW: "1004"}
_LATE = 0.1  # seconds, each way
_ROUND = 20.0  # seconds, at most
_AMONG_HEALTHY, _BESIDE_SICK = "three healthy", "healthy, dead and slow"


@dataclass(frozen=True)
class _Window:
    """When events of a set-up were written, as Unix time."""

    setup: str
    begin: float
    end: float


async def _side_by_side(world: World, chance: random.Random, seconds: float) -> None:
    """Both set-ups in turn, in the same process: only what the proxies before the two neighbours do changes."""
    dead, slow = await _three_shops(world)
    world.traffic.rate = _RATE
    world.realms = dict(_REALMS)
    # So long each set-up has to last for the samples wanted; each sale is one at least.
    each = seconds / 2 if world.samples is None else world.samples / _RATE
    rounds = max(2, round(each / _ROUND))
    windows: list[_Window] = []
    try:
        await world.start("quickbooks")
        for number in range(2 * rounds):
            sick = number % 2 == 1
            await dead.order("down" if sick else "none")
            await slow.order("latency" if sick else "none", seconds=_LATE)
            world.faults += 2 * sick
            begin = time.time()
            async with world.traffic.flowing():
                await asyncio.sleep(each / rounds)
            windows.append(_Window(_BESIDE_SICK if sick else _AMONG_HEALTHY, begin, time.time()))
            await dead.order("none")
            await slow.order("none")
            # What the neighbours have to catch up with must not fall into the other set-up.
            await world.settle()
        await _report(world, windows)
    finally:
        for proxy in (dead, slow):
            await proxy.close()


async def _three_shops(world: World) -> tuple[Proxy, Proxy]:
    """Three companies at QuickBooks, two of them behind a proxy of their own."""
    port = int(world.sandbox.rsplit(":", 1)[1])
    proxies = (Proxy(0, port), Proxy(0, port))
    for proxy in proxies:
        await proxy.open()
    content = world.content()
    usual = next(each for each in content["connections"] if each["id"] == RECEIPTS)
    addresses = dict(zip(_REALMS, (port, *(proxy.port for proxy in proxies)), strict=True))
    shops = []
    for name, realm in _REALMS.items():
        shop = copy.deepcopy(usual) | {"id": name, "account": realm}
        for url in ("base_url", "token_url"):
            shop[url] = shop[url].replace(f":{port}/", f":{addresses[name]}/")
        secret = name.upper().replace("-", "_")
        world.extra_env[secret] = f"sandbox-refresh-{name}"
        shop["secrets"]["refresh_token"] = {"env": secret}
        shops.append(shop)
    content["connections"] = [content["connections"][0], *shops]
    await world.configure(content)
    return proxies


async def _report(world: World, windows: list[_Window]) -> None:
    """From Kafka's confirmation to the ledger's word that it is delivered; in milliseconds."""
    rows = await world.pool.fetch(
        "select topic, partition, position, settled_at from delivery where connection = $1 and state = 'delivered'",
        _HEALTHY,
    )
    settled = {(row["topic"], row["partition"], row["position"]): row["settled_at"].timestamp() for row in rows}
    waits: dict[str, list[float]] = {_AMONG_HEALTHY: [], _BESIDE_SICK: []}
    for record in await read_topics(world.kafka, ["retail.sales"]):
        written = record.timestamp / 1000
        done = settled.get((record.topic, record.partition, record.offset))
        for window in windows:
            if done is not None and window.begin <= written <= window.end:
                waits[window.setup].append((done - written) * 1000)
    p99 = {}
    for setup, taken in waits.items():
        taken.sort()
        p99[setup] = taken[len(taken) * 99 // 100]
        world.notes[f"latency, {setup}"] = (
            f"median {taken[len(taken) // 2]:.0f} ms, p99 {p99[setup]:.0f} ms of {len(taken):,} samples"
        )
    world.notes["p99 beside sick ones, as a ratio"] = round(p99[_BESIDE_SICK] / p99[_AMONG_HEALTHY], 2)


NEIGHBOURS = Scenario(
    "neighbours", "a healthy connection beside a dead and a slow one, and among healthy ones", _side_by_side, 12, 4
)
