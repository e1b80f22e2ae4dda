"""What is done to dead letters: handed back, given up, or changed. Every action is written to the audit."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from libs.canonical.event import MalformedEvent, UnknownKind, UnknownSchemaVersion, decode, kind_of
from libs.runtime import exact_json
from libs.runtime.configuration.model import Configuration
from libs.runtime.database.pool import Pool
from libs.runtime.kafka.records import readable
from libs.runtime.kafka.stored_headers import headers_from_json
from libs.runtime.kafka.topics import DLQ_INGEST, inbox
from libs.runtime.kafka.writer import Outgoing, Writer
from libs.runtime.settings import KafkaSettings
from services.ops.patching import Assignment, CannotPatch, at, patched
from services.ops.queries import audit, dead_letters
from services.ops.speaking import NEEDS_MORE, USAGE, Failure

_LISTED_IN_AUDIT = 1000


@dataclass
class Result:
    """How many were acted on, and which could not be, each with the reason."""

    done: int = 0
    not_done: dict[str, str] = field(default_factory=dict)


def stored_headers(stored: Any) -> list[tuple[str, bytes | None]]:
    """A record's headers as they are kept in the database."""
    return list(headers_from_json(stored))


class DeadLetterWork:
    """Acts for one operator. `rate`: letters a second."""

    def __init__(self, pool: Pool, kafka: KafkaSettings, known: Configuration, who: str, rate: float) -> None:
        self._pool, self._kafka, self._known, self._who, self._rate = pool, kafka, known, who, rate

    async def replay(self, letters: Sequence[Any]) -> Result:
        """Hand letters back: deliveries to their own target's engine only, the others to the topic they came from."""
        result = Result()
        for connection, ids in _deliveries(letters).items():
            async with self._pool.acquire() as database, database.transaction():
                count = await dead_letters.replay_deliveries(database, connection, ids, self._rate)
                await audit.record(
                    database, self._who, "dlq.replay", connection, {"events": ids[:_LISTED_IN_AUDIT], "count": count}
                )
            result.done += count
            if count < len(ids):
                result.not_done[connection] = f"{len(ids) - count} are not dead any more, or have no bytes left to send"
        readings = [letter for letter in letters if letter["stage"] != "delivery"]
        if readings:
            await self._replay_readings(readings, result)
        return result

    async def _replay_readings(self, letters: Sequence[Any], result: Result) -> None:
        writer = Writer(self._kafka)
        await writer.start()
        try:
            for number, letter in enumerate(letters):
                if number:
                    await asyncio.sleep(1 / self._rate)
                fault = await self._replay_reading(writer, letter["id"])
                if fault is None:
                    result.done += 1
                else:
                    result.not_done[letter["id"]] = fault
        finally:
            await writer.stop()

    async def _replay_reading(self, writer: Writer, letter_id: str) -> str | None:
        """Write first, note after: between the two a crash only makes a copy, which is recognised by its id."""
        row = await dead_letters.reading(self._pool, letter_id)
        if row is None:
            return "is settled already"
        root = _asked_for(row)
        if root is not None:
            return await self._fetch_again(row, *root)
        if row["value"] is None or row["key"] is None:
            return "has no bytes left to send"
        record = _as_webhook(row, self._known) if row["topic"] == DLQ_INGEST else _as_it_was(row)
        if isinstance(record, str):
            return record
        record.headers.append(("replayed-from", letter_id.encode()))
        await writer.send(*record)
        async with self._pool.acquire() as database, database.transaction():
            await dead_letters.settle_reading(database, letter_id, "replayed", self._who)
            await audit.record(database, self._who, "dlq.replay", letter_id, {"topic": record.topic})
        return None

    async def _fetch_again(self, row: Any, root: tuple[str, str], type_: str) -> str | None:
        """The vendor had denied the object: there is no record to repeat, only the question."""
        if row["connection"] not in {connection.id for connection in self._known.sources()}:
            return f"no source connection {row['connection']!r} is configured any more"
        account = self._known.connection(row["connection"]).account
        async with self._pool.acquire() as database, database.transaction():
            if not await dead_letters.settle_reading(database, row["id"], "replayed", self._who):
                return "is settled already"
            name = f"replay:{row['id']}:{row['at'].isoformat()}"
            await dead_letters.fetch_again(database, row["connection"], account, root, type_, name)
            await audit.record(database, self._who, "dlq.replay", row["id"], {"fetched again": list(root)})
        return None

    async def discard(self, letters: Sequence[Any], reason: str) -> Result:
        """Give letters up for good; what waits behind them follows by itself."""
        result = Result()
        for connection, ids in _deliveries(letters).items():
            async with self._pool.acquire() as database, database.transaction():
                count = await dead_letters.discard_deliveries(
                    database, connection, ids, f"discarded by {self._who}: {reason}"
                )
                await audit.record(
                    database, self._who, "dlq.discard", connection,
                    {"events": ids[:_LISTED_IN_AUDIT], "count": count, "reason": reason},
                )  # fmt: skip
            result.done += count
            if count < len(ids):
                result.not_done[connection] = f"{len(ids) - count} are not dead any more"
        for letter in letters:
            if letter["stage"] == "delivery":
                continue
            async with self._pool.acquire() as database, database.transaction():
                if await dead_letters.settle_reading(database, letter["id"], "discarded", self._who):
                    result.done += 1
                else:
                    result.not_done[letter["id"]] = "is settled already"
                await audit.record(database, self._who, "dlq.discard", letter["id"], {"reason": reason})
        return result

    async def edit(self, letter: Any, assignments: Sequence[Assignment], *, act: bool) -> list[tuple[str, Any, Any]]:
        """The changes as (path, before, after), made when `act`. The event id stays, so that it stays accounted for."""
        delivery = letter["stage"] == "delivery"
        async with self._pool.acquire() as database, database.transaction():
            row = (
                await dead_letters.delivery(database, letter["connection"], letter["id"])
                if delivery
                else await dead_letters.reading(database, letter["id"])
            )
            if row is None or row["value"] is None:
                raise Failure(f"{letter['id']} has no bytes left to edit, or is settled already")
            before = _document(row["value"])
            after = _changed(before, assignments, delivery=delivery)
            value = exact_json.encode(after)
            if delivery:
                _check_event(row, value)
            if act:
                if delivery:
                    await dead_letters.edit_delivery(database, row["connection"], row["event_id"], value)
                else:
                    await dead_letters.edit_reading(database, row["id"], value)
                await audit.record(
                    database, self._who, "dlq.edit", letter["id"],
                    {"connection": letter["connection"], "fields": [each.text for each in assignments],
                     "parent_sha256": hashlib.sha256(row["value"]).hexdigest(),
                     "sha256": hashlib.sha256(value).hexdigest()},
                )  # fmt: skip
        return [(each.text, at(before, each.path), each.value) for each in assignments]


