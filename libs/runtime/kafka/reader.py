"""Reading a group's topics in batches: at least once, committed by explicit offsets only after the work is done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import IllegalStateError

from libs.runtime.kafka.away import CLIENT_FAILS, close_consumer
from libs.runtime.kafka.hearing import LOOK_EVERY, Hearing
from libs.runtime.kafka.records import Partition, Record
from libs.runtime.settings import KafkaSettings
from libs.runtime.telemetry.progress import Progress

log = structlog.get_logger()

Handle = Callable[[Sequence[Record]], Awaitable[None]]


def open_consumer(kafka: KafkaSettings, group: str) -> AIOKafkaConsumer:
    """A consumer that never commits by itself and starts at the beginning."""
    return AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=kafka.session_timeout_ms,
        heartbeat_interval_ms=max(300, kafka.session_timeout_ms // 15),
        rebalance_timeout_ms=max(kafka.session_timeout_ms, 60_000),
        max_poll_interval_ms=300_000,
        partition_assignment_strategy=(StickyPartitionAssignor,),
        fetch_max_wait_ms=500,  # an answer comes at once when there is anything
        **kafka.security,
    )


class BatchReader:
    """Reads batches for `handle` and commits what it finished.

    `handle` may be called again with records it saw before (a crash, a rebalance), so it must recognise them. When it
    raises, nothing is committed and the same records come again after a pause: a batch is never skipped.
    """

    def __init__(
        self, kafka: KafkaSettings, *, group: str, topics: Sequence[str], handle: Handle, progress: Progress,
        max_records: int = 500,
    ) -> None:  # fmt: skip
        self._kafka, self._group, self._topics, self._handle = kafka, group, tuple(topics), handle
        self._progress, self._max_records = progress, max_records
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End after the batch in hand."""
        self._stopping.set()

    async def run(self) -> None:
        """Read until stopped. A broker that is away is waited for."""
        pause = 0.2
        while not self._stopping.is_set():
            self._progress.alive()  # a broker that is away does not make this process dead
            consumer = open_consumer(self._kafka, self._group)
            try:
                await consumer.start()
                consumer.subscribe(self._topics)
                pause = 0.2
                await self._read(consumer)
            except CLIENT_FAILS as error:
                log.warning("kafka is away", group=self._group, error=type(error).__name__)
                await self._wait(pause)
                pause = min(pause * 2, 5)
            finally:
                await close_consumer(consumer)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        failures = 0
        hearing, looked_at = Hearing(), time.monotonic()
        while not self._stopping.is_set():
            batch = await consumer.getmany(timeout_ms=200, max_records=self._max_records)
            self._progress.alive()
            if not batch:
                if time.monotonic() - looked_at >= LOOK_EVERY:
                    looked_at = time.monotonic()
                    if await hearing.gone(consumer, list(consumer.assignment())):
                        log.error("records wait and none comes: joining the group anew", group=self._group)
                        return
                continue
            hearing.heard()
            records = [
                Record(Partition(tp.topic, tp.partition), m.offset, m.key, m.value, tuple(m.headers), m.timestamp)
                for tp, messages in batch.items()
                for m in messages
            ]
            started = time.perf_counter()
            try:
                await self._handle(records)
            except Exception as error:
                failures += 1
                log.error(
                    "batch failed and will be read again", group=self._group, error=type(error).__name__, exc_info=error
                )
                for tp, messages in batch.items():
                    try:
                        consumer.seek(tp, messages[0].offset)
                    except IllegalStateError:
                        log.info("partition moved away", topic=tp.topic, partition=tp.partition)
                await self._wait(min(0.2 * 2**failures, 10))
                continue
            failures = 0
            await self._commit(consumer, {tp: messages[-1].offset + 1 for tp, messages in batch.items()})
            self._progress.done(len(records), time.perf_counter() - started)

    async def _commit(self, consumer: AIOKafkaConsumer, offsets: dict[TopicPartition, int]) -> None:
        mine = {tp: offset for tp, offset in offsets.items() if tp in consumer.assignment()}
        try:
            async with asyncio.timeout(10):
                if mine:
                    await consumer.commit(mine)
        except (IllegalStateError, *CLIENT_FAILS) as error:
            # A rebalance is under way: the new owner reads these again, and recognises them.
            log.info("commit not taken", group=self._group, error=type(error).__name__)
