"""Dead letters put back from their topics: after a restored backup the database does not know the newest of them.

A row that exists is never touched, in whatever state it is: it knows more than the topic. What is put back is dead and
locks its key. Since what the ledger knew of it is lost, it counts as one whose calls may have had their effect: a
replay first finds that out, by the means that the target has.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from libs.canonical.event import AnyEvent, MalformedEvent, UnknownKind, UnknownSchemaVersion, decode, kind_of
from libs.runtime.configuration.model import Configuration
from libs.runtime.database.pool import Connection as Database
from libs.runtime.database.pool import Pool
from libs.runtime.engine.engine import consumer_group
from libs.runtime.kafka.groups import members
from libs.runtime.kafka.letter_rows import letter_id, letter_row, origin
from libs.runtime.kafka.offsets import read_whole
from libs.runtime.kafka.records import Partition, Record
from libs.runtime.kafka.stored_headers import headers_to_json, printable
from libs.runtime.kafka.topics import DLQ_INGEST, DLQ_TRANSFORM, dead_letters
from libs.runtime.settings import KafkaSettings
from services.ops.queries import audit, rebuilding
from services.ops.speaking import Failure

_AT_ONCE = 500
_LISTED_IN_AUDIT = 1000


@dataclass(frozen=True)
class Rebuilt:
    """One topic: how many letters it has, ids of those without a row, how many were put back."""

    topic: str
    letters: int
    missing: tuple[str, ...]
    restored: int


class _Shelf(ABC):
    """One topic of dead letters, and the table in which each should have its row."""

    topic: str

    @abstractmethod
    def name(self, record: Record) -> str | None:
        """The letter's id; None: it is not one of these."""

    @abstractmethod
    async def there(self, pool: Pool, ids: Sequence[str]) -> set[str]:
        """Those with a row."""

    @abstractmethod
    async def restore(self, database: Database, record: Record) -> bool:
        """Put one back; False when it has a row by now."""


class _Deliveries(_Shelf):
    def __init__(self, connection: str) -> None:
        self.topic, self.connection = dead_letters(connection), connection

    def name(self, record: Record) -> str | None:
        text = record.text
        ours = (text.get("dl-stage"), text.get("dl-connection")) == ("delivery", self.connection)
        return printable(text.get("dl-event-id", "")) or None if ours else None

    async def there(self, pool: Pool, ids: Sequence[str]) -> set[str]:
        return await rebuilding.deliveries_there(pool, self.connection, ids)

    async def restore(self, database: Database, record: Record) -> bool:
        await rebuilding.hold_owners(database, self.connection)
        return await rebuilding.restore_delivery(database, _delivery_row(self.connection, record))


class _Readings(_Shelf):
    """Of intake or transform. `connection`: only of that source; None: of all."""

    def __init__(self, topic: str, connection: str | None) -> None:
        self.topic, self._connection = topic, connection

    def name(self, record: Record) -> str | None:
        ours = self._connection is None or record.text.get("dl-connection") == self._connection
        return letter_id(record) if ours and "dl-stage" in record.text else None

    async def there(self, pool: Pool, ids: Sequence[str]) -> set[str]:
        return await rebuilding.letters_there(pool, ids)

    async def restore(self, database: Database, record: Record) -> bool:
        return await rebuilding.restore_letter(database, letter_row(record))


def _delivery_row(connection: str, record: Record) -> dict[str, Any]:
    """The row as the engine would have left it, as far as the letter tells."""
    text = {name: printable(value) for name, value in record.text.items()}
    headers = [header for header in record.headers if not header[0].startswith("dl-")]
    partition, offset = origin(record)
    event, failed_at = _event(record), _failed_at(record)
    return {
        "connection": connection,
        "event_id": text["dl-event-id"],
        "kind": str(event.kind) if event else "unknown",
        "order_key": printable((record.key or b"").decode("utf-8", "replace")) or f"{partition.topic}/{offset}",
        "entity_id": printable(event.entity_id) if event else text["dl-event-id"],
        "version": event.version if event else 0,
        "location_id": printable(event.location_id) if event and event.location_id else None,
        "occurred_at": event.occurred_at if event else failed_at,
        "topic": partition.topic,
        "partition": partition.number,
        "position": offset,
        "class": text.get("dl-class", "unknown"),
        "reason": text.get("dl-reason", "no reason given"),
        "attempts": int(text["dl-attempts"]) if text.get("dl-attempts", "").isdecimal() else 0,
        "key": record.key,
        "value": record.value,
        "headers": headers_to_json(headers),
        "traceparent": text.get("traceparent"),
        "first_seen": failed_at,
        "sent_at": failed_at,
        "dead_at": failed_at,
    }


