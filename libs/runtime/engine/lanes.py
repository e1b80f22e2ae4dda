"""A partition in this process's hands, and the events in it: one lane per order key, one event of a key at a time.

A record is admitted, waits in its lane, becomes *ready* when it is the first of its lane, and is finished. No I/O here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from libs.runtime.engine.ledger import Row
from libs.runtime.engine.offsets import OffsetTracker
from libs.runtime.kafka.records import Partition, readable

# Admission caps per partition; reading resumes at half of them.
MAX_RECORDS = 2_000
MAX_BYTES = 32 * 1024 * 1024


@dataclass(eq=False, slots=True)
class Item:
    """An event in hand: a record from Kafka, or a row of the ledger whose time has come (`row` set)."""

    owned: Owned
    offset: int
    order_key: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    row: Row | None = None
    _text: dict[str, str] | None = None

    @property
    def text(self) -> dict[str, str]:
        """The headers as text."""
        if self._text is None:
            self._text = readable(self.headers)
        return self._text

    @property
    def partition(self) -> Partition:
        """Where it came from."""
        return self.owned.partition

    @property
    def epoch(self) -> int:
        """Under which ownership it is worked on."""
        return self.owned.epoch


@dataclass(eq=False)
class Owned:
    """A partition that this process owns, under an epoch.

    `locked`: order keys that wait behind something parked or dead. `redriving`: keys of which a row is in hand.
    `read_to`: the offset after the last record that was read. `spill_before`: records before this offset would be
    deleted by Kafka before the target is back; they become rows. `refused`: dead letters that their topic does not
    take now; until it does, nothing more is read.
    """

    partition: Partition
    epoch: int
    locked: set[str] = field(default_factory=set)
    tracker: OffsetTracker = field(default_factory=OffsetTracker)
    redriving: set[str] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    committed: int | None = None
    held_back: bool = False
    lost: bool = False
    lost_at: float = 0.0  # monotonic seconds
    read_to: int = 0
    spill_before: int = 0
    refused: int = 0
    _lanes: dict[str, deque[Item]] = field(default_factory=dict)

    def enqueue(self, item: Item) -> bool:
        """Put it at the end of its lane; True when it is the first there, and so ready."""
        lane = self._lanes.get(item.order_key)
        if lane is None:
            self._lanes[item.order_key] = deque((item,))
            return True
        lane.append(item)
        return False

    def finish(self, item: Item) -> Item | None:
        """It is at rest: the next of its lane, which is ready now."""
        if item.row is None:
            self.tracker.finish(item.offset)
        lane = self._lanes[item.order_key]
        lane.popleft()
        if lane:
            return lane[0]
        del self._lanes[item.order_key]
        return None

    def behind(self, item: Item) -> Iterator[Item]:
        """Those that wait in its lane."""
        return islice(self._lanes[item.order_key], 1, None)

    def must_spill(self, item: Item) -> bool:
        """Whether its record is about to be deleted by Kafka while it cannot be delivered."""
        return item.row is None and item.offset < self.spill_before

    @property
    def full(self) -> bool:
        """Nothing more may be read until it is half empty."""
        return self.tracker.open_records >= MAX_RECORDS or self.tracker.bytes_open >= MAX_BYTES

    @property
    def half_empty(self) -> bool:
        """Reading may go on."""
        return self.tracker.open_records <= MAX_RECORDS // 2 and self.tracker.bytes_open <= MAX_BYTES // 2
