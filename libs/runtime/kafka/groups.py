"""Who reads: the members of a consumer group."""

from __future__ import annotations

from aiokafka.admin import AIOKafkaAdminClient

from libs.runtime.settings import KafkaSettings


async def members(kafka: KafkaSettings, group: str) -> int:
    """How many processes are in the group now; one that was killed counts until its session times out."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap, **kafka.security)
    await admin.start()
    try:
        (answer,) = await admin.describe_consumer_groups([group])
    finally:
        await admin.close()
    return sum(len(described[5]) for described in answer.groups)
