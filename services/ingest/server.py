"""The HTTP server of intake: webhooks, and a description of what it writes as AsyncAPI."""

from __future__ import annotations

import asyncio
import contextlib

import uvicorn
from faststream.asgi import AsgiFastStream, make_asyncapi_asgi
from faststream.specification import AsyncAPI
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from libs.runtime.configuration.model import Configuration
from libs.runtime.configuration.reading import ConfigurationInvalid, missing_secrets
from libs.runtime.database.pool import open_pool
from libs.runtime.kafka.publisher import Publisher
from libs.runtime.kafka.topics import inbox
from libs.runtime.service import run_together
from libs.runtime.settings import ProcessSettings
from libs.runtime.telemetry.health import Health
from services.ingest.spool import Spool
from services.ingest.webhooks import Door, Webhooks


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


def application(webhooks: Webhooks, publisher: Publisher, vendors: set[str]) -> Starlette:
    """The ASGI application."""
    for vendor in sorted(vendors):
        publisher.broker.publisher(inbox(vendor), description=f"Notifications of {vendor}, card-free")
    shell = AsgiFastStream(publisher.broker, specification=AsyncAPI(title="Tillstream intake", version="1"))
    return Starlette(
        routes=[
            Route("/webhooks/{connection}", webhooks.receive, methods=["POST"]),
            Mount("/asyncapi", make_asyncapi_asgi(shell.schema)),
        ]
    )


async def serve(settings: ProcessSettings, configuration: Configuration, stopping: asyncio.Event) -> None:
    """Receive webhooks until told to stop."""
    entrances = doors(configuration)
    pool = await open_pool(settings.postgres, size=8, name="ingest-webhooks")
    publisher = Publisher(settings.kafka)
    spool = Spool(pool, publisher)
    await publisher.start()
    vendors = {connection.vendor for connection in configuration.sources()}
    app = application(Webhooks(entrances, publisher, spool), publisher, vendors)
    server = uvicorn.Server(
        uvicorn.Config(
            app, host=settings.http_host,
            port=settings.http_port, log_config=None, access_log=False, lifespan="off",
            timeout_graceful_shutdown=10, server_header=False,
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
        await pool.close()
