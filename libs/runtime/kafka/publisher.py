"""How intake writes: one record a call, confirmed by all in-sync replicas, and no long waits while Kafka is away."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from libs.runtime.kafka.away import CLIENT_FAILS
from libs.runtime.kafka.writer import KafkaAway, is_broken
from libs.runtime.settings import KafkaSettings

log = structlog.get_logger()

# Bytes of the largest record that the topics take (`max.message.bytes`).
LARGEST_RECORD = 4 * 1024 * 1024
# Records of one partition travel together up to so many bytes; the default (16 KB) is one or two webhooks.
_BATCH_BYTES = 256 * 1024

# So many records of a topic in a row unconfirmed, and it is left alone but for a trial every so many seconds.
_MISSES = 3
_TRIAL_SECONDS = 5.0


class RecordRefused(KafkaAway):
    """Kafka is there and will not take this record as it is; another one may be taken."""


@dataclass
class _Silence:
    """A topic that did not confirm: records in a row, and when the next one may try."""

    misses: int = 0
    next_trial: float = 0.0


class Publisher:
    """Publishes records; starts without Kafka, connects when it is there, and anew after a fatal error."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._producer: AIOKafkaProducer | None = None
        self._connected, self._broken = asyncio.Event(), asyncio.Event()
        self._silent: dict[str, _Silence] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin connecting; returns at once."""
        self._task = asyncio.create_task(self._stay_connected())

    async def _stay_connected(self) -> None:
        while True:
            self._producer = await self._connect()
            self._connected.set()
            await self._broken.wait()
            log.warning("the producer is broken and made anew")
            self._connected.clear()
            self._broken.clear()
            await self._close()

    async def _connect(self) -> AIOKafkaProducer:
        pause = 0.2
        while True:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._kafka.bootstrap,
                acks="all",
                enable_idempotence=True,
                linger_ms=2,
                request_timeout_ms=10_000,
                max_request_size=LARGEST_RECORD,
                max_batch_size=_BATCH_BYTES,
                **self._kafka.security,
            )
            try:
                await producer.start()
            except CLIENT_FAILS as error:
                log.warning("kafka is away", error=type(error).__name__)
                with contextlib.suppress(*CLIENT_FAILS):
                    await producer.stop()
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5)
            except asyncio.CancelledError:
                await producer.stop()
                raise
            else:
                return producer

    async def stop(self) -> None:
        """Flush and close, within five seconds. What is unconfirmed then was not acknowledged to anybody."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=1)
        await self._close()

    async def _close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                async with asyncio.timeout(5):
                    await producer.stop()
            except CLIENT_FAILS as error:
                log.warning("producer did not close in time", error=type(error).__name__)

    def worth_trying(self, topic: str) -> bool:
        """Whether a record for the topic may be confirmed soon. Of a silent topic only one caller now and then hears
        yes: its record is the trial, and everybody else need not wait for what will not come."""
        silence = self._silent.get(topic)
        if silence is None or silence.misses < _MISSES:
            return True
        now = time.monotonic()
        if now < silence.next_trial:
            return False
        silence.next_trial = now + _TRIAL_SECONDS
        return True

    async def publish(self, topic: str, key: bytes, value: bytes, headers: Mapping[str, str], *, within: float) -> None:
        """Write one record and wait for its confirmation; raises KafkaAway after `within` seconds, RecordRefused.

        A record that was not confirmed in time may still arrive: copies are recognised by id.
        """
        encoded = [(name, text.encode()) for name, text in headers.items()]
        try:
            async with asyncio.timeout(within):
                if self._producer is None:
                    await self._connected.wait()
                    assert self._producer is not None
                sent = await self._producer.send(topic, value, key=key, headers=encoded)
                # Once nobody waits for it any more, its failure is not for the log.
                sent.add_done_callback(_looked_at)
                # shield: giving up waiting must not cancel what the producer still has in hand
                await asyncio.shield(sent)
        except MessageSizeTooLargeError:
            raise RecordRefused(f"{topic}: a record of {len(value)} bytes is too large") from None
        except CLIENT_FAILS as error:
            if is_broken(error):
                self._broken.set()
            self._missed(topic)
            raise KafkaAway(f"{topic}: {type(error).__name__}") from None
        if self._silent and self._silent.pop(topic, _Silence()).misses >= _MISSES:
            log.info("kafka confirms again", topic=topic)

    def _missed(self, topic: str) -> None:
        silence = self._silent.setdefault(topic, _Silence())
        silence.misses += 1
        silence.next_trial = time.monotonic() + _TRIAL_SECONDS
        if silence.misses == _MISSES:
            log.warning("kafka does not confirm; webhooks go to the spool at once", topic=topic)


def _looked_at(sent: asyncio.Future[Any]) -> None:
    if not sent.cancelled():
        sent.exception()
