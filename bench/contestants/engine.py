"""The delivery engine as the sinks run it: an engine for each connection, in one process, with its ledger and lanes."""

from __future__ import annotations

import asyncio
from typing import Any

from bench.contestants.target import BenchConnection
from bench.contestants.task import CONCURRENCY, Progress, Task
from libs.runtime.database.pool import open_pool
from libs.runtime.engine.engine import Engine
from libs.runtime.kafka.writer import Writer
from libs.runtime.service import run_together, tune_garbage_collection
from libs.runtime.settings import read_settings
from libs.runtime.telemetry.logs import set_up_logs
from libs.runtime.telemetry.tracing import set_up_tracing
from services.sinks.__main__ import pool_size


def _connection(task: Task, number: int, url: str | None) -> BenchConnection:
    limits: dict[str, Any] = {"concurrency": CONCURRENCY}
    if task.calls_per_second:
        limits["windows"] = [{"calls": task.calls_per_second, "seconds": 1}]
    return BenchConnection.model_validate(
        {
            "id": f"{task.name}-{number}",
            "vendor": "bench",
            "role": "target",
            "account": f"bench-{number}",  # each its own: the connections of one account share its limit
            "environment": "sandbox",
            "base_url": url or "http://127.0.0.1:9",
            "start": "beginning",
            "secrets": {"access_token": {"env": "TILLSTREAM_BENCH_TOKEN"}},
            "limits": limits,
            "settings": {"calls": url is not None},
        }
    )


async def run(task: Task, progress: Progress, stopping: asyncio.Event) -> None:
    """Deliver until told to stop."""
    set_up_logs("bench")
    set_up_tracing("bench", None)
    tune_garbage_collection()  # as every service does
    connections = [_connection(task, number, url) for number, url in enumerate(task.urls or [None])]
    pool = await open_pool(task.postgres, size=pool_size(len(connections)), name="bench")
    writer = Writer(task.kafka_settings)
    engines = [Engine(connection, read_settings(), pool, writer) for connection in connections]
    progress.finished = lambda: sum(engine.progress.finished for engine in engines)
    try:
        await run_together(stopping, *(engine.run(stopping) for engine in engines))
    finally:
        await writer.stop()
        await pool.close()
