"""A target of the simplest kind, its vendor as a real HTTP server, and a caller between them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import yaml
from aiohttp import web

from libs.connectors.contract.http import Request, Response
from libs.connectors.contract.manifest import Batch, Idempotency, Manifest
from libs.connectors.contract.target import Batching, Done, Invalid, Ref, Step, Target, Throttled, Verdict
from libs.runtime.configuration.reading import parse_configuration
from libs.runtime.engine.calls import Call, Caller
from libs.runtime.http.client import VendorClient
from libs.runtime.limits import Limiter
from tests.system.configuration import configuration


@dataclass
class Vendor:
    """Takes batches of items, and single ones. What an item is called says what the vendor does with it.

    A batch with an item called `bad` or `taken` is refused as a whole, one with `crash` draws a 500. The first batch
    call, and the first question, is 1: batches in `mute` take effect and are never answered, and those in `throttle`
    are refused for too many. Keys are remembered.
    """

    made: list[str] = field(default_factory=list)
    calls: list[list[str]] = field(default_factory=list)
    keys: dict[str, tuple[bytes, web.Response]] = field(default_factory=dict)
    key_misused: bool = False
    mute: set[int] = field(default_factory=set)
    throttle: set[int] = field(default_factory=set)
    asked: int = 0
    slow: float = 0.0
    url: str = ""

    async def batch(self, request: web.Request) -> web.StreamResponse:
        """The batch call."""
        raw = await request.read()
        items = [item["name"] for item in json.loads(raw)["items"]]
        self.calls.append(items)
        number = len(self.calls)
        key = request.headers.get("Idempotency-Key")
        if key in self.keys:
            before, answer = self.keys[key]
            self.key_misused |= before != raw
            return web.Response(status=answer.status, body=answer.body)
        await asyncio.sleep(self.slow)
        if number in self.throttle:
            return web.Response(status=429, headers={"Retry-After": "0.1"})
        for name, status in (("bad", 400), ("taken", 409), ("crash", 500)):
            if any(item.startswith(name) for item in items):
                return web.Response(status=status)
        results = [None if item.startswith("refused") else f"id-{item}" for item in items]
        self.made += [item for item, result in zip(items, results, strict=True) if result]
        answer = web.json_response({"results": results})
        if key:
            self.keys[key] = (raw, answer)
        if number in self.mute:
            assert request.transport is not None
            request.transport.close()
        return answer

    async def find(self, request: web.Request) -> web.Response:
        """Whether there is an item of that name."""
        self.asked += 1
        if self.asked in self.throttle:
            return web.Response(status=429, headers={"Retry-After": "0.3"})
        await asyncio.sleep(self.slow)
        name = request.query["name"]
        return web.json_response({"id": f"id-{name}" if name in self.made else None})

    async def make(self, request: web.Request) -> web.Response:
        """Make an item; another one if there is one already."""
        name = (await request.json())["name"]
        await asyncio.sleep(self.slow)
        self.made.append(name)
        return web.json_response({"id": f"id-{name}"})


@asynccontextmanager
async def serving(vendor: Vendor) -> AsyncIterator[Vendor]:
    """The vendor on a port of its own."""
    app = web.Application()
    app.router.add_post("/hubspot/batch", vendor.batch)
    app.router.add_get("/hubspot/item", vendor.find)
    app.router.add_post("/hubspot/item", vendor.make)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    vendor.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield vendor
    finally:
        await runner.cleanup()


def _join(_batch: str, steps: Sequence[Step], _ids: Sequence[str]) -> Request:
    if any(step.name.startswith("unjoinable") for step in steps):
        raise KeyError("unjoinable")
    return Request("POST", "/batch", json={"items": [step.request.json for step in steps]})


def _split(_batch: str, steps: Sequence[Step], _ids: Sequence[str], response: Response) -> list[Verdict] | None:
    if not response.ok:
        return None
    if len(steps) > 1 and any(step.name.startswith("unreadable") for step in steps):
        raise KeyError("unreadable")
    return [Done(result) if result else Invalid("refused") for result in response.json["results"]]


def _judge(_step: Step, response: Response) -> Verdict | None:
    return Throttled("HTTP 429", response.retry_after) if response.status == 429 else None


def _found(_step: Step, response: Response) -> Done | None:
    return Done(response.json["id"], already=True) if response.json["id"] else None


def target_of(manifest: Manifest, *, key: str, horizon: int = 3600) -> Target:
    """The target. `key` whole: the vendor's key stands for a whole batch."""
    assert manifest.target is not None
    native = Idempotency(means="native", horizon_seconds=horizon, key_in="header", key_name="Idempotency-Key")
    facts = manifest.target.model_copy(
        update={
            "idempotency": (native,) if key == "whole" else (Idempotency(means="lookup"),),
            "batches": {"items": Batch(max_items=100, key=cast("Any", key))},
        }
    )
    unused = cast("Any", None)
    return Target(
        manifest.model_copy(update={"target": facts}), config=unused, references=unused, plan=unused, judge=_judge,
        found=_found, probe=unused, check=unused, batching=Batching(_join, _split),
    )  # fmt: skip


@asynccontextmanager
async def calling(
    vendor: Vendor, pool: Any, *, key: str = "none", horizon: int = 3600, limiter: Limiter | None = None
) -> AsyncIterator[Caller]:
    """What one process has to call the vendor with."""
    text = yaml.safe_dump(configuration(vendor.url, 1))
    connection = parse_configuration(text).connection("hubspot-main")
    client = VendorClient(connection, pool, timeout=5, encryption_key=None)
    target = target_of(connection.connector.manifest, key=key, horizon=horizon)
    caller = Caller("plain", target, client, limiter or Limiter(connection.call_limits), pool)
    loops = caller.loops()
    try:
        yield caller
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        await client.close()


def item(name: str, *, target_key: str | None = None) -> Step:
    """An item that goes in a batch."""
    request = Request("POST", "/batch", json={"name": name})
    return Step(name, request, target_key or name, batch="items")


def shared_item(name: str) -> Step:
    """An item that several events need, found or made."""
    return Step(
        name, Request("POST", "/item", json={"name": name}), f"item:{name}", provides=Ref("item", name), once=True,
        shared=True, lookup=Request("GET", "/item", query={"name": name}), ask_first=True,
    )  # fmt: skip


async def perform(caller: Caller, step: Step, event: str = "") -> Verdict:
    """Send the step of an event (of its own, when none is named)."""
    name = f"{event}{step.name}"
    return await caller.perform(Call(step, f"trace-{name}"), f"key-{name}")
