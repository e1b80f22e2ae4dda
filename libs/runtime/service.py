"""The life of a process: read its settings, start, run until told to stop, close in order."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog
import uvloop

from libs.runtime.configuration.model import Configuration
from libs.runtime.configuration.reading import ConfigurationInvalid, read_configuration
from libs.runtime.settings import ProcessSettings, SettingMissing, read_settings
from libs.runtime.telemetry.logs import set_up_logs
from libs.runtime.telemetry.tracing import set_up_tracing

log = structlog.get_logger()

Main = Callable[[ProcessSettings, Configuration, asyncio.Event], Awaitable[None]]


def run_service(name: str, main: Main) -> None:
    """Run `main(settings, configuration, stopping)`; `stopping` is set by SIGTERM and SIGINT.

    Exits 2 with plain sentences when settings or configuration are wrong, 1 when the service fails.
    """
    try:
        settings = read_settings()
        configuration = read_configuration(settings.config)
    except (SettingMissing, ConfigurationInvalid) as error:
        sys.stderr.write(f"{name} cannot start:\n{error}\n")
        raise SystemExit(2) from None
    set_up_logs(name, settings.log_format)
    set_up_tracing(name, settings.otlp_endpoint)

    async def until_stopped() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        tune_garbage_collection()
        log.info("started", instance=settings.instance)
        await main(settings, configuration, stopping)
        log.info("stopped")

    try:
        uvloop.run(until_stopped())
    except ConfigurationInvalid as error:
        sys.stderr.write(f"{name} cannot start:\n{error}\n")
        raise SystemExit(2) from None


def tune_garbage_collection() -> None:
    """Events live for milliseconds by the thousand: look for cycles more rarely, and never among what start-up made."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def run_together(stopping: asyncio.Event, *parts: Coroutine[Any, Any, None]) -> None:
    """Run the parts until `stopping` is set and each has ended; the first that fails stops all and is raised."""
    tasks = [asyncio.create_task(part) for part in parts]
    waiter = asyncio.create_task(stopping.wait())
    try:
        done, _ = await asyncio.wait([waiter, *tasks], return_when=asyncio.FIRST_COMPLETED)
        failed = [task for task in done if task is not waiter and task.exception()]
        stopping.set()
        if failed:
            await asyncio.wait(tasks, timeout=10)
            raise failed[0].exception() or RuntimeError("a part ended")
        await asyncio.gather(*tasks)
    finally:
        waiter.cancel()
        for task in tasks:
            task.cancel()
