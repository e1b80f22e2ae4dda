"""The dead-letter topics: the original bytes, and in headers what happened to them."""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from libs.canonical.identity import digest
from libs.runtime.kafka.records import Partition
from libs.runtime.kafka.topics import DLQ_INGEST, DLQ_TRANSFORM, dead_letters
from libs.runtime.kafka.writer import KafkaAway, Writer

log = structlog.get_logger()

_VARIABLE = re.compile(r"[0-9a-f]{8,}|\d+|'[^']*'|\"[^\"]*\"")
_MAX_REASON = 1000


def fingerprint(class_: str, reason: str) -> str:
    """Groups dead letters with one cause: the reason with its numbers, ids and quoted values taken out."""
    return hashlib.sha256(f"{class_}|{_VARIABLE.sub('#', reason)}".encode()).hexdigest()[:12]


@dataclass(frozen=True)
class DeadLetter:
    """Something given up. `reason` is plain, and free of personal data, card data and secrets."""

    stage: str  # ingest, transform, delivery
    connection: str
    event_id: str
    class_: str
    reason: str
    attempts: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    partition: Partition
    offset: int

    @property
    def id(self) -> str:
        """The same for every copy of this dead letter."""
        return digest(self.stage, self.connection, self.event_id)

    @property
    def topic(self) -> str:
        """Where it is kept for tools."""
        fixed = {"ingest": DLQ_INGEST, "transform": DLQ_TRANSFORM}
        return fixed.get(self.stage) or dead_letters(self.connection)

    def all_headers(self) -> list[tuple[str, bytes]]:
        """The original headers (null ones empty) and ours."""
        ours = {
            "dl-id": self.id,
            "dl-event-id": self.event_id,
            "dl-connection": self.connection,
            "dl-stage": self.stage,
            "dl-class": self.class_,
            "dl-reason": self.reason[:_MAX_REASON],
            "dl-fingerprint": fingerprint(self.class_, self.reason),
            "dl-attempts": str(self.attempts),
            "dl-failed-at": datetime.now(UTC).isoformat(),
            "dl-orig-topic": self.partition.topic,
            "dl-orig-partition": str(self.partition.number),
            "dl-orig-offset": str(self.offset),
        }
        kept = [(name, value or b"") for name, value in self.headers if not name.startswith("dl-")]
        return kept + [(name, value.encode("utf-8", "replace")) for name, value in ours.items()]


class DeadLetterTopic:
    """Writes dead letters; while Kafka refuses, it waits: an offset never passes a letter that is not kept."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def try_to_publish(self, letter: DeadLetter) -> bool:
        """Write it now; False when its topic does not take it."""
        try:
            await self._writer.send(letter.topic, letter.key or b"", letter.value, letter.all_headers())
        except KafkaAway:
            log.error("dead letter cannot be written yet", topic=letter.topic)
            return False
        return True

    async def publish(self, letter: DeadLetter) -> None:
        """Write it, however long that takes."""
        pause = 0.5
        while not await self.try_to_publish(letter):
            await asyncio.sleep(pause)
            pause = min(pause * 2, 10)
