"""How fast a connection may be called: several windows at once, calls at a time, and pauses the vendor asks for."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.connectors.contract.manifest import Limits


class Limiter:
    """Never more calls in any window than allowed, whatever the moment at which the window is laid.

    It counts in this process: each replica of a sink gets `share` of the windows. A call counts until a window's length
    after its end: when within that time it reached the vendor, who counts too, is not known here.
    """

    def __init__(self, limits: Limits, *, share: float = 1.0) -> None:
        self._windows = [(max(1, int(w.calls * share)), w.seconds, deque[float]()) for w in limits.windows]
        self._slots = asyncio.Semaphore(limits.concurrency)
        self._turn = asyncio.Lock()
        self._under_way = 0
        self._ended = asyncio.Event()
        self._not_before = 0.0

    def pause(self, seconds: float) -> None:
        """No call for that long: the vendor said so."""
        self._not_before = max(self._not_before, time.monotonic() + seconds)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Leave to make one call now."""
        async with self._slots:
            async with self._turn:
                await self._wait()
                self._under_way += 1
            try:
                yield
            finally:
                self._under_way -= 1
                now = time.monotonic()
                for _, _, made in self._windows:
                    made.append(now)
                self._ended.set()

    async def _wait(self) -> None:
        while True:
            now = time.monotonic()
            delay = self._not_before - now
            for calls, seconds, made in self._windows:
                while made and made[0] <= now - seconds:
                    made.popleft()
                if len(made) + self._under_way >= calls:
                    # With none ended the next to end is waited for.
                    delay = max(delay, made[0] + seconds - now if made else seconds)
            if delay <= 0:
                return
            self._ended.clear()
            try:
                async with asyncio.timeout(delay + 0.001):
                    await self._ended.wait()
            except TimeoutError:
                continue
