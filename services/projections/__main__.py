"""`python -m services.projections books|journey`."""

from __future__ import annotations

import asyncio
import sys

from libs.runtime.configuration.model import Configuration
from libs.runtime.database.pool import open_pool
from libs.runtime.kafka.reader import BatchReader, Handle
from libs.runtime.kafka.topics import DLQ_INGEST, DLQ_TRANSFORM, RETAIL_TOPICS
from libs.runtime.kafka.writer import Writer
from libs.runtime.service import run_service, run_together
from libs.runtime.settings import ProcessSettings
from libs.runtime.telemetry.health import Health
from libs.runtime.telemetry.progress import Progress
from services.projections.books.bookkeeping import Bookkeeper
from services.projections.books.closing import Closer
from services.projections.journey.dead_letters import DeadLetterIndex
from services.projections.journey.index import JourneyIndex


def _reader(
    settings: ProcessSettings, name: str, topics: tuple[str, ...], handle: Handle
) -> tuple[BatchReader, Progress]:
    progress = Progress(name)
    reader = BatchReader(settings.kafka, group=f"tillstream.{name}", topics=topics, handle=handle, progress=progress)
    return reader, progress


async def books(settings: ProcessSettings, configuration: Configuration, stopping: asyncio.Event) -> None:
    """Keep the books until told to stop."""
    pool = await open_pool(settings.postgres, size=4, name="projections-books")
    writer = Writer(settings.kafka)
    closer = Closer(configuration.books, pool, writer)
    reader, progress = _reader(settings, "books", ("retail.sales",), Bookkeeper(configuration, pool).enter)
    health = Health(settings.metrics_port, [progress, closer.progress])
    await health.start()

    async def end() -> None:
        await stopping.wait()
        reader.stop()

    try:
        await run_together(stopping, reader.run(), closer.run(stopping), end())
    finally:
        await writer.stop()
        await health.stop()
        await pool.close()


async def journey(settings: ProcessSettings, _configuration: Configuration, stopping: asyncio.Event) -> None:
    """Keep the indexes until told to stop."""
    pool = await open_pool(settings.postgres, size=4, name="projections-journey")
    index, index_progress = _reader(settings, "journey", RETAIL_TOPICS, JourneyIndex(pool).note)
    letters, letters_progress = _reader(
        settings, "dead-letters", (DLQ_INGEST, DLQ_TRANSFORM), DeadLetterIndex(pool).note
    )
    health = Health(settings.metrics_port, [index_progress, letters_progress])
    await health.start()

    async def end() -> None:
        await stopping.wait()
        index.stop()
        letters.stop()

    try:
        await run_together(stopping, index.run(), letters.run(), end())
    finally:
        await health.stop()
        await pool.close()


def main() -> None:
    """Start the projection that is named."""
    parts = {"books": books, "journey": journey}
    if len(sys.argv) != 2 or sys.argv[1] not in parts:
        sys.stderr.write(f"usage: python -m services.projections {'|'.join(parts)}\n")
        raise SystemExit(2)
    run_service(f"projections-{sys.argv[1]}", parts[sys.argv[1]])


if __name__ == "__main__":
    main()
