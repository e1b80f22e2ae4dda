"""What a client of Kafka raises, and how it ends, while brokers come and go."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from aiokafka.errors import KafkaError

log = structlog.get_logger()

# Callers tell people, or wait and try again.
KAFKA_AWAY: tuple[type[BaseException], ...] = (KafkaError, OSError)
# The same for whoever lives long with one client: RuntimeError is uvloop's, when aiokafka writes to a connection that
# was closed a moment before.
CLIENT_FAILS: tuple[type[BaseException], ...] = (*KAFKA_AWAY, RuntimeError)

_PATIENCE = 10.0  # seconds


async def close_consumer(consumer: Any) -> None:
    """Leave the group and close, within ten seconds. Whatever goes wrong with that is no reason not to go on."""
    closing = asyncio.create_task(consumer.stop())
    await asyncio.wait([closing], timeout=_PATIENCE)
    if not closing.done():
        log.warning("consumer did not close in time")
        closing.add_done_callback(_looked_at)
    elif closing.cancelled() or closing.exception() is not None:
        log.warning("consumer did not close properly")


def _looked_at(closing: asyncio.Task[None]) -> None:
    if not closing.cancelled():
        closing.exception()
