"""Who reads: the members of a consumer group."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    CoordinatorLoadInProgressError,
    GroupCoordinatorNotAvailableError,
    NotCoordinatorForGroupError,
    for_code,
)

from libs.runtime.settings import KafkaSettings

_NOT_YET = (CoordinatorLoadInProgressError, GroupCoordinatorNotAvailableError, NotCoordinatorForGroupError)
# On a broker that is new the first question makes its groups' topic, which takes a moment.
_PATIENCE = 30.0


async def members(kafka: KafkaSettings, group: str) -> int:
    """How many processes are in the group now; one that was killed counts until its session times out."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap, **kafka.security)
    await admin.start()
    try:
        async with asyncio.timeout(_PATIENCE):
            return await _asked(admin, group)
    finally:
        await admin.close()


async def _asked(admin: Any, group: str) -> int:
    while True:
        try:
            (answer,) = await admin.describe_consumer_groups([group])
            ((code, _, _, _, _, present, *_),) = answer.groups
            if code:
                raise for_code(code)
            return len(present)
        except _NOT_YET:
            await asyncio.sleep(0.2)
