"""Kafka deleting records, as it does when their time is over."""

from __future__ import annotations

from collections.abc import Mapping

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from libs.runtime.kafka.records import Partition
from libs.runtime.settings import KafkaSettings


async def expire(kafka: KafkaSettings, before: Mapping[Partition, int]) -> None:
    """Delete what stands before these offsets; -1: everything there is."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap, **kafka.security)
    await admin.start()
    try:
        await admin.delete_records(
            {TopicPartition(p.topic, p.number): RecordsToDelete(before_offset=offset) for p, offset in before.items()}
        )
    finally:
        await admin.close()


async def expire_all(kafka: KafkaSettings, *topics: str, partitions: int = 4) -> None:
    """Delete everything that the topics hold now."""
    await expire(kafka, {Partition(topic, number): -1 for topic in topics for number in range(partitions)})