def _event(record: Record) -> AnyEvent | None:
    try:
        return decode(kind_of(record.text), record.value)
    except (MalformedEvent, UnknownKind, UnknownSchemaVersion):
        return None


def _failed_at(record: Record) -> datetime:
    try:
        moment = datetime.fromisoformat(record.text.get("dl-failed-at", ""))
    except ValueError:
        return record.written_at
    return moment if moment.tzinfo is not None else record.written_at


class Rebuilder:
    """Puts back what is missing, for one operator."""

    def __init__(self, pool: Pool, kafka: KafkaSettings, known: Configuration, who: str) -> None:
        self._pool, self._kafka, self._known, self._who = pool, kafka, known, who

    async def rebuild(self, connection: str | None, *, act: bool) -> list[Rebuilt]:
        """All topics of dead letters, or those of one connection. Raises Failure while a sink concerned is running."""
        shelves = self._shelves(connection)
        if act:
            await self._refuse_while_running(shelves, "stop it, rebuild, and start it again")
        rebuilt = [await self._one(shelf, act=act) for shelf in shelves]
        if act and any(each.restored for each in rebuilt):
            await self._refuse_while_running(shelves, "it started meanwhile: start it once more")
        return rebuilt

    def _shelves(self, connection: str | None) -> list[_Shelf]:
        targets = [target.id for target in self._known.targets() if connection in (None, target.id)]
        shelves: list[_Shelf] = [_Deliveries(target) for target in targets]
        if connection is None or not targets:
            shelves += [_Readings(topic, connection) for topic in (DLQ_INGEST, DLQ_TRANSFORM)]
        return shelves

    async def _refuse_while_running(self, shelves: Sequence[_Shelf], what_to_do: str) -> None:
        for shelf in shelves:
            if isinstance(shelf, _Deliveries) and await members(self._kafka, consumer_group(shelf.connection)):
                raise Failure(
                    f"the sink of {shelf.connection} is running, and knows only of keys that were locked when it "
                    f"started: {what_to_do}"
                )

    async def _one(self, shelf: _Shelf, *, act: bool) -> Rebuilt:
        newest: dict[str, tuple[Partition, int]] = {}
        async for record in read_whole(self._kafka, [shelf.topic]):
            if (name := shelf.name(record)) is not None:
                newest[name] = (record.partition, record.offset)
        missing = await self._without_row(shelf, list(newest))
        restored = 0
        if act and missing:
            restored = await self._restore(shelf, {newest[name] for name in missing})
        return Rebuilt(shelf.topic, len(newest), tuple(missing), restored)

    async def _without_row(self, shelf: _Shelf, names: Sequence[str]) -> list[str]:
        there: set[str] = set()
        for start in range(0, len(names), _AT_ONCE):
            there |= await shelf.there(self._pool, names[start : start + _AT_ONCE])
        return [name for name in names if name not in there]

    async def _restore(self, shelf: _Shelf, places: set[tuple[Partition, int]]) -> int:
        """In the order of the topic, so that the letters of a key keep theirs."""
        restored, batch = 0, []
        async for record in read_whole(self._kafka, [shelf.topic]):
            if (record.partition, record.offset) in places:
                batch.append(record)
            if len(batch) >= _AT_ONCE:
                restored += await self._write(shelf, batch)
                batch = []
        return restored + await self._write(shelf, batch)

    async def _write(self, shelf: _Shelf, records: Sequence[Record]) -> int:
        if not records:
            return 0
        async with self._pool.acquire() as database, database.transaction():
            done = [shelf.name(record) for record in records if await shelf.restore(database, record)]
            await audit.record(
                database, self._who, "dlq.rebuild", shelf.topic,
                {"letters": done[:_LISTED_IN_AUDIT], "count": len(done)},
            )  # fmt: skip
        return len(done)
