"""`python -m bench.contestants.pipeline_bare PORT`: webhook to targets in one process, with nothing durable between.

The same signature check, snapshot, mapping, plans and HTTP client as ours, without Kafka, ledger, order, retries or
restart: what is under way when it dies is lost. `GET /done` tells when each sale reached each target (Unix seconds).
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from libs.canonical.event import AnyEvent
from libs.connectors.contract.source import Notification, Root, Snapshot, Webhook
from libs.connectors.contract.target import Deliver, Done, Ref, Step
from libs.runtime import exact_json
from libs.runtime.configuration.model import Connection
from libs.runtime.configuration.reading import read_configuration
from libs.runtime.database.pool import open_pool
from libs.runtime.engine.calls import Call, Caller, idempotency_key, resolve
from libs.runtime.http.client import VendorClient
from libs.runtime.limits import Limiter
from libs.runtime.settings import read_settings


class _Source:
    """Notifications of one connection to events."""

    def __init__(self, connection: Connection, client: VendorClient) -> None:
        source = connection.connector.source
        assert source is not None
        self._connection, self._client, self._source = connection, client, source
        self._secrets = {name: secret.read() for name, secret in connection.secrets.items()}
        self._references: dict[str, Any] = {}
        self._seen: set[str] = set()

    async def events(self, headers: Mapping[str, str], body: bytes) -> list[AnyEvent]:
        """What the webhook shows that was not shown before; raises what the connector raises."""
        now = datetime.now(UTC)
        self._source.verify(Webhook(headers, body, self._connection.public_url or ""), self._secrets, now)
        identified = self._source.identify(Notification({}, exact_json.decode(body)))
        found: list[AnyEvent] = []
        for root in identified.roots:
            snapshot = Snapshot(
                vendor=self._connection.vendor, account_id=identified.account_id, connection=self._connection.id,
                root_kind=root.kind, root_id=root.id, parts=await self._parts(root), via="webhook",
                notified_as=identified.type, received_at=now, assembled_at=now,
            )  # fmt: skip
            found += self._source.to_canonical(snapshot, self._connection.source_settings).events
        fresh = [event for event in found if event.id not in self._seen]
        self._seen.update(event.id for event in fresh)
        return fresh

    async def _parts(self, root: Root) -> dict[str, Any]:
        parts = dict(root.have)
        while needed := self._source.assemble(root.kind, root.id, parts):
            for fetch in needed:
                if fetch.part in self._references:
                    parts[fetch.part] = self._references[fetch.part]
                    continue
                response = await self._client.send(fetch.request)
                value = None if response.status == 404 else fetch.items(response) if fetch.items else response.json
                parts[fetch.part] = value
                if fetch.reference:
                    self._references[fetch.part] = value
        return parts


class _Target:
    """Events to the calls of one connection, one event after the other where they share an object."""

    def __init__(self, connection: Connection, client: VendorClient) -> None:
        target = connection.connector.target
        assert target is not None
        self._connection, self._target, self._config = connection, target, connection.target_config
        self.caller = Caller(connection.id, target, client, Limiter(connection.call_limits))
        self._known: dict[Ref, str] = {}
        self._making: defaultdict[Ref, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.done: dict[str, float] = {}

    async def deliver(self, event: AnyEvent) -> None:
        """Send an event; remembers when it was through."""
        if event.kind not in (self._target.manifest.target.kinds if self._target.manifest.target else ()):
            return
        plan = self._target.plan(event, self._config, self._known)
        if not isinstance(plan, Deliver):
            return
        for step in plan.steps:
            if step.once and step.provides is not None:
                async with self._making[step.provides]:
                    if step.provides not in self._known:
                        await self._step(event, step)
            else:
                await self._step(event, step)
        self.done.setdefault(event.entity_id, time.time())

    async def _step(self, event: AnyEvent, step: Step) -> None:
        ready = replace(step, request=replace(step.request, json=resolve(step.request.json, self._known)))
        verdict = await self.caller.look_up(step) if step.ask_first and step.lookup is not None else None
        if verdict is None:
            key = idempotency_key(self._connection.id, event.id, step.name, 0)
            verdict = await self.caller.perform(Call(ready, f"{event.id}{step.name}"), key)
        if not isinstance(verdict, Done):
            raise RuntimeError(f"{self._connection.id} {step.name}: {verdict}")
        self._known.update(verdict.provides)
        if step.provides is not None and verdict.remote_id is not None:
            self._known[step.provides] = verdict.remote_id


async def main(port: int) -> None:
    """Serve until told to stop."""
    settings = read_settings()
    configuration = read_configuration(settings.config)
    pool = await open_pool(settings.postgres, name="bare")  # holds the rotating access tokens, nothing else

    def client(connection: Connection) -> VendorClient:
        return VendorClient(connection, pool, timeout=20, encryption_key=settings.encryption_key)

    sources = {each.id: _Source(each, client(each)) for each in configuration.sources()}
    targets = {each.id: _Target(each, client(each)) for each in configuration.targets()}
    loops = [loop for target in targets.values() for loop in target.caller.loops()]
    under_way: set[asyncio.Task[None]] = set()
    failed: list[str] = []

    async def onward(events: list[AnyEvent]) -> None:
        deliveries = [target.deliver(event) for event in events for target in targets.values()]
        results = await asyncio.gather(*deliveries, return_exceptions=True)
        failed.extend(str(result) for result in results if isinstance(result, BaseException))

    async def receive(request: Request) -> JSONResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        events = await sources[request.path_params["connection"]].events(headers, await request.body())
        task = asyncio.create_task(onward(events))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        return JSONResponse({"status": "accepted"})

    async def told(_request: Request) -> JSONResponse:
        return JSONResponse({"done": {name: target.done for name, target in targets.items()}, "failed": failed})

    routes = [Route("/webhooks/{connection}", receive, methods=["POST"]), Route("/done", told)]
    config = uvicorn.Config(Starlette(routes=routes), host="127.0.0.1", port=port, log_level="error", access_log=False)
    await uvicorn.Server(config).serve()
    for loop in loops:
        loop.cancel()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
