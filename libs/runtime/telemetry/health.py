"""`/metrics`, `/health/live` and `/health/ready` of a process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from libs.runtime.telemetry.progress import Progress

Ready = Callable[[], str | None]


class Health:
    """Serves metrics and health on its own port. Live: every loop gets on. Ready: `ready()` gives no objection.

    A paused connection is healthy; Kafka or the database being away does not make a process dead.
    """

    def __init__(self, port: int, loops: Sequence[Progress] = (), ready: Ready = lambda: None) -> None:
        self.port = port
        self.loops = list(loops)
        self._ready = ready
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen; port 0 picks a free one, told by `port`."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/health/live", self._live),
                web.get("/health/ready", self._is_ready),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "0.0.0.0", self.port)  # noqa: S104 - scraped from other hosts
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _live(self, _request: web.Request) -> web.Response:
        stalled = [loop.name for loop in self.loops if loop.stalled]
        return web.json_response({"stalled": stalled}, status=503 if stalled else 200)

    async def _is_ready(self, _request: web.Request) -> web.Response:
        objection = self._ready()
        return web.json_response({"waiting_for": objection}, status=503 if objection else 200)
