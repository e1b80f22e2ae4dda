"""The HTTP server of intake: webhooks, and a description of what it writes as AsyncAPI."""

from __future__ import annotations

import asyncio
import contextlib
import re

import uvicorn
from faststream.asgi import AsgiFastStream, make_asyncapi_asgi
from faststream.kafka import KafkaBroker
from faststream.specification import AsyncAPI
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from libs.runtime.configuration.model import Configuration
from libs.runtime.configuration.reading import ConfigurationInvalid, missing_secrets
from libs.runtime.database.pool import open_pool
from libs.runtime.kafka.publisher import Publisher
from libs.runtime.kafka.topics import inbox
from libs.runtime.service import run_together
from libs.runtime.settings import ProcessSettings
from libs.runtime.telemetry.health import Health
from services.ingest.asgi import answer
from services.ingest.spool import Spool
from services.ingest.webhooks import Door, Webhooks

_ENTRANCE = re.compile("/webhooks/([^/]+)")


def doors(configuration: Configuration) -> dict[str, Door]:
    """The entrances of all source connections that receive webhooks; raises ConfigurationInvalid for secrets."""
    found, faults = {}, []
    for connection in configuration.sources():
        source = connection.connector.source
        assert source is not None
        if not connection.public_url:
            continue
        missing = missing_secrets(connection)
        if missing:
            faults += missing
            continue
        secrets = {name: secret.read() for name, secret in connection.secrets.items()}
        found[connection.id] = Door(connection, source, secrets)
    if faults:
        raise ConfigurationInvalid(faults)
    return found


def description(bootstrap: str, vendors: set[str]) -> ASGIApp:
    """What intake writes, as AsyncAPI. FastStream describes the topics here; records are written by the Publisher."""
    broker = KafkaBroker(bootstrap)
    for vendor in sorted(vendors):
        broker.publisher(inbox(vendor), description=f"Notifications of {vendor}, card-free")
    shell = AsgiFastStream(broker, specification=AsyncAPI(title="Tillstream intake", version="1"))
    return Starlette(routes=[Mount("/asyncapi", make_asyncapi_asgi(shell.schema))])


def application(webhooks: Webhooks, others: ASGIApp) -> ASGIApp:
    """`POST /webhooks/{connection}` without a router before it, since all but a few requests go there; `others` else.

    A router, request and response object of Starlette would cost a third of what a bare endpoint costs in all.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found = _ENTRANCE.fullmatch(scope.get("path", ""))
        if found is None:
            await others(scope, receive, send)
        elif scope["method"] != "POST":
            await answer(send, 405, {"error": "a webhook is a POST"})
        else:
            await webhooks.receive(found[1], scope, receive, send)

    return app


async def serve(settings: ProcessSettings, configuration: Configuration, stopping: asyncio.Event) -> None:
    """Receive webhooks until told to stop."""
    entrances = doors(configuration)
    pool = await open_pool(settings.postgres, size=8, name="ingest-webhooks")
    publisher = Publisher(settings.kafka)
    spool = Spool(pool, publisher)
    await publisher.start()
    vendors = {connection.vendor for connection in configuration.sources()}
    app = application(Webhooks(entrances, publisher, spool), description(settings.kafka.bootstrap, vendors))
    server = uvicorn.Server(
        uvicorn.Config(
            app, host=settings.http_host,
            port=settings.http_port, log_config=None, access_log=False, lifespan="off", ws="none",
            timeout_graceful_shutdown=10, server_header=False, date_header=False, proxy_headers=False,
        )
    )  # fmt: skip
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    health = Health(settings.metrics_port, [spool.progress], lambda: None if server.started else "the HTTP server")
    await health.start()

    async def http() -> None:
        await server.serve()

    async def end() -> None:
        await stopping.wait()
        server.should_exit = True

    try:
        await run_together(stopping, http(), end(), spool.relay(stopping))
    finally:
        await publisher.stop()
        await health.stop()
        try:
            async with asyncio.timeout(5):
                await pool.close()
        except TimeoutError:
            pool.terminate()  # a server that hangs; what it was to keep was not acknowledged