def _deliveries(letters: Sequence[Any]) -> dict[str, list[str]]:
    by_connection: dict[str, list[str]] = {}
    for letter in letters:
        if letter["stage"] == "delivery":
            by_connection.setdefault(letter["connection"], []).append(letter["id"])
    return by_connection


def _as_it_was(row: Any) -> Outgoing:
    """The record that a letter is about."""
    headers = [(name, value or b"") for name, value in stored_headers(row["headers"]) if not name.startswith("dl-")]
    return Outgoing(row["topic"], row["key"], row["value"], headers)


def _as_webhook(row: Any, known: Configuration) -> Outgoing | str:
    """A webhook that could not be read never was in an inbox: it is put there now, to be read anew. Or why not."""
    if row["connection"] not in {connection.id for connection in known.sources()}:
        return f"no source connection {row['connection']!r} is configured any more"
    try:
        body = exact_json.decode(row["value"])
    except (exact_json.DecodeError, RecursionError):
        return "is no JSON: it can only be discarded, and its object backfilled"
    said = readable(stored_headers(row["headers"]))
    kept = {name.removeprefix("vendor-"): value for name, value in said.items() if name.startswith("vendor-")}
    headers = {
        "connection": row["connection"], "delivery-id": row["id"], "via": "webhook",
        "received-at": row["at"].isoformat(),
        "content-type": "application/json",
    }  # fmt: skip
    return Outgoing(
        inbox(known.connection(row["connection"]).vendor),
        row["key"],
        exact_json.encode({"headers": kept, "body": body}),
        [(name, value.encode()) for name, value in headers.items()],
    )


def _asked_for(row: Any) -> tuple[tuple[str, str], str] | None:
    """Root and type of a letter that holds a question to the vendor instead of a record."""
    if row["stage"] != "ingest" or "connection" in readable(stored_headers(row["headers"])):
        return None
    try:
        kind, root_id = exact_json.decode(row["value"] or b"")["root"]
        return (str(kind), str(root_id)), str(exact_json.decode(row["value"])["type"])
    except (exact_json.DecodeError, LookupError, TypeError, ValueError):
        return None


def _document(value: bytes) -> Any:
    try:
        return exact_json.decode(value)
    except (exact_json.DecodeError, RecursionError):
        raise Failure("its value is no JSON: it can only be discarded, and its object backfilled") from None


def _changed(before: Any, assignments: Sequence[Assignment], *, delivery: bool) -> Any:
    outside = [each.text for each in assignments if delivery and each.path[0] != "data"]
    if outside:
        raise Failure(
            f"only fields below data can be changed, not {', '.join(outside)}: ids and order must stay", USAGE
        )
    try:
        return patched(before, assignments)
    except CannotPatch as error:
        raise Failure(str(error), USAGE) from None


def _check_event(row: Any, value: bytes) -> None:
    try:
        decode(kind_of(readable(stored_headers(row["headers"]))), value)
    except (MalformedEvent, UnknownKind, UnknownSchemaVersion) as error:
        raise Failure(
            f"with these changes it is no canonical event, and would be a dead letter again: {error}", NEEDS_MORE
        ) from None
