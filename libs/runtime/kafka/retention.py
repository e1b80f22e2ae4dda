"""How long Kafka really keeps a topic's records: operators may have changed it since the topic was made."""

from __future__ import annotations

from collections.abc import Iterable

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from libs.runtime.settings import KafkaSettings


async def retention_ms(kafka: KafkaSettings, topics: Iterable[str]) -> dict[str, int]:
    """Milliseconds by topic, -1: for ever; topics that do not exist are left out. Raises what Kafka being away does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap, **kafka.security)
    await admin.start()
    try:
        wanted = [ConfigResource(ConfigResourceType.TOPIC, topic, configs={"retention.ms": None}) for topic in topics]
        answers = await admin.describe_configs(wanted) if wanted else []
    finally:
        await admin.close()
    return {
        name: int(entry[1])
        for answer in answers
        for error, _, _, name, entries in answer.resources
        if not error
        for entry in entries
        if entry[0] == "retention.ms"
    }
