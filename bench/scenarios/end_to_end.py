"""From webhook to remote id, through every service and both targets' simulators, at a steady pace.

Ours ends when the ledger says delivered (its commit after the target's answer), the bare pipeline's with the answer.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import aiohttp
import asyncpg
import yaml

from bench.measuring import OURS, Comparison, compare_latencies, turned
from bench.progress import say
from bench.sizes import Sizes
from bench.stand import BenchFailed, Served, Stand, free_port
from libs.connectors.square.signature import HEADER, sign
from libs.runtime.configuration.reading import read_configuration
from libs.runtime.kafka.topics import topics
from tests.system import square_till as till
from tests.system.configuration import SECRETS, configuration

_SERVICES = {
    "fetcher": ("services.ingest", "fetcher"),
    "transform": ("services.transform",),
    "quickbooks": ("services.sinks", "quickbooks"),
    "hubspot": ("services.sinks", "hubspot"),
    "books": ("services.projections", "books"),
    "journey": ("services.projections", "journey"),
}
_TARGETS = ("qbo-receipts", "hubspot-main")
_BARE = "bare pipeline"
_UNLIMITED = {"windows": [{"calls": 100_000, "seconds": 1}], "concurrency": 32}
_LIFTED: Mapping[str, Mapping[str, Any]] = {
    "square": {"windows": [{"calls": 100_000, "seconds": 1}]},
    "quickbooks": {"calls_per_minute": 6_000_000, "calls_per_second": 100_000},
    "hubspot": {"limits": {"calls": 1_000_000, "daily": 10_000_000, "searches_per_second": 100_000}},
}
_PATIENCE = 90.0

Latencies = dict[str, list[float]]  # target -> seconds, sorted


class _Scene:
    """A fresh world for one contestant: simulators with the sales loaded, and the configuration."""

    def __init__(self, stand: Stand, sales: int) -> None:
        self.stand, self.sales = stand, sales
        self.orders = [till.order(number) for number in range(sales)]
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/webhooks/square-main"

    async def open(self, http: aiohttp.ClientSession) -> None:
        """Simulators up, limits lifted, sales loaded, topics there."""
        port = free_port()
        self.sandbox = await self.stand.serve("sandbox", "services.sandbox", "--port", str(port), port=port)
        for vendor, options in _LIFTED.items():
            await self._ask(http, f"{vendor}/configure", options)
        await self._ask(
            http,
            "square/load",
            {
                "locations": [till.LOCATION],
                "catalog": [till.variation("SKU1")],
                "orders": self.orders,
                "payments": [till.payment(order) for order in self.orders],
            },
        )
        content = configuration(self.sandbox.url, self.port)
        for connection in content["connections"]:
            connection["limits"] = _UNLIMITED
        path = self.stand.folder / "tillstream.yaml"
        path.write_text(yaml.safe_dump(content))
        await self.stand.fresh([topic.name for topic in topics(read_configuration(path), 4)])

    async def _ask(self, http: aiohttp.ClientSession, path: str, content: Any) -> None:
        async with http.post(f"{self.sandbox.url}/_sandbox/{path}", json=content) as answer:
            if answer.status >= 300:
                raise BenchFailed(f"the simulator refused {path}: {await answer.text()}")

    def webhook(self, number: int) -> tuple[bytes, dict[str, str]]:
        """The payment's webhook of a sale, signed."""
        payment = till.payment(self.orders[number])
        body = json.dumps(
            {
                "merchant_id": "ML1",
                "type": "payment.updated",
                "event_id": f"e{number}",
                "created_at": "2026-11-20T18:00:00Z",
                "data": {"type": "payment", "id": payment["id"], "object": {"payment": payment}},
            }
        ).encode()
        return body, {HEADER: sign(body, self.url, SECRETS["SQUARE_SIGNATURE_KEY"])}

    async def send(self, http: aiohttp.ClientSession, first: int, last: int, per_second: int) -> dict[str, float]:
        """Send the webhooks of those sales at that pace, late or not; gives when each was sent, by order id."""
        sent: dict[str, float] = {}

        async def one(number: int) -> None:
            body, headers = self.webhook(number)
            sent[self.orders[number]["id"]] = time.time()
            async with http.post(self.url, data=body, headers=headers) as answer:
                if answer.status != 200:
                    raise BenchFailed(f"webhook answered {answer.status}: {await answer.text()}")

        began = time.monotonic()
        tasks = []
        for number in range(first, last):
            await asyncio.sleep(max(0.0, began + (number - first) / per_second - time.monotonic()))
            tasks.append(asyncio.create_task(one(number)))
        await asyncio.gather(*tasks)
        return sent


