"""Many small waits made into few big writes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Hands items over together: what gathers while the batch before is under way, at most `size` of them.

    `flush(items)` gives one result per item, in order. With `linger` a batch waits for that many seconds after its
    first item unless it is full: for flushes that cost something each, such as a call to a vendor.
    """

    def __init__(
        self, flush: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]], *, size: int, linger: float = 0.0
    ) -> None:
        self._flush, self._size, self._linger = flush, size, linger
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._arrived = asyncio.Event()
        self._full = asyncio.Event()

    async def submit(self, item: Item) -> Result:
        """The item's result, once its batch was flushed; raises what the flush raised."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._arrived.set()
        if len(self._waiting) >= self._size:
            self._full.set()
        return await future

    async def run(self) -> None:
        """Flush until cancelled."""
        while True:
            await self._arrived.wait()
            if len(self._waiting) < self._size and self._linger:
                try:
                    async with asyncio.timeout(self._linger):
                        await self._full.wait()
                except TimeoutError:
                    pass
            batch, self._waiting = self._waiting[: self._size], self._waiting[self._size :]
            self._full.clear()
            if len(self._waiting) >= self._size:
                self._full.set()
            if not self._waiting:
                self._arrived.clear()
            if not batch:
                continue  # another loop was faster
            try:
                results = await self._flush([item for item, _ in batch])
            except asyncio.CancelledError:
                for _, future in batch:
                    future.cancel()
                raise
            except Exception as error:  # noqa: BLE001 - every waiter learns of it
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)
