"""An outage longer than Kafka keeps records: what would be deleted unread is moved to rows of the ledger in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aiokafka import TopicPartition
from libs.runtime.engine.lanes import Owned

# Below this share of its retention a record that cannot be delivered yet is kept as a row.
SPILL_BELOW = 0.25


async def note_what_must_spill(
    consumer: Any, partitions: Sequence[Owned], retention_ms: Callable[[str], int], now_ms: int
) -> bool:
    """Set `spill_before` of each partition; True when records must be moved.

    `retention_ms(topic)`: how long the topic keeps a record. A record is about to be deleted when less than a quarter
    of that is left.
    """
    oldest_kept = {
        TopicPartition(*owned.partition): now_ms - int((1 - SPILL_BELOW) * retention_ms(owned.partition.topic))
        for owned in partitions
    }
    if not oldest_kept:
        return False
    first_young = await consumer.offsets_for_times(oldest_kept)
    all_old = [tp for tp, found in first_young.items() if found is None]
    ends = await consumer.end_offsets(all_old) if all_old else {}
    for owned in partitions:
        tp = TopicPartition(*owned.partition)
        found = first_young.get(tp)
        owned.spill_before = ends.get(tp, 0) if found is None else found.offset
    return any(owned.spill_before > (owned.tracker.next_offset or 0) for owned in partitions)
