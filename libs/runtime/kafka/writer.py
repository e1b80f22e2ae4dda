"""Writing to Kafka: `acks=all`, idempotent, one future per record, and a fresh producer after a fatal error."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, OutOfOrderSequenceNumber, ProducerClosed, ProducerFenced

from libs.runtime.settings import KafkaSettings

log = structlog.get_logger()

_FATAL = (OutOfOrderSequenceNumber, ProducerClosed, ProducerFenced)


class KafkaAway(Exception):
    """The record was not confirmed in time. It may still arrive: copies are recognised by id."""


class Writer:
    """A producer for keyed records. The partition comes from the key by murmur2, like every Kafka client's."""

    def __init__(self, kafka: KafkaSettings, *, linger_ms: int = 5) -> None:
        self._kafka = kafka
        self._linger_ms = linger_ms
        self._producer: AIOKafkaProducer | None = None
        self._renewing = asyncio.Lock()

    async def start(self) -> None:
        """Connect; raises KafkaError when no broker answers."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self._kafka.bootstrap,
            acks="all",
            enable_idempotence=True,
            linger_ms=self._linger_ms,
            max_request_size=4 * 1024 * 1024,
            request_timeout_ms=10_000,
            **self._kafka.security,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        self._producer = producer

    async def stop(self) -> None:
        """Flush and close, within five seconds."""
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                await asyncio.wait_for(producer.stop(), 5)
            except (TimeoutError, KafkaError):
                log.warning("producer did not close in time")

    async def _renew(self, broken: AIOKafkaProducer | None) -> None:
        async with self._renewing:
            if self._producer is broken:
                await self.stop()
                await self.start()

    async def send(
        self, topic: str, key: bytes, value: bytes | None, headers: list[tuple[str, bytes]], *, within: float = 30.0
    ) -> Any:
        """Write one record and wait until all in-sync replicas have it; raises KafkaAway after `within` seconds."""
        producer = self._producer
        try:
            async with asyncio.timeout(within):
                if producer is None:
                    await self._renew(None)
                    producer = self._producer
                    assert producer is not None
                sent = await producer.send(topic, value, key=key, headers=headers)
                # shield: giving up waiting must not cancel a record that other senders share a batch with
                return await asyncio.shield(sent)
        except TimeoutError:
            raise KafkaAway(f"{topic}: not confirmed within {within} s") from None
        except _FATAL as error:
            await self._renew(producer)
            raise KafkaAway(f"{topic}: {type(error).__name__}") from None
        except (KafkaError, OSError) as error:
            raise KafkaAway(f"{topic}: {type(error).__name__}") from None
