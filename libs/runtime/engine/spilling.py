"""An outage longer than Kafka keeps records: what would be deleted unread is moved to rows of the ledger in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition

from libs.runtime.engine.lanes import Owned

# Below this share of its retention a record that cannot be delivered yet is kept as a row.
SPILL_BELOW = 0.25


async def note_what_must_spill(
    consumer: Any, partitions: Sequence[Owned], retention_ms: Mapping[str, int], now_ms: int
) -> bool:
    """Set `spill_before` of each partition; True when records must be moved.

    `retention_ms`: how long each topic keeps a record, negative for ever. A record is about to be deleted when less
    than a quarter of that is left.
    """
    oldest_safe = {
        TopicPartition(*owned.partition): now_ms - int((1 - SPILL_BELOW) * kept)
        for owned in partitions
        if (kept := retention_ms.get(owned.partition.topic, -1)) >= 0
    }
    if not oldest_safe:
        return False
    first_safe = await consumer.offsets_for_times(oldest_safe)
    all_old = [tp for tp, found in first_safe.items() if found is None]
    ends = await consumer.end_offsets(all_old) if all_old else {}
    for owned in partitions:
        tp = TopicPartition(*owned.partition)
        if tp in oldest_safe:
            found = first_safe.get(tp)
            owned.spill_before = ends.get(tp, 0) if found is None else found.offset
    return any(owned.spill_before > (owned.tracker.next_offset or 0) for owned in partitions)
