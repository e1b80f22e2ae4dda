"""Those who wait for leave to call: the urgent first, and nobody for ever."""

from __future__ import annotations

import asyncio
from collections import deque
from enum import IntEnum

# Every so many, whoever has waited longest goes, however urgent the others are.
_OLDEST_EVERY = 8


class Urgency(IntEnum):
    """What goes first: what happens now, what waits for another try, what is told again."""

    LIVE = 0
    REDRIVE = 1
    REPLAY = 2


class Line:
    """The waiting line of one process."""

    def __init__(self) -> None:
        self._waiting: tuple[deque[tuple[int, asyncio.Future[None]]], ...] = tuple(deque() for _ in Urgency)
        self._length = 0
        self._came = 0
        self._served = 0

    def __len__(self) -> int:
        return self._length

    @property
    def urgency(self) -> Urgency:
        """That of the most urgent who waits; the least of all when nobody does."""
        return next((urgency for urgency in Urgency if self._first(urgency)), Urgency.REPLAY)

    def join(self, urgency: Urgency) -> asyncio.Future[None]:
        """Wait for this future; whoever stops waiting calls `left`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._came += 1
        self._waiting[urgency].append((self._came, future))
        self._length += 1
        return future

    def left(self) -> None:
        """Somebody who was not served waits no more; the future is cancelled."""
        self._length -= 1

    def serve(self) -> bool:
        """Let the next one go. False: all who seem to wait have just been cancelled, and have not left yet."""
        firsts = [(urgency, first) for urgency in Urgency if (first := self._first(urgency))]
        if not firsts:
            return False
        self._served += 1
        oldest = self._served % _OLDEST_EVERY == 0
        urgency, (_, future) = min(firsts, key=lambda each: each[1][0]) if oldest else firsts[0]
        self._waiting[urgency].popleft()
        self._length -= 1
        future.set_result(None)
        return True

    def fail(self, error: Exception) -> None:
        """Tell everybody who waits that it is no use."""
        for waiting in self._waiting:
            for _, future in waiting:
                if not future.done():
                    future.set_exception(error)
            waiting.clear()
        self._length = 0

    def _first(self, urgency: Urgency) -> tuple[int, asyncio.Future[None]] | None:
        waiting = self._waiting[urgency]
        while waiting and waiting[0][1].done():  # cancelled, and counted as gone by `left`
            waiting.popleft()
        return waiting[0] if waiting else None
