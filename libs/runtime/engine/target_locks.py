"""One call at a time for one object at the target, within this process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack


class TargetLocks:
    """The locks of a connection's target keys, each there only while somebody holds it or waits for it."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    def hold(self, keys: Sequence[str]) -> AsyncExitStack:
        """Hold the locks of several keys; everybody takes them in one order, so that nobody waits in a circle."""
        return _Held(self._locks, sorted(set(keys)))


class _Held(AsyncExitStack):
    def __init__(self, locks: dict[str, tuple[asyncio.Lock, int]], keys: Sequence[str]) -> None:
        super().__init__()
        self._all, self._keys = locks, keys

    async def __aenter__(self) -> _Held:
        try:
            for key in self._keys:
                lock, users = self._all.get(key, (asyncio.Lock(), 0))
                self._all[key] = (lock, users + 1)
                self.callback(self._forget, key)
                await self.enter_async_context(lock)
        except BaseException:
            # Given up while waiting: what was taken so far is let go, or nobody would ever have it again.
            await self.aclose()
            raise
        return self

    def _forget(self, key: str) -> None:
        lock, users = self._all[key]
        if users == 1:
            del self._all[key]
        else:
            self._all[key] = (lock, users - 1)
