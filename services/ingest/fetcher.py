"""Notifications to snapshots: every root object is read whole, with its own retries, and written to `raw.<vendor>`.

What is to be read stands in the table `fetch_work`, so that an outage of the vendor holds up nothing else, several
notifications about one object cost one reading, and a crash forgets nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from opentelemetry.trace import SpanKind

from libs.canonical.identity import digest
from libs.connectors.contract.source import Identified, MalformedNotification, Notification, Root, Snapshot
from libs.runtime import exact_json
from libs.runtime.configuration.model import Configuration, Connection
from libs.runtime.database.pool import DATABASE_AWAY, Pool, open_pool
from libs.runtime.engine.dead_letters import DeadLetter, DeadLetterTopic
from libs.runtime.kafka.reader import BatchReader
from libs.runtime.kafka.records import Partition, Record
from libs.runtime.kafka.topics import FETCHER_GROUP, inbox, raw
from libs.runtime.kafka.writer import KafkaAway, Writer
from libs.runtime.service import run_together
from libs.runtime.settings import ProcessSettings
from libs.runtime.telemetry.health import Health
from libs.runtime.telemetry.metrics import FETCH_WAITING, FETCHES
from libs.runtime.telemetry.progress import Progress
from libs.runtime.telemetry.tracing import span, traceparent
from services.ingest.assembling import Assembler, Gone, VendorAway
from services.ingest.inbox import content_id

log = structlog.get_logger()

# Notifications about one object come in bursts: wait this long (seconds) so that one reading serves them all.
_SETTLE = 0.4
_AT_ONCE = 48
_LONGEST_PAUSE = 60.0
# An object the vendor denies having is asked for this often before its notification becomes a dead letter.
_GONE_TRIES = 4


@dataclass(frozen=True)
class _Intake:
    """One inbox record as understood."""

    record: Record
    connection: Connection
    identified: Identified
    delivery_id: str
    received_at: datetime
    via: str

    @property
    def root_keys(self) -> list[str]:
        return [f"{self.connection.account_key}:{root.kind}:{root.id}" for root in self.identified.roots]


class Fetcher:
    """Reads inbox topics into `fetch_work`, and works it off."""

    def __init__(self, settings: ProcessSettings, configuration: Configuration, pool: Pool, writer: Writer) -> None:
        self._pool, self._writer = pool, writer
        self._connections = {connection.id: connection for connection in configuration.sources()}
        self._assemblers = {c.id: Assembler(c, pool, settings) for c in self._connections.values()}
        self._dead_letters = DeadLetterTopic(writer)
        # A reading takes several calls; one that takes longer is done twice, which does no harm.
        self._claim_seconds = 3 * settings.http_timeout_seconds
        self.progress = Progress("fetcher")

    async def close(self) -> None:
        """Close the HTTP clients."""
        for assembler in self._assemblers.values():
            await assembler.close()

    # Inbox -> work ----------------------------------------------------------------------------------------------

    async def take_in(self, records: Sequence[Record]) -> None:
        """Note what the notifications are about; each delivery once."""
        taken = [intake for record in records if (intake := await self._understand(record)) is not None]
        if not taken:
            return
        async with self._pool.acquire() as database, database.transaction():
            rows = await database.fetch(
                "insert into notification (connection, delivery_id, type, via, root_keys, outcome, reason, received_at,"
                " settled_at) select c, d, t, v, string_to_array(nullif(k, ''), chr(31)), o, r, at, "
                "case when o <> 'waiting' then now() end from unnest($1::text[], $2::text[], $3::text[], $4::text[], "
                "$5::text[], $6::text[], $7::text[], $8::timestamptz[]) as i(c, d, t, v, k, o, r, at) "
                "on conflict do nothing returning connection, delivery_id".replace(
                    "string_to_array(nullif(k, ''), chr(31))", "coalesce(string_to_array(nullif(k, ''), chr(31)), '{}')"
                ),
                *_columns(taken),
            )
            new = {(row["connection"], row["delivery_id"]) for row in rows}
            fresh: list[_Intake] = []
            repeats: dict[str, int] = {}
            for intake in taken:
                name = (intake.connection.id, intake.delivery_id)
                if name in new:
                    new.discard(name)
                    fresh.append(intake)
                else:
                    repeats[intake.connection.id] = repeats.get(intake.connection.id, 0) + 1
            await database.executemany(
                "insert into notification_repeat (connection, repeats) values ($1, $2) "
                "on conflict (connection) do update set repeats = notification_repeat.repeats + excluded.repeats",
                list(repeats.items()),
            )
            work = [self._work(intake, root) for intake in fresh for root in intake.identified.roots]
            await database.executemany(
                "insert into fetch_work (connection, root_kind, root_id, variant, account_id, type, via, have, "
                "delivery_ids, received_at, traceparent, next_attempt_at) "
                f"values ($1, $2, $3, $4, $5, $6, $7, $8, array[$9], $10, $11, now() + interval '{_SETTLE} seconds') "
                "on conflict (connection, root_kind, root_id, variant) do update set "
                "revision = fetch_work.revision + 1, type = excluded.type, "
                "delivery_ids = fetch_work.delivery_ids || excluded.delivery_ids, "
                "next_attempt_at = least(fetch_work.next_attempt_at, excluded.next_attempt_at)",
                work,
            )

    async def _understand(self, record: Record) -> _Intake | None:
        text = record.text
        connection = self._connections.get(text.get("connection", ""))
        if connection is None:
            # Written under a configuration that this process does not have: it stays accounted for as a dead letter.
            await self._give_up(record, text.get("connection", "unknown"), "no such source connection is configured")
            return None
        source = connection.connector.source
        assert source is not None
        try:
            body = exact_json.decode(record.value or b"")
            notification = Notification(body["headers"], body["body"])
            identified = source.identify(notification)
            received_at = datetime.fromisoformat(text.get("received-at", "")) if text.get("received-at") else None
        except (exact_json.DecodeError, KeyError, TypeError, ValueError):
            await self._give_up(record, connection.id, "an inbox record that is not one of ours")
            return None
        except MalformedNotification as error:
            await self._give_up(record, connection.id, str(error))
            return None
        delivery_id = text.get("delivery-id") or identified.delivery_id or content_id("body", body)
        return _Intake(
            record, connection, identified, delivery_id, received_at or record.written_at, text.get("via", "webhook")
        )

    def _work(self, intake: _Intake, root: Root) -> tuple[Any, ...]:
        # What a notification brings along itself must not be mixed with another's: it keeps a row of its own.
        variant = intake.delivery_id if root.have else ""
        return (
            intake.connection.id, root.kind, root.id, variant, intake.identified.account_id, intake.identified.type,
            intake.via, root.have, intake.delivery_id, intake.received_at,
            intake.record.text.get("traceparent"),
        )  # fmt: skip

    async def _give_up(self, record: Record, connection: str, reason: str) -> None:
        place = f"{record.partition.topic}/{record.partition.number}/{record.offset}"
        await self._dead_letters.publish(
            DeadLetter(
                "ingest", connection, place, "poison", reason, 0, record.key, record.value, record.headers,
                record.partition, record.offset,
            )
        )  # fmt: skip

    # Work -> snapshots ------------------------------------------------------------------------------------------

    async def work(self, stopping: asyncio.Event) -> None:
        """Read what is due, many at a time, until stopped."""
        running: set[asyncio.Task[None]] = set()
        while not stopping.is_set():
            self.progress.alive()
            room = _AT_ONCE - len(running)
            rows: list[Any] = []
            if room > 0:
                try:
                    rows = await self._claim(room)
                except DATABASE_AWAY as error:
                    log.warning("database is away", error=type(error).__name__)
                    await asyncio.sleep(1)
            for row in rows:
                task = asyncio.create_task(self._one(row))
                running.add(task)
                task.add_done_callback(running.discard)
            if not rows:
                await asyncio.sleep(0.1)
            elif len(running) >= _AT_ONCE:
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        if running:
            await asyncio.wait(running, timeout=15)

    async def _claim(self, room: int) -> list[Any]:
        rows: list[Any] = await self._pool.fetch(
            "update fetch_work f set claimed_until = now() + make_interval(secs => $2), attempts = attempts + 1 "
            "from (select w.connection, w.root_kind, w.root_id, w.variant from fetch_work w "
            "  left join connection_state s on s.connection = w.connection "
            "  where w.next_attempt_at <= now() and (w.claimed_until is null or w.claimed_until < now()) "
            "  and w.connection = any($3) and s.paused_by is null "
            "  order by w.next_attempt_at limit $1 for update of w skip locked) due "
            "where f.connection = due.connection and f.root_kind = due.root_kind and f.root_id = due.root_id "
            "and f.variant = due.variant returning f.*",
            room, self._claim_seconds, list(self._connections),
        )  # fmt: skip
        return rows

    async def _one(self, row: Any) -> None:
        connection = self._connections[row["connection"]]
        attributes = {"tillstream.connection": connection.id}
        try:
            with span(f"fetch {connection.vendor}", SpanKind.CLIENT, row["traceparent"], attributes):
                snapshot = await self._assemblers[connection.id].snapshot(row)
                await self._publish(connection, row, snapshot)
            FETCHES.labels(connection.id, "done").inc()
            await self._finish(row, "object", None)
        except VendorAway as error:
            FETCHES.labels(connection.id, "retry").inc()
            await self._later(row, str(error), error.after)
        except Gone as error:
            FETCHES.labels(connection.id, "gone").inc()
            if row["attempts"] < _GONE_TRIES:
                await self._later(row, str(error), None)
            else:
                await self._reject(row, str(error))
        except KafkaAway as error:
            await self._later(row, str(error), 1.0)
        except DATABASE_AWAY as error:
            # The claim runs out by itself and the work is taken up again.
            log.warning("database is away", error=type(error).__name__)
        except Exception as error:
            log.exception("internal error", connection=connection.id, root=row["root_kind"])
            try:
                if row["attempts"] < _GONE_TRIES:
                    await self._later(row, f"internal error: {type(error).__name__}", None)
                else:
                    await self._reject(row, f"internal error: {type(error).__name__}")
            except DATABASE_AWAY:
                log.warning("database is away")

    async def _publish(self, connection: Connection, row: Any, snapshot: Snapshot) -> None:
        headers = {
            "snapshot-id": digest(connection.id, snapshot.key, *sorted(row["delivery_ids"])),
            "connection": connection.id,
            "root": snapshot.key,
            "received-at": row["received_at"].isoformat(),
            "content-type": "application/json",
        }
        if (parent := traceparent()) is not None:
            headers["traceparent"] = parent
        value = exact_json.encode(snapshot.model_dump(mode="python"))
        await self._writer.send(
            raw(connection.vendor), snapshot.key.encode(), value, [(k, v.encode()) for k, v in headers.items()]
        )

    async def _finish(self, row: Any, outcome: str, reason: str | None) -> None:
        """The snapshot is written. What was notified meanwhile makes for another reading."""
        name = (row["connection"], row["root_kind"], row["root_id"], row["variant"])
        async with self._pool.acquire() as database, database.transaction():
            # The roots of one notification end one after the other: at once, each would take the others for open.
            await database.execute(
                "select 1 from notification where connection = $1 and delivery_id = any($2) order by delivery_id "
                "for update",
                row["connection"], row["delivery_ids"],
            )  # fmt: skip
            done = await database.fetchval(
                "delete from fetch_work where connection = $1 and root_kind = $2 and root_id = $3 and variant = $4 "
                "and revision = $5 returning true",
                *name, row["revision"],
            )  # fmt: skip
            if not done:
                await database.execute(
                    "update fetch_work set claimed_until = null, attempts = 0, next_attempt_at = now(), "
                    "delivery_ids = (select array_agg(d) from unnest(delivery_ids) d where d <> all($5)) "
                    "where connection = $1 and root_kind = $2 and root_id = $3 and variant = $4",
                    *name, row["delivery_ids"],
                )  # fmt: skip
            # A notification about several roots is settled with the last of them.
            await database.execute(
                "update notification n set outcome = $3, reason = $4, settled_at = now() "
                "where n.connection = $1 and n.delivery_id = any($2) and n.outcome = 'waiting' and not exists ("
                "  select 1 from fetch_work w where w.connection = $1 and w.delivery_ids && array[n.delivery_id])",
                row["connection"], row["delivery_ids"], outcome, reason,
            )  # fmt: skip
        self.progress.done(1)

    async def _later(self, row: Any, error: str, after: float | None) -> None:
        pause = min(_LONGEST_PAUSE, 0.5 * 2 ** min(row["attempts"], 10))
        wait = max(after or 0.0, pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries apart
        await self._pool.execute(
            "update fetch_work set claimed_until = null, last_error = $5, "
            "next_attempt_at = now() + make_interval(secs => $6) "
            "where connection = $1 and root_kind = $2 and root_id = $3 and variant = $4",
            row["connection"], row["root_kind"], row["root_id"], row["variant"], error[:300], wait,
        )  # fmt: skip

    async def _reject(self, row: Any, reason: str) -> None:
        name = f"{row['connection']}/{row['root_kind']}/{row['root_id']}/{row['variant']}"
        await self._dead_letters.publish(
            DeadLetter(
                "ingest", row["connection"], name, "dependency", reason, row["attempts"], name.encode(),
                exact_json.encode({"root": [row["root_kind"], row["root_id"]], "type": row["type"]}), (),
                Partition(inbox(self._connections[row["connection"]].vendor), 0), 0,
            )
        )  # fmt: skip
        await self._finish(row, "rejected", reason)

    async def measure(self, stopping: asyncio.Event) -> None:
        """Show how much waits, every few seconds."""
        while not stopping.is_set():
            try:
                rows = await self._pool.fetch("select connection, count(*) as n from fetch_work group by connection")
                waiting = {row["connection"]: row["n"] for row in rows}
                for name in self._connections:
                    FETCH_WAITING.labels(name).set(waiting.get(name, 0))
            except DATABASE_AWAY:
                log.info("cannot measure: the database is away")
            try:
                async with asyncio.timeout(5):
                    await stopping.wait()
            except TimeoutError:
                continue


def _columns(taken: Sequence[_Intake]) -> list[list[Any]]:
    return [
        [i.connection.id for i in taken],
        [i.delivery_id for i in taken],
        [i.identified.type for i in taken],
        [i.via for i in taken],
        ["\x1f".join(i.root_keys) for i in taken],
        ["waiting" if i.identified.roots else "no_effect" for i in taken],
        [None if i.identified.roots else i.identified.no_effect for i in taken],
        [i.received_at for i in taken],
    ]


async def fetch(settings: ProcessSettings, configuration: Configuration, stopping: asyncio.Event) -> None:
    """Run the fetcher until told to stop."""
    pool = await open_pool(settings.postgres, size=12, name="ingest-fetcher")
    writer = Writer(settings.kafka)
    fetcher = Fetcher(settings, configuration, pool, writer)
    reading = Progress("inbox")
    topics = sorted({inbox(connection.vendor) for connection in configuration.sources()})
    reader = BatchReader(settings.kafka, group=FETCHER_GROUP, topics=topics, handle=fetcher.take_in, progress=reading)
    health = Health(settings.metrics_port, [fetcher.progress, reading])
    await health.start()

    async def end() -> None:
        await stopping.wait()
        reader.stop()

    try:
        await run_together(stopping, reader.run(), fetcher.work(stopping), fetcher.measure(stopping), end())
    finally:
        await writer.stop()
        await fetcher.close()
        await health.stop()
        await pool.close()
