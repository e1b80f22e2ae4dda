"""What the topics tell, read without any code of the services: the truth that the targets are held against."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord

# Seconds for which a topic that is not there is waited for.
_PATIENCE = 10.0

RETAIL = ("retail.sales", "retail.customers")


@dataclass(frozen=True)
class Told:
    """An event as it stands in a topic.

    `thing` is what it is about (a sale, a refund, a customer), `root` what its order hangs on (a refund's is its sale).
    `value` is what can be seen of it at a target: the cents of a sale or refund, the first name of a customer.
    """

    event_id: str
    kind: str
    thing: str
    root: str
    version: int
    value: str


@dataclass(frozen=True)
class Letter:
    """A dead letter as it stands in a connection's topic."""

    connection: str
    event_id: str
    class_: str
    reason: str


def read_event(headers: Iterable[tuple[str, bytes | None]], value: bytes | None) -> Told | None:
    """The event of a record; None when its headers do not say that it is one, or its value is none."""
    try:
        body = json.loads(value or b"")
        kind, account, data = body["kind"], body["account"], body["data"]
        if dict(headers).get("ce_type") != f"tillstream.{kind}.v1".encode():
            return None
        entity, _, what = kind.partition(".")
        if entity == "customer":
            seen = data["given_name"]
        else:
            seen = str((data["sale"] if what == "amended" else data)["total"]["minor"])
        thing = f"{account['vendor']}:{account['id']}:{entity}:{body['entity_id']}"
        return Told(body["id"], kind, thing, body["order_key"], int(body["version"]), seen)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def histories(events: Iterable[Told]) -> dict[str, list[Told]]:
    """Everything that was told of each thing, in order; a repeated event counts once, where it came first."""
    seen: set[str] = set()
    found: dict[str, list[Told]] = defaultdict(list)
    for event in events:
        if event.event_id not in seen:
            seen.add(event.event_id)
            found[event.thing].append(event)
    return dict(found)


async def read_events(kafka: str) -> list[Told]:
    """Every event in the retail topics, each partition in order."""
    records = await read_topics(kafka, RETAIL)
    return [event for record in records if (event := read_event(record.headers, record.value)) is not None]


async def read_topics(kafka: str, topics: Sequence[str]) -> list[ConsumerRecord]:
    """Every record now in the topics, each partition in order."""
    consumer = AIOKafkaConsumer(*topics, bootstrap_servers=kafka, enable_auto_commit=False, fetch_max_wait_ms=50)
    await consumer.start()
    try:
        await _know_all(consumer, topics)
        parts = sorted(consumer.assignment())
        ends = await consumer.end_offsets(parts)
        await consumer.seek_to_beginning(*parts)
        records: list[ConsumerRecord] = []
        while any([await consumer.position(part) < ends[part] for part in parts]):
            for several in (await consumer.getmany(timeout_ms=500)).values():
                records += several
        return records
    finally:
        await consumer.stop()


async def _know_all(consumer: AIOKafkaConsumer, topics: Sequence[str]) -> None:
    """Wait a while: a broker that has just started may not know of topics yet that are there."""
    until = time.monotonic() + _PATIENCE
    while {part.topic for part in consumer.assignment()} != set(topics) and time.monotonic() < until:
        await consumer.topics()  # asks for them anew
        await asyncio.sleep(0.2)


def letter(record: ConsumerRecord) -> Letter:
    """The dead letter that a record of a `dlq.` topic is."""
    headers: Mapping[str, Any] = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
    connection = record.topic.removeprefix("dlq.")
    names = ("dl-event-id", "dl-class", "dl-reason")
    return Letter(connection, *(headers.get(name, "") for name in names))
