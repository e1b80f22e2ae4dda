"""A consumer can fall silent without an error (aiokafka issue 847): records wait, nothing stops them, none comes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from aiokafka import TopicPartition

# Between two looks, in seconds: long enough for a record that waits to have come.
LOOK_EVERY = 30.0
# Seconds for which a position is waited for; a partition without one has not been read at all.
_PATIENCE = 5.0
_UNKNOWN = -1


class Hearing:
    """What was left to be read at the last look, of a consumer from which nothing came since."""

    def __init__(self) -> None:
        self._behind: dict[TopicPartition, int] = {}

    def heard(self) -> None:
        """Something came, or could not come: what was seen before says nothing any more."""
        self._behind.clear()

    def held_back(self, partition: TopicPartition) -> None:
        """This one may not be read now."""
        self._behind.pop(partition, None)

    async def gone(self, consumer: Any, readable: Sequence[TopicPartition]) -> bool:
        """Look: whether one of these partitions still stands where it stood at the last look, and records wait there.

        Raises what Kafka raises when it is away.
        """
        ends = await consumer.end_offsets(readable) if readable else {}
        before, self._behind = self._behind, {}
        for partition, end in ends.items():
            position = _UNKNOWN
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE):
                    position = await consumer.position(partition)
            if position < end:
                self._behind[partition] = position
        return any(before.get(partition) == position for partition, position in self._behind.items())
