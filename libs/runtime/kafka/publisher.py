"""FastStream's broker as the writing shell of intake: one record a call, confirmed by all in-sync replicas."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import structlog
from aiokafka.errors import KafkaError
from faststream.kafka import KafkaBroker

from libs.runtime.kafka.writer import FATAL, KafkaAway
from libs.runtime.settings import KafkaSettings

log = structlog.get_logger()


class Publisher:
    """Publishes records; starts without Kafka and connects when it is there.

    `publish_batch` is not offered: it sends a batch of keyed records to one random partition.
    """

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self.broker = KafkaBroker(
            # FastStream takes a string for one address, also when it names several.
            kafka.bootstrap.split(","),
            acks="all",
            enable_idempotence=True,
            linger_ms=2,
            request_timeout_ms=10_000,
            max_request_size=4 * 1024 * 1024,
            logger=None,
            graceful_timeout=5,
        )
        self._connected = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin connecting; returns at once."""
        self._task = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        pause = 0.2
        while True:
            try:
                await self.broker.start()
            except (KafkaError, OSError) as error:
                log.warning("kafka is away", error=type(error).__name__)
                with contextlib.suppress(KafkaError, OSError):
                    await self.broker.stop()
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5)
            else:
                self._connected.set()
                return

    def _renew(self) -> None:
        """A producer whose sequence is broken stays so for ever: end it, and connect with a new one."""
        if self._connected.is_set():
            self._connected.clear()
            self._task = asyncio.create_task(self._connect_anew())

    async def _connect_anew(self) -> None:
        await self._close()
        await self._connect()

    async def _close(self) -> None:
        with contextlib.suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(5):
                await self.broker.stop()

    async def stop(self) -> None:
        """Flush and close, within five seconds."""
        if self._task is not None:
            self._task.cancel()
        await self._close()

    @property
    def connected(self) -> bool:
        """Whether a broker was reached since start."""
        return self._connected.is_set()

    async def publish(self, topic: str, key: bytes, value: bytes, headers: dict[str, str], *, within: float) -> None:
        """Write one record and wait for its confirmation; raises KafkaAway after `within` seconds.

        A record that was not confirmed in time may still arrive: copies are recognised by id.
        """
        try:
            async with asyncio.timeout(within):
                await self._connected.wait()
                sent = await self.broker.publish(value, topic, key=key, headers=headers, no_confirm=True)
                # Once nobody waits for it any more, its failure is not for the log.
                sent.add_done_callback(_looked_at)
                await asyncio.shield(sent)
        except FATAL as error:
            self._renew()
            raise KafkaAway(f"{topic}: {type(error).__name__}") from None
        except (TimeoutError, KafkaError, OSError) as error:
            raise KafkaAway(f"{topic}: {type(error).__name__}") from None


def _looked_at(sent: asyncio.Future[Any]) -> None:
    if not sent.cancelled():
        sent.exception()
