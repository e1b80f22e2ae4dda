"""The spool: what Kafka does not take in time is kept in PostgreSQL and relayed as soon as Kafka is back."""

from __future__ import annotations

import asyncio
import contextlib
import time
from itertools import islice
from typing import Any

import asyncpg
import structlog

from libs.runtime import exact_json
from libs.runtime.database.pool import DATABASE_AWAY, Pool
from libs.runtime.failpoints import failpoint
from libs.runtime.kafka.publisher import Publisher, RecordRefused
from libs.runtime.kafka.stored_headers import printable
from libs.runtime.kafka.writer import KafkaAway
from libs.runtime.telemetry.metrics import SPOOLED
from libs.runtime.telemetry.progress import Progress
from services.ingest.inbox import InboxRecord

log = structlog.get_logger()

# Records written or relayed together, and transactions that write at once: a server that hangs must not get them all.
_AT_ONCE, _WRITERS = 100, 3
# Seconds that Kafka has to confirm what is relayed. Long, since each further try makes another copy.
_PATIENCE = 20.0
# Seconds between tries when nothing moves, and between looks for what another process or an earlier run has left.
_PAUSE, _SURVEY_EVERY = 1.0, 5.0
# Seconds in which a relay stops; longer only when the database hangs, and then it is left behind.
_STOP_SECONDS = 3.0
# Seconds for which a record that Kafka refused is left alone.
_REFUSED_RESTS = 300.0

# Beside a server that is away: its disk is full, it is read-only, the table is locked.
_DATABASE_FAILS: tuple[type[BaseException], ...] = (*DATABASE_AWAY, asyncpg.PostgresError)


class NotKept(Exception):
    """The database did not take the record in time, or not at all; the message names the reason, nothing of it."""


class Spool:
    """Durable before it is acknowledged: the insert commits with `synchronous_commit=on`."""

    def __init__(self, pool: Pool, publisher: Publisher) -> None:
        self._pool, self._publisher = pool, publisher
        self._unwritten: dict[asyncio.Future[None], InboxRecord] = {}
        self._writers: set[asyncio.Task[None]] = set()
        self._waiting: set[str] = set()  # topics of which there may be records
        self._more = asyncio.Event()
        # Until when (monotonic) a refused record is left alone. A restart forgets it and tries again.
        self._refused: dict[int, float] = {}
        self.progress = Progress("spool")

    async def keep(self, record: InboxRecord, *, within: float) -> None:
        """Write a record down; raises NotKept when it is not committed within that many seconds."""
        kept = asyncio.get_running_loop().create_future()
        self._unwritten[kept] = record
        if len(self._writers) < _WRITERS:
            self._writers.add(writer := asyncio.create_task(self._write()))
            writer.add_done_callback(self._writers.discard)
        try:
            async with asyncio.timeout(within):
                await kept
        except _DATABASE_FAILS as error:
            raise NotKept(type(error).__name__) from None
        finally:
            self._unwritten.pop(kept, None)
        self._waiting.add(record.topic)
        self._more.set()

    async def _write(self) -> None:
        """Commit what waits, together: while Kafka is away one transaction for each webhook would be too slow."""
        while batch := dict(islice(self._unwritten.items(), _AT_ONCE)):
            for kept in batch:
                del self._unwritten[kept]
            error = await self._insert(list(batch.values()))
            for kept in batch:
                if kept.done():
                    continue
                if error is None:
                    kept.set_result(None)
                else:
                    kept.set_exception(error)

    async def _insert(self, records: list[InboxRecord]) -> BaseException | None:
        headers = [{name: printable(text) for name, text in record.headers.items()} for record in records]
        try:
            await self._pool.execute(
                "insert into spool (topic, key, value, headers) "
                "select t, k, v, h::jsonb "
                "from unnest($1::text[], $2::bytea[], $3::bytea[], $4::text[]) as i(t, k, v, h)",
                [record.topic for record in records], [record.key for record in records],
                [record.value for record in records], [exact_json.encode(each).decode() for each in headers],
            )  # fmt: skip
        except _DATABASE_FAILS as error:
            return error
        return None

    async def relay(self, stopping: asyncio.Event) -> None:
        """Pass spooled records on until stopped, then at once stop. Copies and order do no harm: ids and versions sort
        it out. Several processes may relay at once; each takes rows that no other one has in hand."""
        rounds, stopped = asyncio.create_task(self._rounds()), asyncio.create_task(stopping.wait())
        await asyncio.wait([rounds, stopped], return_when=asyncio.FIRST_COMPLETED)
        if rounds.done():
            rounds.result()
        rounds.cancel()
        await asyncio.wait([rounds], timeout=_STOP_SECONDS)

    async def _rounds(self) -> None:
        """A drain for each topic that has records: one topic that takes nothing must not hold up the others."""
        drains: dict[str, asyncio.Task[None]] = {}
        next_survey = 0.0
        async with asyncio.TaskGroup() as group:
            while True:
                self.progress.alive()
                if time.monotonic() >= next_survey:
                    self._waiting |= await self._survey()
                    next_survey = time.monotonic() + _SURVEY_EVERY
                for topic in list(self._waiting):
                    if topic not in drains or drains[topic].done():
                        self._waiting.discard(topic)
                        drains[topic] = group.create_task(self._drain(topic))
                self._more.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_PAUSE):
                        await self._more.wait()

    async def _survey(self) -> set[str]:
        try:
            rows = await self._pool.fetch("select topic, count(*) as n from spool group by topic")
        except _DATABASE_FAILS as error:
            log.info("spool waits for the database", error=type(error).__name__)
            return set()
        SPOOLED.set(sum(row["n"] for row in rows))
        return {row["topic"] for row in rows}

    async def _drain(self, topic: str) -> None:
        """Pass on a topic's records until none is left."""
        at_once = 1
        while True:
            try:
                tried, moved = await self._pass_on(topic, at_once)
            except _DATABASE_FAILS as error:
                log.info("spool waits for the database", error=type(error).__name__)
                return
            if not tried:
                return
            # While nothing moves one record is the trial, so that an outage does not leave many copies behind.
            at_once = _AT_ONCE if moved else 1
            if not moved:
                await asyncio.sleep(_PAUSE)

    async def _pass_on(self, topic: str, at_once: int) -> tuple[int, int]:
        """Relay the topic's oldest records; gives how many were tried, and how many of them Kafka has confirmed."""
        now = time.monotonic()
        self._refused = {number: until for number, until in self._refused.items() if until > now}
        async with self._pool.acquire() as database, database.transaction():
            rows = await database.fetch(
                "select id, key, value, headers from spool where topic = $1 and id <> all($2::bigint[]) "
                "order by id limit $3 for update skip locked",
                topic, list(self._refused), at_once,
            )  # fmt: skip
            taken = await asyncio.gather(*(self._publish(topic, row) for row in rows))
            done = [row["id"] for row, was_taken in zip(rows, taken, strict=True) if was_taken]
            if done:
                failpoint("inside_spool_relay")
                await database.execute("delete from spool where id = any($1)", done)
        self.progress.done(len(done))
        return len(rows), len(done)

    async def _publish(self, topic: str, row: Any) -> bool:
        try:
            await self._publisher.publish(topic, row["key"], row["value"], row["headers"], within=_PATIENCE)
        except RecordRefused as error:
            log.error("a spooled record is refused by kafka and stays in the spool", row=row["id"], error=str(error))
            self._refused[row["id"]] = time.monotonic() + _REFUSED_RESTS
        except KafkaAway as error:
            log.info("spool waits for kafka", error=str(error))
        else:
            return True
        return False
