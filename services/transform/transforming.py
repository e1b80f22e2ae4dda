"""Batches of snapshots to events: read, map, judge against what was told, write, remember, and only then commit.

A crash between writing and remembering writes the same events with the same ids again.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from opentelemetry.trace import SpanKind
from pydantic import ValidationError

from libs.canonical.event import AnyEvent, encode
from libs.connectors.contract.source import Outcome, Snapshot, Unmappable
from libs.runtime import exact_json
from libs.runtime.configuration.model import Configuration
from libs.runtime.database.pool import Connection as Database
from libs.runtime.database.pool import Pool
from libs.runtime.engine.dead_letters import DeadLetter, DeadLetterTopic
from libs.runtime.kafka.records import Record
from libs.runtime.kafka.writer import Outgoing, Writer
from libs.runtime.telemetry.metrics import EVENTS, SNAPSHOTS
from libs.runtime.telemetry.tracing import span, traceparent
from services.transform.telling import TellingKey, Told, judge, key_of, keys_needed

log = structlog.get_logger()

# Advisory locks of this room, so many that two batches seldom want the same one by chance.
_LOCK_SPACE, _LOCKS = 7_215, 4_096


@dataclass
class _Read:
    """One record as mapped. `outcome` None: it is a dead letter for `reason`."""

    record: Record
    snapshot_id: str
    connection: str
    root_key: str
    outcome: Outcome | None
    reason: str | None = None
    class_: str = "poison"
    parent: str | None = None
    written: int = 0
    messages: list[Outgoing] = field(default_factory=list)


class Transformer:
    """Maps the snapshots of all source connections."""

    def __init__(self, configuration: Configuration, pool: Pool, writer: Writer) -> None:
        self._connections = {connection.id: connection for connection in configuration.sources()}
        self._settings = {c.id: c.source_settings for c in self._connections.values()}
        self._pool, self._writer = pool, writer
        self._dead_letters = DeadLetterTopic(writer)

    async def transform(self, records: Sequence[Record]) -> None:
        """Handle one batch; may be called again with the same records."""
        reads = await self._unseen([self._read(record) for record in records])
        remembered: dict[TellingKey, Told] = {}
        async with self._pool.acquire() as database, database.transaction():
            told = await self._told(database, reads)
            for read in reads:
                for event in read.outcome.events if read.outcome else ():
                    self._tell(read, event, told, remembered)
            for read in reads:
                if read.outcome is None:
                    await self._dead_letters.publish(self._letter(read))
            await self._writer.send_all([message for read in reads for message in read.messages])
            await self._remember(database, remembered)
            await self._note(database, reads)
        for read in reads:
            SNAPSHOTS.labels(read.connection, self._outcome(read)).inc()

    def _read(self, record: Record) -> _Read:
        text = record.text
        place = f"{record.partition.topic}/{record.partition.number}/{record.offset}"
        read = _Read(
            record, text.get("snapshot-id") or place, text.get("connection", "unknown"), text.get("root", ""), None
        )
        with span("transform", SpanKind.CONSUMER, text.get("traceparent"), {"tillstream.connection": read.connection}):
            read.parent = traceparent()
            try:
                snapshot = Snapshot.model_validate(exact_json.decode(record.value or b""))
                read.root_key = snapshot.key
                connection = self._connections[snapshot.connection]
                source = connection.connector.source
                assert source is not None
                read.outcome = source.to_canonical(snapshot, self._settings[connection.id])
            except Unmappable as error:
                read.reason = str(error)
            except KeyError:
                read.reason = f"no source connection {read.connection!r} is configured"
            except (exact_json.DecodeError, ValidationError):
                read.reason = "a raw record that is not a snapshot of ours"
            except Exception as error:
                log.exception("internal error", connection=read.connection)
                read.reason, read.class_ = f"internal error: {type(error).__name__}", "bug"
        return read

    async def _unseen(self, reads: list[_Read]) -> list[_Read]:
        """Without snapshots that were handled before; dead ones may be tried again."""
        rows = await self._pool.fetch(
            "select id from snapshot where id = any($1) and outcome <> 'dead'", [read.snapshot_id for read in reads]
        )
        seen = {row["id"] for row in rows}
        fresh = []
        for read in reads:
            if read.snapshot_id not in seen:
                seen.add(read.snapshot_id)
                fresh.append(read)
        return fresh

    async def _told(self, database: Database, reads: Sequence[_Read]) -> dict[TellingKey, Told]:
        """What was told of everything these snapshots show, locked until it is remembered anew.

        One sale may stand in snapshots of several roots (an order's, its refund's), so in several partitions and
        processes: its amendments must be counted by one at a time.
        """
        keys = list(
            dict.fromkeys(
                key for read in reads if read.outcome for event in read.outcome.events for key in keys_needed(event)
            )
        )
        buckets = sorted({zlib.crc32("\x1f".join(key).encode()) % _LOCKS for key in keys})
        await database.execute("select pg_advisory_xact_lock($1, b) from unnest($2::int[]) b", _LOCK_SPACE, buckets)
        rows = await database.fetch(
            "select e.* from emitted e join unnest($1::text[], $2::text[], $3::text[]) as i(account, kind, entity_id) "
            "using (account, kind, entity_id)",
            [key[0] for key in keys], [key[1] for key in keys], [key[2] for key in keys],
        )  # fmt: skip
        return {
            (r["account"], r["kind"], r["entity_id"]): Told(
                r["event_id"], r["content_hash"], r["version"], r["ordinal"], r["content"]
            )
            for r in rows
        }

    def _tell(
        self, read: _Read, event: AnyEvent, told: dict[TellingKey, Told], remembered: dict[TellingKey, Told]
    ) -> None:
        written, memory = judge(event, told)
        if memory is not None:
            told[key_of(event)] = remembered[key_of(event)] = memory
        if written is None:
            return
        key, value, headers = encode(written)
        headers.append(("received-at", (read.record.text.get("received-at") or "").encode()))
        if read.parent:
            headers.append(("traceparent", read.parent.encode()))
        read.messages.append(Outgoing(written.topic, key, value, headers))
        read.written += 1
        EVENTS.labels(str(written.kind)).inc()

    def _outcome(self, read: _Read) -> str:
        if read.outcome is None:
            return "dead"
        if read.written:
            return "mapped"
        return "not_yet" if read.outcome.not_yet else "no_effect"

    def _reason(self, read: _Read) -> str | None:
        if read.outcome is None or read.written:
            return read.reason
        return read.outcome.reason or "nothing new: everything it shows was told before"

    def _letter(self, read: _Read) -> DeadLetter:
        record = read.record
        return DeadLetter(
            "transform", read.connection, read.snapshot_id, read.class_, read.reason or "", 1, record.key, record.value,
            record.headers, record.partition, record.offset,
        )  # fmt: skip

    async def _remember(self, database: Database, remembered: dict[TellingKey, Told]) -> None:
        rows: list[tuple[Any, ...]] = [
            (*key, told.event_id, told.content_hash, told.version, told.ordinal, told.sale)
            for key, told in sorted(remembered.items())
        ]
        await database.executemany(
            "insert into emitted (account, kind, entity_id, event_id, content_hash, version, ordinal, content) "
            "values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (account, kind, entity_id) do update set "
            "event_id = excluded.event_id, content_hash = excluded.content_hash, version = excluded.version, "
            "ordinal = excluded.ordinal, content = excluded.content, at = now() "
            "where emitted.version <= excluded.version",
            rows,
        )

    async def _note(self, database: Database, reads: Sequence[_Read]) -> None:
        await database.executemany(
            "insert into snapshot (id, connection, root_key, outcome, reason, events) values ($1, $2, $3, $4, $5, $6) "
            "on conflict (id) do update set outcome = excluded.outcome, reason = excluded.reason, "
            "events = excluded.events, at = now()",
            [(r.snapshot_id, r.connection, r.root_key, self._outcome(r), self._reason(r), r.written) for r in reads],
        )
        # What could not be read once and can be now needs no person any more.
        await database.execute(
            "update dead_letter set state = 'superseded', settled_at = now(), settled_by = 'a later snapshot' "
            "where stage = 'transform' and state = 'open' and entity = any($1)",
            [read.root_key for read in reads if read.outcome is not None and read.outcome.events],
        )
