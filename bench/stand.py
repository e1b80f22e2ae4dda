"""Kafka, PostgreSQL and processes of the bench's own. Nothing of it is shared with the everyday stack."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import psutil
from aiokafka.admin import AIOKafkaAdminClient

from bench.measuring import Run
from deploy.local import up
from libs.runtime.database.migrate import migrate
from libs.runtime.kafka.topics import Topic, create_topics
from libs.runtime.kafka.writer import Outgoing, Writer
from libs.runtime.settings import KafkaSettings

ROOT = Path(__file__).parents[1]
PARTITIONS = 4
_DATABASE, _TEMPLATE = "bench", "bench_template"
_RETENTION_MS = 24 * 60 * 60 * 1000


class BenchFailed(Exception):
    """A contestant did not do its work; the message says which and what it said last."""


@dataclass
class Served:
    """A process that answers HTTP."""

    name: str
    process: subprocess.Popen[bytes]
    url: str
    log: Path

    @property
    def cpu_seconds(self) -> float:
        """CPU seconds that it has used so far, in user and system mode."""
        used = psutil.Process(self.process.pid).cpu_times()
        return float(used.user + used.system)

    @property
    def memory_mb(self) -> float:
        """Its resident memory now."""
        return float(psutil.Process(self.process.pid).memory_info().rss / 2**20)

    def must_run(self) -> None:
        """Raises BenchFailed with its last words if it does not."""
        if (code := self.process.poll()) is not None:
            raise BenchFailed(f"{self.name} ended with {code}: {self.log.read_text(errors='replace')[-2000:]}")


@dataclass
class Stand:
    """Where the contestants meet. `folder` holds the stack, logs and files; end it with `close`."""

    folder: Path
    kafka: str = ""
    postgres: str = ""
    env: dict[str, str] = field(default_factory=dict)
    _served: list[Served] = field(default_factory=list)
    _server: str = ""
    _migrated: bool = False

    async def open(self) -> None:
        """Start Kafka and PostgreSQL, or find them running."""
        self.folder.mkdir(parents=True, exist_ok=True)
        endpoints = await asyncio.to_thread(up, self.folder / "stack", session_timeout_ms=3000, say=lambda _text: None)
        self.kafka, self._server = endpoints.kafka, endpoints.postgres.rsplit("/", 1)[0]
        self.postgres = f"{self._server}/{_DATABASE}"

    @property
    def kafka_settings(self) -> KafkaSettings:
        """How the broker is reached."""
        return KafkaSettings(self.kafka, 3000, PARTITIONS, 1, {})

    async def fresh(self, topics: Iterable[str], partitions: int = PARTITIONS) -> None:
        """No topics but these, empty, and an empty, migrated database: scenarios must not read each other's records."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        await admin.start()
        try:
            while left := [name for name in await admin.list_topics() if not name.startswith("__")]:
                await admin.delete_topics(left)
                await asyncio.sleep(0.2)
        finally:
            await admin.close()
        database = await asyncpg.connect(f"{self._server}/postgres")
        try:
            await database.execute(f"drop database if exists {_DATABASE} with (force)")
            if not self._migrated:
                await database.execute(f"drop database if exists {_TEMPLATE} with (force)")
                await database.execute(f"create database {_TEMPLATE}")
                await asyncio.to_thread(migrate, f"{self._server}/{_TEMPLATE}")
                self._migrated = True
            await database.execute(f"create database {_DATABASE} template {_TEMPLATE}")
        finally:
            await database.close()
        await create_topics(self.kafka_settings, [Topic(name, partitions, _RETENTION_MS) for name in topics])

    async def fill(self, records: Sequence[Outgoing]) -> None:
        """Write records to Kafka."""
        writer = Writer(self.kafka_settings)
        await writer.start()
        try:
            for start in range(0, len(records), 1000):
                await writer.send_all(records[start : start + 1000])
        finally:
            await writer.stop()

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a process on this stand."""
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TILLSTREAM_CONFIG": str(self.folder / "tillstream.yaml"),
            "TILLSTREAM_KAFKA": self.kafka,
            "TILLSTREAM_POSTGRES": self.postgres,
            "TILLSTREAM_PARTITIONS": str(PARTITIONS),
            "TILLSTREAM_REPLICATION": "1",
            "TILLSTREAM_SESSION_TIMEOUT_MS": "3000",
            "TILLSTREAM_HTTP_HOST": "127.0.0.1",
            "TILLSTREAM_METRICS_PORT": "0",
            "TILLSTREAM_ENCRYPTION_KEY": "bench",
            "TILLSTREAM_BENCH_TOKEN": "bench",
            **self.env,
            **more,
        }

    # Work -------------------------------------------------------------------------------------------------------

    async def run(self, contestant: str, **task: Any) -> Run:
        """Let a contestant do its work in a process of its own; raises BenchFailed."""
        order = json.dumps({"kafka": self.kafka, "postgres": self.postgres, **task})
        answer = await self.call("bench.worker", contestant, order)
        return Run(answer["events"], answer["seconds"], answer["cpu_seconds"])

    async def call(self, module: str, *arguments: str) -> Any:
        """The JSON that a Python module prints as its last line; raises BenchFailed."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, *arguments,
            cwd=ROOT, env=self.environment(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            out, err = await asyncio.wait_for(process.communicate(), 240)
        except TimeoutError:
            process.kill()
            raise BenchFailed(f"{module} {arguments[:1]}: nothing after 240 s") from None
        if process.returncode:
            raise BenchFailed(f"{module} {arguments[:1]} ended with {process.returncode}: {err.decode()[-2000:]}")
        return json.loads(out.splitlines()[-1])

    # Servers ----------------------------------------------------------------------------------------------------

    async def serve(self, name: str, *command: str, port: int, env: Mapping[str, str] | None = None) -> Served:
        """Start a process that listens on that port, and wait until it does."""
        served = self.start(name, *command, env=env)
        served.url = f"http://127.0.0.1:{port}"
        await self.until(lambda: _listens(served, port), f"{name} listens")
        return served

    def start(self, name: str, *command: str, env: Mapping[str, str] | None = None) -> Served:
        """Start one of our modules that runs until `stop`."""
        return self.launch(name, [sys.executable, "-m", *command], env=env)

    def launch(self, name: str, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> Served:
        """Start any program that runs until `stop`."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(command, cwd=ROOT, env=self.environment(**(env or {})), stdout=file, stderr=file)
        self._served.append(Served(name, process, "", log))
        return self._served[-1]

    def endless(self, contestant: str, name: str, **task: Any) -> Served:
        """Start a contestant that works until `stop`; what it does is seen at the target."""
        order = json.dumps({"kafka": self.kafka, "postgres": self.postgres, "name": name, "endless": True, **task})
        return self.start(name, "bench.worker", contestant, order)

    async def until(self, holds: Callable[[], bool | Awaitable[bool]], what: str, *, seconds: float = 60) -> None:
        """Wait until it holds; raises BenchFailed after that many seconds."""
        deadline = time.monotonic() + seconds
        while True:
            answer = holds()
            if await answer if isinstance(answer, Awaitable) else answer:
                return
            if time.monotonic() > deadline:
                raise BenchFailed(f"waited {seconds:g} s in vain until {what}; logs are in {self.folder}")
            await asyncio.sleep(0.05)

    async def stop(self, *servers: Served) -> None:
        """End these processes, politely at first."""
        for served in servers:
            served.process.send_signal(signal.SIGTERM)
        for served in servers:
            try:
                await asyncio.to_thread(served.process.wait, 15)
            except subprocess.TimeoutExpired:
                served.process.kill()
            self._served.remove(served)

    def kill(self, *servers: Served) -> None:
        """End these processes at once: what they still had in hand is not waited for."""
        for served in servers:
            served.process.kill()
            served.process.wait(10)
            self._served.remove(served)

    async def close(self) -> None:
        """End every process that was started; Kafka and PostgreSQL are left to the caller."""
        self.kill(*self._served)


def free_port() -> int:
    """A port on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(served: Served, port: int) -> bool:
    served.must_run()
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
