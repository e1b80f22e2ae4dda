"""Every service of docker-compose.yml started for real: its own command, its own environment, its own health check.

No container engine is needed: host names and ports of the containers are replaced by those of a local stack, in the
environment, in the commands, in the health checks and in the mounted configuration alike. What is not shown here is
what only an engine can: that the image builds, and that Compose's network connects it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy.local import Endpoints, up, wipe
from tests.deploy.composition import ROOT, ours, running, seconds

# Ten interpreters start at once: seconds on an idle machine, minutes on a small and busy one.
READY_SECONDS = 150


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Endpoints]:
    """A broker and an empty database of their own: topics get the partitions that Compose says."""
    folder = tmp_path / "stack"
    yield up(folder, say=lambda _text: None)
    wipe(folder)


class Machine:
    """This machine in place of the containers'."""

    def __init__(self, folder: Path, replacements: Mapping[str, str]) -> None:
        self._folder, self._replacements = folder, dict(replacements)

    def here(self, text: str, ports: Mapping[str, str] | None = None) -> str:
        """The text with every container's address replaced."""
        for there, local in {**self._replacements, **(ports or {})}.items():
            text = text.replace(there, local)
        return text

    def adopt(self, name: str, service: Mapping[str, Any]) -> Container:
        """The service as it is started here: files it mounts are copied with their addresses replaced."""
        ports = _free_ports("9464", "8080")
        if name == "sandbox":
            ports = {"8090": self._replacements["sandbox:8090"].rpartition(":")[2]}
        files = {}
        for volume in service["volumes"]:
            copy = self._folder / f"{name}-{Path(volume['source']).name}"
            copy.write_text(self.here(Path(volume["source"]).read_text()))
            files[volume["target"]] = str(copy)
        environment = {key: self.here(value, ports | files) for key, value in service["environment"].items()}
        environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
        health = service["healthcheck"].get("test", ["CMD"])[1:]
        return Container(
            name,
            [self.here(word, ports) for word in service["command"]],
            environment,
            [self.here(word, ports) for word in health],
            seconds(service["stop_grace_period"]),
            self._folder / f"{name}.log",
        )


class Container:
    """One service as a process."""

    def __init__(
        self, name: str, command: list[str], env: dict[str, str], health: list[str], grace: int, log: Path
    ) -> None:
        self.name, self._command, self._env, self._health, self._log = name, command, env, health, log
        self.grace = grace
        self.ready_port = env["TILLSTREAM_METRICS_PORT"] if name != "sandbox" else None
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, cwd=self._log.parent, env=self._env, stdout=log, stderr=log
            )

    async def run(self) -> None:
        """To its end, which has to be a good one."""
        await self.start()
        assert await self._ended(90) == 0, self.told()

    async def until_ready(self) -> None:
        """Until `/health/ready` answers 200, and the container's own health check is content."""
        deadline = time.monotonic() + READY_SECONDS
        while not (await self._answers_ready() and await self._healthy()):
            assert self._process is not None
            assert self._process.returncode is None, self.told()
            assert time.monotonic() < deadline, f"not ready after {READY_SECONDS} s: {self.told()}"
            await asyncio.sleep(0.5)

    async def _answers_ready(self) -> bool:
        if self.ready_port is None:
            return True
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(self.ready_port))
        except OSError:
            return False
        writer.write(b"GET /health/ready HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        status = await reader.readline()
        writer.close()
        return status.split()[1:2] == [b"200"]

    async def _healthy(self) -> bool:
        check = await asyncio.create_subprocess_exec(
            *self._health, env=self._env, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        return await check.wait() == 0

    async def stop(self) -> int:
        """SIGTERM, as `docker stop` sends it; the exit status within the grace period."""
        assert self._process is not None
        assert self._process.returncode is None, f"{self.name} ended by itself: {self.told()}"
        self._process.send_signal(signal.SIGTERM)
        return await self._ended(self.grace)

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def _ended(self, within: float) -> int:
        assert self._process is not None
        async with asyncio.timeout(within):
            return await self._process.wait()

    def told(self) -> str:
        return f"{self.name}: {self._log.read_text(errors='replace')[-3000:]}"


def _free_ports(*there: str) -> dict[str, str]:
    with _open_sockets(len(there)) as sockets:
        return {port: str(each.getsockname()[1]) for port, each in zip(there, sockets, strict=True)}


@contextmanager
def _open_sockets(count: int) -> Iterator[list[socket.socket]]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        yield sockets
    finally:
        for each in sockets:
            each.close()


@asynccontextmanager
async def _cleaned_up(containers: list[Container]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for container in containers:
            await container.kill()


@pytest.mark.timeout(400)
async def test_every_service_starts_gets_ready_and_stops(servers: Endpoints, tmp_path: Path) -> None:
    """First what runs once; then the rest together, until each is ready; then SIGTERM to all."""
    password = ours()["migrate"]["environment"]["POSTGRES_PASSWORD"]
    machine = Machine(
        tmp_path,
        {
            f"postgresql://tillstream:{password}@postgres:5432/tillstream": servers.postgres,
            "kafka:9092": servers.kafka,
            "sandbox:8090": f"127.0.0.1:{_free_ports('8090')['8090']}",
        },
    )
    await asyncio.gather(*(machine.adopt(name, ours()[name]).run() for name in ("migrate", "topics")))
    containers = [machine.adopt(name, service) for name, service in running().items()]
    assert {container.name for container in containers} >= {"webhooks", "transform", "books", "sandbox"}
    async with _cleaned_up(containers):
        await asyncio.gather(*(container.start() for container in containers))
        await asyncio.gather(*(container.until_ready() for container in containers))
        statuses = await asyncio.gather(*(container.stop() for container in containers))
    wrong = [container.told() for container, status in zip(containers, statuses, strict=True) if status != 0]
    assert wrong == []
