"""The bare loop for an HTTP target: a lane per order key, 32 calls at once, the ledger's rows in batches or none.

Reading, claiming, calling and settling overlap: claims are made one batch ahead, settlements gather while those before
are written, and no lane waits for its own. Offsets are committed up to the first event that is not settled. No retry,
no breaker, no limits, no fence.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any

import aiohttp
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.contestants.bare_consumer import bare_consumer
from bench.contestants.bare_ledger import BareLedger, Read, open_bare_pool, read
from bench.contestants.target import body
from bench.contestants.task import CONCURRENCY, Progress, Task
from libs.runtime import exact_json

# Enough for 32 lanes at any time; more would be work done before the clock starts.
_IN_HAND, _AT_A_TIME = 600, 200
_COMMIT_EVERY = 1.0  # seconds


class _Offsets:
    """Per partition what was read and is not settled, in order."""

    def __init__(self) -> None:
        self._open: dict[TopicPartition, deque[int]] = {}
        self._settled: set[tuple[str, int, int]] = set()
        self._next: dict[TopicPartition, int] = {}

    def add(self, each: Read) -> None:
        """It was read."""
        self._open.setdefault(TopicPartition(each.topic, each.partition), deque()).append(each.offset)

    def settle(self, each: Read) -> None:
        """It is done."""
        self._settled.add((each.topic, each.partition, each.offset))

    def committable(self) -> dict[TopicPartition, int]:
        """Up to where each partition is settled without a gap."""
        for tp, offsets in self._open.items():
            while offsets and (done := (tp.topic, tp.partition, offsets[0])) in self._settled:
                self._settled.remove(done)
                self._next[tp] = offsets.popleft() + 1
        return dict(self._next)


class _Loop:
    def __init__(self, task: Task, progress: Progress, http: aiohttp.ClientSession, ledger: BareLedger | None) -> None:
        self._url, self._progress, self._http, self._ledger = f"{task.url}/refunds", progress, http, ledger
        self._lanes: dict[str, deque[Read]] = {}
        self._ready: asyncio.Queue[str] = asyncio.Queue()
        self._done: list[tuple[Read, str]] = []
        self._more, self._room = asyncio.Event(), asyncio.Semaphore(_IN_HAND)
        self.offsets = _Offsets()

    async def take(self, reads: list[Read]) -> None:
        """Claim them, and put each in its key's lane."""
        for each in reads:
            await self._room.acquire()
            self.offsets.add(each)
        if self._ledger:
            await self._ledger.claim(reads)
        for each in reads:
            key = each.event.order_key
            if lane := self._lanes.get(key):
                lane.append(each)
            else:
                self._lanes[key] = deque((each,))
                self._ready.put_nowait(key)

    async def call(self) -> None:
        """One of the calls that are made at once: the head of a lane, which then goes to the end of the queue."""
        while True:
            key = await self._ready.get()
            lane = self._lanes[key]
            remote_id = await self._post(lane[0])
            self._done.append((lane.popleft(), remote_id))
            self._more.set()
            if lane:
                self._ready.put_nowait(key)
            else:
                del self._lanes[key]

    async def settle(self) -> None:
        """Write down what is done while more is being done."""
        while True:
            await self._more.wait()
            self._more.clear()
            done, self._done = self._done, []
            if self._ledger:
                await self._ledger.settle([(each.event.id, remote_id) for each, remote_id in done])
            for each, _ in done:
                self.offsets.settle(each)
                self._room.release()
            self._progress.add(len(done))

    async def _post(self, each: Read) -> str:
        headers = {"Content-Type": "application/json", "Idempotency-Key": each.event.id}
        async with self._http.post(self._url, data=exact_json.encode(body(each.event)), headers=headers) as answer:
            answer.raise_for_status()
            content: Any = exact_json.decode(await answer.read())
            return str(content["id"])


async def _read(consumer: AIOKafkaConsumer, loop: _Loop) -> None:
    """Read, and commit what is settled."""
    committed: dict[TopicPartition, int] = {}
    committed_at = time.monotonic()
    claiming: asyncio.Task[None] | None = None
    while True:
        batch = await consumer.getmany(timeout_ms=100, max_records=_AT_A_TIME)
        reads = [read(record) for records in batch.values() for record in records]
        if claiming:
            await claiming
        claiming = asyncio.create_task(loop.take(reads)) if reads else None
        if time.monotonic() - committed_at >= _COMMIT_EVERY and (offsets := loop.offsets.committable()) != committed:
            await consumer.commit(offsets)
            committed, committed_at = offsets, time.monotonic()


async def run(task: Task, progress: Progress, stopping: asyncio.Event) -> None:
    """Read until told to stop."""
    pool = await open_bare_pool(task.postgres)
    consumer = bare_consumer(task)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONCURRENCY)) as http:
        loop = _Loop(task, progress, http, BareLedger(pool, task.name) if task.ledger else None)
        await consumer.start()
        working = [_read(consumer, loop), loop.settle(), *(loop.call() for _ in range(CONCURRENCY))]
        tasks = [asyncio.create_task(each) for each in working]
        stop = asyncio.create_task(stopping.wait())
        try:
            done, _ = await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
        finally:
            for each in (stop, *tasks):
                each.cancel()
            await asyncio.gather(stop, *tasks, return_exceptions=True)
            await consumer.stop()
            await pool.close()
