"""The consumer of every bare loop: no automatic commit, from the beginning."""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer

from bench.contestants.task import TOPIC, Task


def bare_consumer(task: Task, *topics: str) -> AIOKafkaConsumer:
    """A consumer in a group of its own."""
    return AIOKafkaConsumer(
        *(topics or (TOPIC,)),
        bootstrap_servers=task.kafka,
        group_id=task.name,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=6000,
        fetch_max_wait_ms=100,
    )
