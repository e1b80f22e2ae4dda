"""Sales, their amendments and refunds, and customers' states, written straight into the retail topics from a seed."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer

from libs.canonical.event import AnyEvent, sale_amended
from libs.runtime.kafka.writer import KafkaAway, Outgoing, Writer
from libs.runtime.settings import KafkaSettings
from tests.system.sales import customer, outgoing, refund, sale

_TICK = 0.1  # seconds
# So many of a hundred sales get a refund, a first, a second amendment; so many of a hundred ticks tell of a customer.
_REFUNDED, _AMENDED, _AGAIN, _CUSTOMERS = 20, 15, 5, 30
# How many sales later an amendment or refund comes, at most; none: in the same batch as its sale.
_LATER = 40
_SHOPPERS = 12


class Traffic:
    """What the tills do. `rate`: sales a second. Ids of what Kafka confirmed are in `promised`."""

    def __init__(self, kafka: KafkaSettings, chance: random.Random, *, rate: float = 15) -> None:
        self._chance, self.rate = chance, rate
        self._kafka, self._writer = kafka, Writer(kafka)
        self._number = 0
        self._due: dict[int, list[AnyEvent]] = defaultdict(list)
        self._versions = dict.fromkeys(range(_SHOPPERS), 0)
        self.promised: set[str] = set()
        self.longest_silence = 0.0

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Events flow in while the block runs; when it is left, all that was begun has been confirmed."""
        over = asyncio.Event()
        flow = asyncio.create_task(self._flow(over))
        try:
            yield
        finally:
            over.set()
            await flow

    async def write(self, *records: Outgoing) -> None:
        """Write records that are no events of the tills; tried until Kafka takes them."""
        while True:
            try:
                await self._writer.send_all(records, within=15)
                return
            except KafkaAway:
                await asyncio.sleep(0.5)

    async def write_without_key(self, record: Outgoing) -> None:
        """Write a record to some partition; our own writer always gives a key, other programs may not."""
        producer = AIOKafkaProducer(bootstrap_servers=self._kafka.bootstrap, acks="all")
        await producer.start()
        try:
            await producer.send_and_wait(record.topic, record.value, headers=record.headers)
        finally:
            await producer.stop()

    async def stop(self) -> None:
        """Close the producer."""
        await self._writer.stop()

    async def _flow(self, over: asyncio.Event) -> None:
        began, sold = time.monotonic(), 0.0
        while not over.is_set():
            await asyncio.sleep(_TICK)
            sold += self.rate * _TICK
            events = self.next_events(int(sold))
            sold -= int(sold)
            await self._confirmed(events)
            self.longest_silence = max(self.longest_silence, time.monotonic() - began)
            began = time.monotonic()
        await self._confirmed([event for number in sorted(self._due) for event in self._due[number]])
        self._due.clear()

    async def _confirmed(self, events: list[AnyEvent]) -> None:
        """A batch that was not confirmed is written again whole, as a service that crashed would."""
        if events:
            await self.write(*(outgoing(event) for event in events))
            self.promised.update(event.id for event in events)

    def next_events(self, sales: int) -> list[AnyEvent]:
        """So many sales and what has fallen due with them, now and then a customer's state."""
        events: list[AnyEvent] = []
        for _ in range(sales):
            self._number += 1
            events += self._story(self._number)
            events += self._due.pop(self._number, [])
        if self._chance.randrange(100) < _CUSTOMERS:
            events += self._customer()
        return events

    def _story(self, number: int) -> list[AnyEvent]:
        """A sale; what becomes of it later is put down as due."""
        chance, prices = self._chance, self._chance.sample(range(100, 20_000), 3)
        first = sale(number, price=prices[0])
        before, due = first, number
        amendments = sum(chance.randrange(100) < share for share in (_AMENDED, _AGAIN))
        for ordinal in range(1, amendments + 1):
            changed = sale(number, price=prices[ordinal]).model_copy(update={"version": 1 + ordinal})
            due += chance.randrange(_LATER)
            self._due[due].append(sale_amended(changed, before.data, ordinal))
            before = changed
        if chance.randrange(100) < _REFUNDED:
            self._due[due + chance.randrange(_LATER)].append(refund(number, amount=chance.randrange(200, 1000)))
        return [first]

    def _customer(self) -> list[AnyEvent]:
        """A newer state; now and then the one before it comes late, after it."""
        who = self._chance.randrange(_SHOPPERS)
        steps = self._chance.choice((1, 1, 1, 2))
        self._versions[who] += steps
        newest = self._versions[who]
        return [
            customer(f"c{who}", version, given_name=f"Ana {version}", email=f"c{who}@example.org")
            for version in range(newest, newest - steps, -1)
        ]
