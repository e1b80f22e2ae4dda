"""Writing to Kafka: `acks=all`, idempotent, one future per record, and a fresh producer after a fatal error."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, OutOfOrderSequenceNumber, ProducerClosed, ProducerFenced, UnknownProducerId

from libs.runtime.kafka.away import CLIENT_FAILS
from libs.runtime.settings import KafkaSettings

log = structlog.get_logger()

_FATAL = (OutOfOrderSequenceNumber, ProducerClosed, ProducerFenced, UnknownProducerId)


class KafkaAway(Exception):
    """The record was not confirmed in time. It may still arrive: copies are recognised by id."""


def is_broken(error: BaseException) -> bool:
    """Whether the producer that raised this confirms nothing any more, so that a new one is needed."""
    # The bare base class is how aiokafka tells, from then on for ever, that its sending task has died.
    return isinstance(error, _FATAL) or type(error) is KafkaError


class Outgoing(NamedTuple):
    """A record to write."""

    topic: str
    key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes]]


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
            except CLIENT_FAILS:
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
        return (await self.send_all([Outgoing(topic, key, value, headers)], within=within))[0]

    async def send_all(self, records: Sequence[Outgoing], *, within: float = 30.0) -> list[Any]:
        """Write records, those of one key in the order given, and wait for all; raises KafkaAway.

        They are handed over one by one and confirmed together. After a failure some may have been written.
        """
        producer = self._producer
        try:
            async with asyncio.timeout(within):
                if producer is None:
                    await self._renew(None)
                    producer = self._producer
                    assert producer is not None
                sent = [await producer.send(r.topic, r.value, key=r.key, headers=r.headers) for r in records]
                # shield: giving up waiting must not cancel a record that other senders share a batch with
                return list(await asyncio.shield(asyncio.gather(*sent)))
        except TimeoutError:
            raise KafkaAway(f"not confirmed within {within} s") from None
        except CLIENT_FAILS as error:
            if is_broken(error):
                with contextlib.suppress(*CLIENT_FAILS):  # the next record tries again
                    await self._renew(producer)
            raise KafkaAway(type(error).__name__) from None
