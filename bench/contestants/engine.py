"""The delivery engine as the sinks run it: one connection, its ledger, its lanes."""

from __future__ import annotations

import asyncio

from bench.contestants.target import BenchConnection
from bench.contestants.task import CONCURRENCY, Progress, Task
from libs.runtime.database.pool import open_pool
from libs.runtime.engine.engine import Engine
from libs.runtime.kafka.writer import Writer
from libs.runtime.service import tune_garbage_collection
from libs.runtime.settings import read_settings
from libs.runtime.telemetry.logs import set_up_logs
from libs.runtime.telemetry.tracing import set_up_tracing


async def run(task: Task, progress: Progress, stopping: asyncio.Event) -> None:
    """Deliver until told to stop."""
    set_up_logs("bench")
    set_up_tracing("bench", None)
    tune_garbage_collection()  # as every service does
    connection = BenchConnection.model_validate(
        {
            "id": task.name,
            "vendor": "bench",
            "role": "target",
            "account": "bench",
            "environment": "sandbox",
            "base_url": task.url or "http://127.0.0.1:9",
            "start": "beginning",
            "secrets": {"access_token": {"env": "TILLSTREAM_BENCH_TOKEN"}},
            "limits": {"concurrency": CONCURRENCY},
            "settings": {"calls": task.url is not None},
        }
    )
    pool = await open_pool(task.postgres, size=10, name="bench")  # as a sink with one connection has it
    writer = Writer(task.kafka_settings)
    engine = Engine(connection, read_settings(), pool, writer)
    progress.finished = lambda: engine.progress.finished
    try:
        await engine.run(stopping)
    finally:
        await writer.stop()
        await pool.close()
