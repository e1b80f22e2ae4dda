"""`python -m services.transform`."""

from __future__ import annotations

import asyncio

from libs.runtime.configuration.model import Configuration
from libs.runtime.database.pool import open_pool
from libs.runtime.kafka.reader import BatchReader
from libs.runtime.kafka.topics import TRANSFORM_GROUP, raw
from libs.runtime.kafka.writer import Writer
from libs.runtime.service import run_service, run_together
from libs.runtime.settings import ProcessSettings
from libs.runtime.telemetry.health import Health
from libs.runtime.telemetry.progress import Progress
from services.transform.transforming import Transformer


async def main(settings: ProcessSettings, configuration: Configuration, stopping: asyncio.Event) -> None:
    """Transform until told to stop."""
    pool = await open_pool(settings.postgres, size=4, name="transform")
    writer = Writer(settings.kafka)
    progress = Progress("transform")
    reader = BatchReader(
        settings.kafka,
        group=TRANSFORM_GROUP,
        topics=sorted({raw(connection.vendor) for connection in configuration.sources()}),
        handle=Transformer(configuration, pool, writer).transform,
        progress=progress,
    )
    health = Health(settings.metrics_port, [progress])
    await health.start()

    async def end() -> None:
        await stopping.wait()
        reader.stop()

    try:
        await run_together(stopping, reader.run(), end())
    finally:
        await writer.stop()
        await health.stop()
        await pool.close()


if __name__ == "__main__":
    run_service("transform", main)
