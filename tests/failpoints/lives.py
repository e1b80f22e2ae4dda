"""Lives of a service, forked from a process that has everything imported: one costs a fraction of a start.

What runs in a life is the product's own: the engine of one connection, or the books, each with its own pool, producer
and consumer, ended by a failpoint, by a kill, or politely.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import uvloop

from libs.connectors.contract.connector import connectors
from libs.runtime.configuration.reading import read_configuration
from libs.runtime.database.pool import open_pool
from libs.runtime.engine.engine import Engine
from libs.runtime.failpoints import EXIT_CODE, arm
from libs.runtime.kafka.writer import Writer
from libs.runtime.settings import ProcessSettings
from libs.runtime.telemetry.logs import set_up_logs
from services.projections.__main__ import books

BOOKS = "books"
# Seconds for a life to come to its place, on a busy machine too.
_PATIENCE = 300.0

connectors()  # imported before the first fork

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["__main__", __name__])


class LifeFailed(Exception):
    """A life that did not end as ordered; the message has the end of its log."""


@dataclass(frozen=True)
class Death:
    """Where a life ends: at the `times`-th passing of a place, by itself, or `held` there until it is killed."""

    place: str
    times: int
    held: bool


@dataclass(frozen=True)
class Lives:
    """Starts lives of any service; each service has a log of its own in `folder`."""

    settings: ProcessSettings
    folder: Path

    async def crash(self, service: str, death: Death) -> None:
        """One life that ends as ordered. Raises LifeFailed when it does not."""
        mark = self.folder / f"{service}.held"
        mark.unlink(missing_ok=True)
        order = f"{death.place}:{death.times}" + (":hold" if death.held else "")
        process = self._begin(service, self.settings, order, str(mark) if death.held else None)
        try:
            async with asyncio.timeout(_PATIENCE):
                await _until(lambda: mark.exists() or not process.is_alive())
                if death.held:
                    process.kill()
                    await _until(lambda: not process.is_alive())
        except TimeoutError:
            process.kill()
            raise LifeFailed(f"{service} did not come to {order}\n{self._log_end(service)}") from None
        expected = -signal.SIGKILL if death.held else EXIT_CODE
        if process.exitcode != expected:
            raise LifeFailed(f"{service} at {order} ended with {process.exitcode}\n{self._log_end(service)}")

    def begin_last(self, service: str, *, session_timeout_ms: int) -> BaseProcess:
        """A life without a failpoint."""
        kafka = replace(self.settings.kafka, session_timeout_ms=session_timeout_ms)
        return self._begin(service, replace(self.settings, kafka=kafka), None, None)

    async def end(self, service: str, process: BaseProcess) -> None:
        """End a life politely. Raises LifeFailed when it does not end well."""
        process.terminate()
        async with asyncio.timeout(60):
            await _until(lambda: not process.is_alive())
        if process.exitcode != 0:
            raise LifeFailed(f"{service} ended with {process.exitcode}\n{self._log_end(service)}")

    def _begin(self, service: str, settings: ProcessSettings, order: str | None, mark: str | None) -> BaseProcess:
        log = str(self.folder / f"{service}.log")
        process = _context.Process(target=_live, args=(service, settings, order, mark, log), daemon=True)
        process.start()
        return process

    def _log_end(self, service: str) -> str:
        return (self.folder / f"{service}.log").read_text(errors="replace")[-3000:]


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - neither a file nor a process tells an event loop
        await asyncio.sleep(0.02)


def _live(service: str, settings: ProcessSettings, order: str | None, mark: str | None, log: str) -> None:
    """All of a life, in the child."""
    threading.Thread(target=_end_with_the_trial, daemon=True).start()
    with open(log, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    set_up_logs(service, settings.log_format)
    if order is not None:
        arm(order, mark)
    uvloop.run(_until_told(service, settings))


def _end_with_the_trial() -> None:
    """A trial that is killed leaves no lives behind."""
    if (trial := multiprocessing.parent_process()) is not None:
        wait([trial.sentinel])
        os._exit(1)


async def _until_told(service: str, settings: ProcessSettings) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    configuration = read_configuration(settings.config)
    if service == BOOKS:
        await books(settings, configuration, stopping)
        return
    [connection] = [each for each in configuration.targets() if each.id == service]
    pool = await open_pool(settings.postgres, size=6, name=service)
    writer = Writer(settings.kafka)
    try:
        await Engine(connection, settings, pool, writer).run(stopping)
    finally:
        await writer.stop()
        await pool.close()
