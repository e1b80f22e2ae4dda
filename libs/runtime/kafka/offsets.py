"""Where a group and a topic stand, for status and accounting."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from libs.runtime.kafka.records import Partition, Record
from libs.runtime.settings import KafkaSettings


async def read_whole(
    kafka: KafkaSettings, topics: Sequence[str], since: Mapping[Partition, int] | None = None
) -> AsyncIterator[Record]:
    """Every record now in the topics, each partition in order, outside any group; ends at the end as of the start.

    `since`: the first offset of interest by partition; left out: the beginning.
    """
    since = since or {}
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap, enable_auto_commit=False, fetch_max_wait_ms=50, **kafka.security
    )
    try:
        await consumer.start()
        parts = await _partitions(consumer, topics)
        consumer.assign(parts)
        ends = await consumer.end_offsets(parts)
        begins = {
            tp: max(offset, since.get(Partition(tp.topic, tp.partition), 0))
            for tp, offset in (await consumer.beginning_offsets(parts)).items()
        }
        open_parts = {tp for tp in parts if ends[tp] > begins[tp]}
        for tp in parts:
            consumer.seek(tp, min(begins[tp], ends[tp]))
        while open_parts:
            for tp, messages in (await consumer.getmany(timeout_ms=500, max_records=2000)).items():
                for m in messages:
                    if m.offset < ends[tp]:
                        yield Record(
                            Partition(tp.topic, tp.partition), m.offset, m.key, m.value, tuple(m.headers), m.timestamp
                        )
            for tp in tuple(open_parts):
                if await consumer.position(tp) >= ends[tp]:
                    open_parts.discard(tp)
    finally:
        await consumer.stop()


async def _partitions(consumer: AIOKafkaConsumer, topics: Sequence[str]) -> list[TopicPartition]:
    return [
        TopicPartition(t, p)
        for t in topics
        for p in sorted(consumer.partitions_for_topic(t) or await _known(consumer, t))
    ]


async def _known(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    await consumer._client.force_metadata_update()
    known: set[int] = consumer.partitions_for_topic(topic) or set()
    return known


@dataclass(frozen=True)
class Standing:
    """Offsets of one partition: its oldest record, the group's next one (None: nothing committed yet), its end."""

    begin: int
    committed: int | None
    end: int

    @property
    def next(self) -> int:
        """The first record that the group has still to finish."""
        return self.begin if self.committed is None else max(self.begin, self.committed)

    @property
    def waiting(self) -> int:
        """Records that the group has not finished."""
        return max(0, self.end - self.next)


async def standing(kafka: KafkaSettings, group: str, topics: Sequence[str]) -> dict[Partition, Standing]:
    """Where the group stands in every partition of the topics; topics that do not exist have none."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap, group_id=group, enable_auto_commit=False, **kafka.security
    )
    try:
        await consumer.start()
        parts = await _partitions(consumer, topics)
        consumer.assign(parts)
        # Committed first: what is committed then lies before the end that is told with it.
        committed = {tp: await consumer.committed(tp) for tp in parts}
        begins = await consumer.beginning_offsets(parts)
        ends = await consumer.end_offsets(parts)
        return {Partition(tp.topic, tp.partition): Standing(begins[tp], committed[tp], ends[tp]) for tp in parts}
    finally:
        await consumer.stop()


async def waiting(kafka: KafkaSettings, group: str, topics: Sequence[str]) -> dict[Partition, int]:
    """Records per partition that the group has not committed yet."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap, group_id=group, enable_auto_commit=False, **kafka.security
    )
    await consumer.start()
    try:
        parts = await _partitions(consumer, topics)
        consumer.assign(parts)
        ends = await consumer.end_offsets(parts)
        begins = await consumer.beginning_offsets(parts)
        lags = {}
        for tp in parts:
            committed = await consumer.committed(tp)
            lags[Partition(tp.topic, tp.partition)] = max(
                0, ends[tp] - (begins[tp] if committed is None else committed)
            )
        return lags
    finally:
        await consumer.stop()
