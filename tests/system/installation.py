"""A whole Tillstream for a test: real broker, real database, simulators, and services as processes of their own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import yaml

from deploy.local import Stack, up, wipe
from libs.runtime.configuration.reading import read_configuration
from libs.runtime.database.migrate import migrate
from libs.runtime.database.pool import open_pool
from libs.runtime.kafka.topics import create_topics, topics
from libs.runtime.settings import KafkaSettings
from tests.system.configuration import SECRETS, configuration

ROOT = Path(__file__).parents[2]
SERVICES: Mapping[str, tuple[str, ...]] = {
    "webhooks": ("services.ingest", "webhooks"),
    "fetcher": ("services.ingest", "fetcher"),
    "poller": ("services.ingest", "poller"),
    "transform": ("services.transform",),
    "quickbooks": ("services.sinks", "quickbooks"),
    "hubspot": ("services.sinks", "hubspot"),
    "books": ("services.projections", "books"),
    "journey": ("services.projections", "journey"),
}
FLOW = ("webhooks", "fetcher", "transform", "books", "journey", "quickbooks", "hubspot")


class Installation:
    """Use as `async with Installation(folder) as whole`. Everything it started is ended with it."""

    def __init__(self, folder: Path, *, brokers: int = 1) -> None:
        self.folder, self._brokers = folder, brokers
        self.replication = min(3, brokers)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.ports: dict[str, int] = {}
        self.extra_env: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        await self.open_stack()
        self.sandbox = await self._start_sandbox()
        self.http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        await self.sandbox_options("quickbooks", {"calls_per_minute": 60_000, "calls_per_second": 1_000})
        await self.sandbox_options("square", {"windows": [{"calls": 1_000, "seconds": 1}]})
        self.ports["http"] = _free_port()
        await self.configure(self.content())
        self.pool = await open_pool(self.postgres, size=4, name="test")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self.processes):
            await self.stop(name, signal.SIGKILL)
        await self.http.close()
        await self.pool.close()
        await self.close_stack()

    async def open_stack(self) -> None:
        """Make `stack`, `kafka` and `postgres` what this installation shall use: here servers of its own."""
        folder = self.folder / "stack"
        endpoints = await asyncio.to_thread(
            up, folder, brokers=self._brokers, session_timeout_ms=4000, say=lambda _text: None
        )
        self.stack = Stack(folder)
        self.postgres, self.kafka = endpoints.postgres, endpoints.kafka
        await asyncio.to_thread(migrate, self.postgres)

    async def close_stack(self) -> None:
        """End what `open_stack` started."""
        await asyncio.to_thread(wipe, self.stack.directory)

    async def configure(self, content: Mapping[str, Any]) -> None:
        """Write the configuration and create its topics."""
        self.config = self.folder / "tillstream.yaml"
        self.config.write_text(yaml.safe_dump(content))
        os.environ.update(SECRETS)
        await create_topics(self.kafka_settings, topics(read_configuration(self.config), 4))

    def content(self) -> dict[str, Any]:
        """The configuration as it is usually; change it and give it to `configure`."""
        return configuration(self.sandbox, self.ports["http"])

    @property
    def kafka_settings(self) -> KafkaSettings:
        """How this installation's broker is reached."""
        return KafkaSettings(self.kafka, 4000, 4, self.replication, {})

    @property
    def env(self) -> dict[str, str]:
        """The environment of its services, and of `till`."""
        return {
            **os.environ,
            **SECRETS,
            "TILLSTREAM_CONFIG": str(self.config),
            "TILLSTREAM_KAFKA": self.kafka,
            "TILLSTREAM_POSTGRES": self.postgres,
            "TILLSTREAM_PARTITIONS": "4",
            "TILLSTREAM_REPLICATION": str(self.replication),
            "TILLSTREAM_SESSION_TIMEOUT_MS": "4000",
            "TILLSTREAM_HTTP_PORT": str(self.ports["http"]),
            "TILLSTREAM_HTTP_HOST": "127.0.0.1",
            "TILLSTREAM_LEASE_SECONDS": "4",
            "TILLSTREAM_HTTP_TIMEOUT_SECONDS": "3",
            "TILLSTREAM_ENCRYPTION_KEY": "test",
            "PYTHONPATH": str(ROOT),
            **self.extra_env,
        }

    async def _start_sandbox(self) -> str:
        ready = self.folder / "sandbox.ready"
        with (self.folder / "sandbox.log").open("ab") as log:
            self.processes["sandbox"] = subprocess.Popen(
                [sys.executable, "-m", "services.sandbox", "--port", "0", "--ready-file", str(ready)],
                cwd=ROOT, stdout=log, stderr=log,
            )  # fmt: skip
        await self.until(ready.exists, "the sandbox listens")
        return ready.read_text().strip()

    # Services ---------------------------------------------------------------------------------------------------

    async def start(self, *names: str, env: Mapping[str, str] | None = None, wait: bool = True) -> None:
        """Start services and, unless told otherwise, wait until each is ready."""
        for name in names:
            port = self.ports[f"metrics.{name}"] = _free_port()
            with (self.folder / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    [sys.executable, "-m", *SERVICES[name.partition("#")[0]]],
                    cwd=ROOT, stdout=log, stderr=log,
                    env={**self.env, "TILLSTREAM_METRICS_PORT": str(port), "TILLSTREAM_INSTANCE": name, **(env or {})},
                )  # fmt: skip
        for name in names if wait else ():
            await self.until(lambda name=name: self._ready(name), f"{name} is ready", seconds=90)  # type: ignore[misc]

    async def _ready(self, name: str) -> bool:
        if (code := self.processes[name].poll()) is not None:
            raise AssertionError(f"{name} ended with {code}: {(self.folder / f'{name}.log').read_text()[-2000:]}")
        try:
            url = f"http://127.0.0.1:{self.ports[f'metrics.{name}']}/health/ready"
            async with self.http.get(url) as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> int:
        """End a service; gives its exit status."""
        process = self.processes.pop(name)
        process.send_signal(number)
        return await asyncio.to_thread(process.wait, 40)

    async def kill(self, name: str) -> None:
        """End a service as a power cut would."""
        await self.stop(name, signal.SIGKILL)

    async def account(self) -> str:
        """Where everything stands, for a failed test."""
        rows = await self.pool.fetch(
            "select connection, state, class, reason, count(*) as n from delivery group by 1, 2, 3, 4 order by 1, 2"
        )
        text = [" ".join(str(value) for value in row.values()) for row in rows]
        text += [
            f"--- {log.name}\n{log.read_text(errors='replace').strip()[-1500:]}"
            for log in sorted(self.folder.glob("*.log"))
        ]
        return "\n".join(text)

    # The world outside ------------------------------------------------------------------------------------------

    async def load(self, vendor: str, objects: Mapping[str, Any]) -> None:
        """Put objects into a vendor's simulator, as a till would have made them."""
        await self._sandbox("POST", f"/_sandbox/{vendor}/load", objects)

    async def fault(self, vendor: str, kind: str, **more: Any) -> None:
        """Set (or end: "none") a vendor's fault."""
        await self._sandbox("PUT", f"/_sandbox/{vendor}/fault", {"kind": kind, **more})

    async def state(self, vendor: str) -> Any:
        """All that a vendor's simulator has stored."""
        return await self._sandbox("GET", f"/_sandbox/{vendor}/state")

    async def sandbox_options(self, vendor: str, options: Mapping[str, Any]) -> None:
        """Set options of a simulator."""
        await self._sandbox("POST", f"/_sandbox/{vendor}/configure", options)

    async def _sandbox(self, method: str, path: str, content: Any = None) -> Any:
        async with self.http.request(method, f"{self.sandbox}{path}", json=content) as answer:
            text = await answer.text()
            assert answer.status < 300, f"{path}: {answer.status} {text[:500]}"
            return json.loads(text) if text else None

    async def square_webhook(self, type_: str, object_: Mapping[str, Any], event_id: str) -> int:
        """Send a webhook as Square would sign it; gives the HTTP status."""
        url = f"http://127.0.0.1:{self.ports['http']}/webhooks/square-main"
        kind, entity = type_.rsplit(".", 1)[0], next(iter(object_.values()))
        body = {
            "merchant_id": "ML1",
            "type": type_,
            "event_id": event_id,
            "created_at": "2026-11-20T18:00:00Z",
            "data": {"type": kind, "id": entity.get("id", entity.get("order_id")), "object": object_},
        }
        raw = json.dumps(body).encode()
        async with self.http.post(url, data=raw, headers=self.square_signature(url, raw)) as answer:
            return answer.status

    @staticmethod
    def square_signature(url: str, body: bytes) -> dict[str, str]:
        """The header by which Square signs a body that it sends to that address."""
        digest = hmac.new(SECRETS["SQUARE_SIGNATURE_KEY"].encode(), url.encode() + body, hashlib.sha256).digest()
        return {"x-square-hmacsha256-signature": base64.b64encode(digest).decode()}

    # Waiting and asking -----------------------------------------------------------------------------------------

    async def until(self, condition: Callable[[], bool | Awaitable[bool]], what: str, *, seconds: float = 40) -> None:
        """Wait until the condition holds; fails with `what` after that many seconds."""
        deadline = time.monotonic() + seconds
        while True:
            held = condition()
            if await held if isinstance(held, Awaitable) else held:
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {seconds} s in vain until {what}\n{await self.account()}")
            await asyncio.sleep(0.1)

    async def count(self, query: str, *arguments: Any) -> int:
        """A number from the database."""
        return int(await self.pool.fetchval(query, *arguments) or 0)

    async def deliveries(self, connection: str) -> dict[str, int]:
        """How many events are in each state at a connection."""
        rows = await self.pool.fetch(
            "select state, count(*) as n from delivery where connection = $1 group by state", connection
        )
        return {row["state"]: row["n"] for row in rows}


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


__all__ = ["FLOW", "SERVICES", "Installation"]
