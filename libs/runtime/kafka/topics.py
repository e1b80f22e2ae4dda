"""Every topic, defined once; rendered to the local stack, to compose and to `till topics`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from libs.canonical.kinds import KINDS
from libs.runtime.configuration.model import Configuration
from libs.runtime.settings import KafkaSettings

_DAY_MS = 24 * 60 * 60 * 1000

# Personal data leaves these topics by expiry.
PERSONAL_RETENTION_MS = 30 * _DAY_MS
# The ledger remembers money for 400 days and everything else for 90 (`retention`): a topic is kept no longer than its
# ledger rows, or events would be offered that nobody can account for any more.
FACT_RETENTION_MS = 400 * _DAY_MS
STATE_RETENTION_MS = 90 * _DAY_MS

RETAIL_TOPICS = tuple(dict.fromkeys(spec.topic for spec in KINDS.values()))
FETCHER_GROUP = "tillstream.fetcher"
TRANSFORM_GROUP = "tillstream.transform"

DLQ_INGEST = "dlq.ingest"
DLQ_TRANSFORM = "dlq.transform"


def inbox(vendor: str) -> str:
    """Notifications of a vendor as received, free of card data."""
    return f"inbox.{vendor}"


def raw(vendor: str) -> str:
    """Snapshots of a vendor's objects."""
    return f"raw.{vendor}"


def dead_letters(connection: str) -> str:
    """What could not be delivered to a connection."""
    return f"dlq.{connection}"


@dataclass(frozen=True)
class Topic:
    """One topic. `retention_ms`: how long records stay."""

    name: str
    partitions: int
    retention_ms: int


def topics(configuration: Configuration, partitions: int) -> tuple[Topic, ...]:
    """All topics that this configuration needs. A keyed topic's partitions are never changed afterwards."""
    # A sale names its buyer, so its topic must forget as soon as the customers' does.
    personal = [DLQ_INGEST, DLQ_TRANSFORM, "retail.customers", "retail.sales"]
    for vendor in sorted({connection.vendor for connection in configuration.sources()}):
        personal += [inbox(vendor), raw(vendor)]
    personal += [dead_letters(connection.id) for connection in configuration.targets()]
    states = ["retail.products", "retail.prices", "retail.stock"]
    lasting = [name for name in RETAIL_TOPICS if name not in (*personal, *states)]
    return tuple(
        Topic(name, partitions, retention)
        for names, retention in (
            (personal, PERSONAL_RETENTION_MS),
            (states, STATE_RETENTION_MS),
            (lasting, FACT_RETENTION_MS),
        )
        for name in names
    )


class TopicsDiffer(Exception):
    """A topic exists with another number of partitions; that cannot be changed without losing order."""


async def missing_topics(kafka: KafkaSettings, wanted: Iterable[Topic]) -> tuple[Topic, ...]:
    """Those topics that do not exist yet. Raises TopicsDiffer when one exists with other partitions."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap, **kafka.security)
    await admin.start()
    try:
        wanted = tuple(wanted)
        existing = set(await admin.list_topics())
        known = await admin.describe_topics([topic.name for topic in wanted if topic.name in existing])
    finally:
        await admin.close()
    partitions = {entry["topic"]: len(entry["partitions"]) for entry in known}
    for topic in wanted:
        if topic.name in partitions and partitions[topic.name] != topic.partitions:
            raise TopicsDiffer(
                f"topic {topic.name} has {partitions[topic.name]} partitions, not {topic.partitions}: "
                "set TILLSTREAM_PARTITIONS to what it has; growing a keyed topic would break order"
            )
    return tuple(topic for topic in wanted if topic.name not in partitions)


async def create_topics(kafka: KafkaSettings, wanted: Iterable[Topic]) -> tuple[str, ...]:
    """Create the topics that are missing; gives their names. Running it again does nothing."""
    missing = await missing_topics(kafka, wanted)
    if not missing:
        return ()
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap, **kafka.security)
    await admin.start()
    try:
        answer = await admin.create_topics(
            [
                NewTopic(
                    topic.name,
                    topic.partitions,
                    kafka.replication,
                    topic_configs={
                        "retention.ms": str(topic.retention_ms),
                        # Kafka deletes whole segments: records outlive their time by as much as one spans.
                        "segment.ms": str(topic.retention_ms // 30),
                        "min.insync.replicas": str(max(1, kafka.replication - 1)),
                        "max.message.bytes": str(4 * 1024 * 1024),
                    },
                )
                for topic in missing
            ]
        )
    finally:
        await admin.close()
    for name, code, *detail in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise RuntimeError(f"Kafka did not create topic {name}: {error.__name__} {detail[0] if detail else ''}")
    await asyncio.sleep(0.1)  # metadata of a new topic takes a moment to reach every broker thread
    return tuple(topic.name for topic in missing)
