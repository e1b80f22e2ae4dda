"""The demo's own installation: Kafka, PostgreSQL, simulators and services as processes, with logs in one folder."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from deploy.local import down, up, wipe
from deploy.local.layout import DEFAULT_STACK, LOCAL, REPOSITORY
from deploy.local.ports import pick
from deploy.local.state import load
from libs.runtime.configuration.reading import read_configuration
from libs.runtime.database.migrate import migrate
from libs.runtime.kafka.topics import create_topics, topics
from libs.runtime.settings import KafkaSettings
from tools.demo.configuration import SECRETS, configuration
from tools.demo.till import Store

FOLDER = LOCAL / "demo"
STACK = FOLDER / "stack"
LOGS = FOLDER / "logs"
ENV_FILE = FOLDER / "till.env"
_PROCESSES = FOLDER / "processes.json"
_PARTITIONS = 4
_SESSION_TIMEOUT_MS = 6000
_READY_SECONDS = 60.0
_STOP_SECONDS = 15.0
_LAST_LINES = 15

SERVICES: Mapping[str, tuple[str, ...]] = {
    "webhooks": ("services.ingest", "webhooks"),
    "fetcher": ("services.ingest", "fetcher"),
    "transform": ("services.transform",),
    "books": ("services.projections", "books"),
    "journey": ("services.projections", "journey"),
    "quickbooks": ("services.sinks", "quickbooks"),
    "hubspot": ("services.sinks", "hubspot"),
}


class DemoFailed(Exception):
    """The demo cannot go on or did not come out right; the message says what and where."""


@dataclass(frozen=True)
class Running:
    """Where everything is."""

    kafka: str
    postgres: str
    sandbox: str
    webhooks: str
    env: Mapping[str, str]


class Installation:
    """Starts everything and ends what it started."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._stack_is_up = False

    async def start(self, stores: tuple[Store, ...], http: aiohttp.ClientSession) -> Running:
        """A clean installation, ready for the first webhook. Raises DemoFailed and StackError."""
        _end_left_behind()
        LOGS.mkdir(parents=True, exist_ok=True)
        for log in LOGS.glob("*.log"):
            log.unlink()
        await asyncio.to_thread(wipe, STACK)
        self._stack_is_up = True
        endpoints = await asyncio.to_thread(up, STACK, session_timeout_ms=_SESSION_TIMEOUT_MS, say=self._say)
        await asyncio.to_thread(migrate, endpoints.postgres)
        sandbox = await self._start_sandbox()
        config = FOLDER / "tillstream.yaml"
        config.write_text(configuration(stores, sandbox))
        os.environ.update(SECRETS)
        port = pick(None, ())
        env = self._env(endpoints.kafka, endpoints.postgres, config, port)
        kafka = KafkaSettings(endpoints.kafka, _SESSION_TIMEOUT_MS, _PARTITIONS, 1, {})
        await create_topics(kafka, topics(read_configuration(config), _PARTITIONS))
        self._say(f"Starting {len(SERVICES)} services ...")
        ports = {name: self._start_service(name, env) for name in SERVICES}
        await self._until_ready(ports, http)
        return Running(endpoints.kafka, endpoints.postgres, sandbox, f"http://127.0.0.1:{port}", env)

    def _env(self, kafka: str, postgres: str, config: Path, port: int) -> dict[str, str]:
        ours = {
            "TILLSTREAM_CONFIG": str(config), "TILLSTREAM_KAFKA": kafka, "TILLSTREAM_POSTGRES": postgres,
            "TILLSTREAM_PARTITIONS": str(_PARTITIONS), "TILLSTREAM_REPLICATION": "1",
            "TILLSTREAM_SESSION_TIMEOUT_MS": str(_SESSION_TIMEOUT_MS), "TILLSTREAM_ENCRYPTION_KEY": "demo",
            "TILLSTREAM_HTTP_HOST": "127.0.0.1", "TILLSTREAM_HTTP_PORT": str(port), **SECRETS,
        }  # fmt: skip
        lines = "".join(f"{name}={value}\n" for name, value in ours.items())
        ENV_FILE.write_text(lines)
        return {**os.environ, **ours, "PYTHONPATH": str(REPOSITORY)}

    async def _start_sandbox(self) -> str:
        ready = FOLDER / "sandbox.ready"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "services.sandbox", "--port", "0", "--ready-file", str(ready)]
        self._spawn("sandbox", command, {**os.environ, "PYTHONPATH": str(REPOSITORY)})
        until = time.monotonic() + _READY_SECONDS
        while not ready.exists():
            self.check()
            if time.monotonic() > until:
                raise DemoFailed("the simulators did not start")
            await asyncio.sleep(0.1)
        return ready.read_text().strip()

    def _start_service(self, name: str, env: Mapping[str, str]) -> int:
        port = pick(None, ())
        own = {"TILLSTREAM_METRICS_PORT": str(port), "TILLSTREAM_INSTANCE": f"demo-{name}"}
        self._spawn(name, [sys.executable, "-m", *SERVICES[name]], {**env, **own})
        return port

    def _spawn(self, name: str, command: list[str], env: Mapping[str, str]) -> None:
        with (LOGS / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(
                command, cwd=REPOSITORY, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        known = [[each.pid, psutil.Process(each.pid).create_time()] for each in self._processes.values()]
        _PROCESSES.write_text(json.dumps(known))

    async def _until_ready(self, ports: Mapping[str, int], http: aiohttp.ClientSession) -> None:
        until = time.monotonic() + _READY_SECONDS
        for name, port in ports.items():
            while not await _answers(http, f"http://127.0.0.1:{port}/health/ready"):
                self.check()
                if time.monotonic() > until:
                    raise DemoFailed(f"{name} is not ready after {_READY_SECONDS:.0f} s:\n{_last_lines(name)}")
                await asyncio.sleep(0.2)

    def check(self) -> None:
        """Raises DemoFailed when a process has ended by itself, with its last words."""
        for name, process in self._processes.items():
            if (code := process.poll()) is not None:
                raise DemoFailed(f"{name} ended with {code}. Its last lines:\n{_last_lines(name)}")

    async def stop_services(self) -> None:
        """End every process that was started here, politely first; the simulators last."""
        order = [name for name in self._processes if name != "sandbox"] + ["sandbox"]
        for group in (order[:-1], order[-1:]):
            await asyncio.to_thread(self._end, [self._processes.pop(name) for name in group if name in self._processes])
        _PROCESSES.unlink(missing_ok=True)

    @staticmethod
    def _end(processes: list[subprocess.Popen[bytes]]) -> None:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        until = time.monotonic() + _STOP_SECONDS
        for process in processes:
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    async def stop_stack(self) -> None:
        """End Kafka and PostgreSQL; their files stay."""
        if self._stack_is_up:
            await asyncio.to_thread(down, STACK)


def keep_for_till() -> None:
    """`till` looks into the everyday stack's folder by default: leave a note there."""
    DEFAULT_STACK.mkdir(parents=True, exist_ok=True)
    (DEFAULT_STACK / "till.env").write_text(ENV_FILE.read_text())


def data_folders() -> list[Path]:
    """Everything that the demo's Kafka, PostgreSQL and services have written to."""
    memory = load(STACK)
    home = [Path(memory.postgres.home)] if memory and memory.postgres else []
    return [STACK, *home, LOGS]


async def _answers(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url, timeout=aiohttp.ClientTimeout(total=2)) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


def _last_lines(name: str) -> str:
    lines = (LOGS / f"{name}.log").read_text(errors="replace").splitlines()
    return "\n".join(line[:300] for line in lines[-_LAST_LINES:]) or "(it wrote nothing)"


def _end_left_behind() -> None:
    """End the processes of an earlier demo that was kept running."""
    try:
        known: list[tuple[int, float]] = json.loads(_PROCESSES.read_text())
    except (OSError, ValueError):
        return
    for pid, created in known:
        try:
            process = psutil.Process(pid)
            if abs(process.create_time() - created) < 1:
                process.terminate()
                process.wait(_STOP_SECONDS)
        except psutil.TimeoutExpired:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    _PROCESSES.unlink(missing_ok=True)


async def till(env: Mapping[str, str], *arguments: str) -> Any:
    """What `till ... --json` says. Raises DemoFailed when it fails."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.ops.till", *arguments, "--json", cwd=REPOSITORY, env=dict(env),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    out, errors = await process.communicate()
    if process.returncode != 0:
        raise DemoFailed(f"till {' '.join(arguments)} exits {process.returncode}: {errors.decode().strip()[-600:]}")
    return json.loads(out)
