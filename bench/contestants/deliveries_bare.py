"""The bare loop for an HTTP target: a lane per order key, 32 calls at once, the ledger's rows in batches or none.

Settlements gather while the ones before are written, and no lane waits for its own. A batch is committed when all of
it is settled; no retry, no breaker, no limits, no fence.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

import aiohttp

from bench.contestants.bare_consumer import bare_consumer
from bench.contestants.bare_ledger import BareLedger, Read, open_bare_pool, read
from bench.contestants.target import body
from bench.contestants.task import CONCURRENCY, Progress, Task
from libs.runtime import exact_json

# As many as the engine takes in hand: at the end of each batch some of the 32 calls stand idle.
_AT_ONCE = 2000


class _Loop:
    def __init__(self, task: Task, progress: Progress, http: aiohttp.ClientSession, ledger: BareLedger | None) -> None:
        self._url, self._progress, self._http, self._ledger = f"{task.url}/refunds", progress, http, ledger
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._done: list[tuple[str, str | None]] = []
        self._more = asyncio.Event()

    async def batch(self, reads: list[Read]) -> None:
        """Deliver a batch."""
        if self._ledger:
            await self._ledger.claim(reads)
        lanes: dict[str, list[Read]] = defaultdict(list)
        for each in reads:
            lanes[each.event.order_key].append(each)
        settling = asyncio.create_task(self._settle(len(reads)))
        await asyncio.gather(settling, *(self._lane(lane) for lane in lanes.values()))

    async def _lane(self, lane: list[Read]) -> None:
        for each in lane:
            async with self._slots:
                remote_id = await self._post(each)
            self._done.append((each.event.id, remote_id))
            self._more.set()

    async def _settle(self, events: int) -> None:
        """Write down what is done while more is being done."""
        while events:
            await self._more.wait()
            self._more.clear()
            done, self._done = self._done, []
            if self._ledger and done:
                await self._ledger.settle(done)
            events -= len(done)
            self._progress.add(len(done))

    async def _post(self, each: Read) -> str:
        headers = {"Content-Type": "application/json", "Idempotency-Key": each.event.id}
        async with self._http.post(self._url, data=exact_json.encode(body(each.event)), headers=headers) as answer:
            answer.raise_for_status()
            content: Any = exact_json.decode(await answer.read())
            return str(content["id"])


async def run(task: Task, progress: Progress, stopping: asyncio.Event) -> None:
    """Read until told to stop."""
    pool = await open_bare_pool(task.postgres)
    consumer = bare_consumer(task)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONCURRENCY + 4)) as http:
        loop = _Loop(task, progress, http, BareLedger(pool, task.name) if task.ledger else None)
        await consumer.start()
        try:
            while not stopping.is_set():
                batch = await consumer.getmany(timeout_ms=100, max_records=_AT_ONCE)
                reads = [read(record) for records in batch.values() for record in records]
                if reads:
                    await loop.batch(reads)
                    await consumer.commit()
        finally:
            await consumer.stop()
            await pool.close()