Done = Callable[[], Awaitable[Mapping[str, Mapping[str, float]]]]


async def _latencies(stand: Stand, scene: _Scene, http: aiohttp.ClientSession, sizes: Sizes, done: Done) -> Latencies:
    """Warm up with the first sales, then send the rest and wait until all are at every target."""
    warm_up = scene.sales - sizes.sales_per_second * sizes.sales_seconds

    async def arrived(number: int) -> bool:
        return all(len(times) >= number for times in (await done()).values())

    await scene.send(http, 0, warm_up, 20)
    await stand.until(lambda: arrived(warm_up), "the first sales are at every target", seconds=_PATIENCE)
    sent = await scene.send(http, warm_up, scene.sales, sizes.sales_per_second)
    await stand.until(lambda: arrived(scene.sales), "all sales are at every target", seconds=_PATIENCE)
    reached = await done()
    return {name: sorted(reached[name][order] - moment for order, moment in sent.items()) for name in _TARGETS}


async def _ours(stand: Stand, scene: _Scene, http: aiohttp.ClientSession, sizes: Sizes) -> Latencies:
    env = {"TILLSTREAM_HTTP_PORT": str(scene.port)}
    started: list[Served] = [
        await stand.serve("webhooks", "services.ingest", "webhooks", port=scene.port, env=env),
        *(stand.start(name, *command) for name, command in _SERVICES.items()),
    ]
    database = await asyncpg.connect(stand.postgres)

    async def done() -> dict[str, dict[str, float]]:
        rows = await database.fetch(
            "select connection, entity_id, extract(epoch from settled_at)::float8 as at from delivery "
            "where state = 'delivered' and kind = 'sale.completed'"
        )
        found: dict[str, dict[str, float]] = {name: {} for name in _TARGETS}
        for row in rows:
            found.setdefault(row["connection"], {})[row["entity_id"]] = row["at"]
        return {name: found[name] for name in _TARGETS}

    try:
        return await _latencies(stand, scene, http, sizes, done)
    finally:
        await database.close()
        await stand.stop(*started)


async def _bare(stand: Stand, scene: _Scene, http: aiohttp.ClientSession, sizes: Sizes) -> Latencies:
    module = "bench.contestants.pipeline_bare"
    served = await stand.serve("pipeline_bare", module, str(scene.port), port=scene.port)

    async def done() -> dict[str, dict[str, float]]:
        async with http.get(f"{served.url}/done") as answer:
            told = await answer.json()
        if told["failed"]:
            raise BenchFailed(f"the bare pipeline failed: {told['failed'][0]}")
        return {name: told["done"][name] for name in _TARGETS}

    try:
        return await _latencies(stand, scene, http, sizes, done)
    finally:
        await stand.stop(served)


async def run(stand: Stand, sizes: Sizes) -> Sequence[Comparison]:
    """One run of each a round: p50 and p99 per target, and the ratios."""
    warm_up = max(5, sizes.sales_per_second // 2)
    sales = warm_up + sizes.sales_per_second * sizes.sales_seconds
    stand.env = dict(SECRETS)
    rounds: list[dict[str, Latencies]] = []
    contestants = {OURS: _ours, _BARE: _bare}
    async with aiohttp.ClientSession() as http:
        for number in range(sizes.sales_rounds):
            results = {}
            for who in turned(list(contestants), number):
                scene = _Scene(stand, sales)
                await scene.open(http)
                results[who] = await contestants[who](stand, scene, http, sizes)
                await stand.stop(scene.sandbox)
            rounds.append(results)
            say(f"round {number + 1} of {sizes.sales_rounds}")
    notes = {"sales": sizes.sales_per_second * sizes.sales_seconds, "sales_per_second": sizes.sales_per_second}
    return [
        compare_latencies(
            "end-to-end",
            f"{sizes.sales_per_second}/s to {target}",
            _BARE,
            [{who: found[target] for who, found in each.items()} for each in rounds],
            notes,
        )
        for target in _TARGETS
    ]
