"""The transform service as it is."""

from __future__ import annotations

import asyncio

from bench.contestants.task import Progress, Task
from libs.runtime.configuration.reading import read_configuration
from libs.runtime.settings import read_settings
from libs.runtime.telemetry.logs import set_up_logs
from libs.runtime.telemetry.metrics import RECORDS
from libs.runtime.telemetry.tracing import set_up_tracing
from services.transform.__main__ import main


async def run(task: Task, progress: Progress, stopping: asyncio.Event) -> None:
    """Transform until told to stop."""
    set_up_logs("bench")
    set_up_tracing("bench", None)
    counter = RECORDS.labels("transform")

    def finished() -> int:
        (metric,) = counter.collect()
        return int(metric.samples[0].value)

    progress.finished = finished
    settings = read_settings()
    await main(settings, read_configuration(settings.config), stopping)
