"""One call at a time for one object at the target, within this process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence


class TargetLocks:
    """The locks of a connection's target keys, each there only while somebody holds it or waits for it."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    def hold(self, keys: Sequence[str]) -> Held:
        """Hold the locks of several keys; everybody takes them in one order, so that nobody waits in a circle."""
        return Held(self, keys if len(keys) == 1 else sorted(set(keys)))

    async def take(self, key: str) -> None:
        """Wait for one lock; to be followed by `let_go`."""
        lock, users = self._locks.get(key) or (asyncio.Lock(), 0)
        self._locks[key] = (lock, users + 1)
        try:
            await lock.acquire()
        except BaseException:
            self._forget(key)
            raise

    def let_go(self, key: str) -> None:
        """Hand it to the next who waits."""
        self._locks[key][0].release()
        self._forget(key)

    def _forget(self, key: str) -> None:
        lock, users = self._locks[key]
        if users == 1:
            del self._locks[key]
        else:
            self._locks[key] = (lock, users - 1)


class Held:
    """Several locks, from entering to leaving."""

    __slots__ = ("_keys", "_locks", "_taken")

    def __init__(self, locks: TargetLocks, keys: Sequence[str]) -> None:
        self._locks, self._keys, self._taken = locks, keys, 0

    async def __aenter__(self) -> None:
        try:
            for key in self._keys:
                await self._locks.take(key)
                self._taken += 1
        except BaseException:
            # Given up while waiting: what was taken so far is let go, or nobody would ever have it again.
            self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        while self._taken:
            self._taken -= 1
            self._locks.let_go(self._keys[self._taken])
