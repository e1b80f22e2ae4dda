"""Polls and backfills: what a vendor lists goes into the same inbox as its webhooks.

Each feed has a watermark in time. One process at a time reads a feed: a lease with an epoch, so that one that lost it
cannot move the watermark.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import structlog

from libs.connectors.contract.http import Request, Response
from libs.connectors.contract.source import MalformedNotification, Notification, Period, Source, Via
from libs.connectors.contract.target import AuthFailed, Done, Throttled
from libs.runtime import exact_json
from libs.runtime.carddata import TooDeep, cut
from libs.runtime.configuration.model import Configuration, Connection
from libs.runtime.database.pool import DATABASE_AWAY, Pool, open_pool
from libs.runtime.engine.dead_letters import DeadLetter, DeadLetterTopic
from libs.runtime.http.answers import judge_status
from libs.runtime.http.client import CredentialsRefused, NoAnswer, NotSent, VendorClient
from libs.runtime.kafka.records import Partition
from libs.runtime.kafka.topics import inbox
from libs.runtime.kafka.writer import KafkaAway, Writer
from libs.runtime.limits import Urgency, shared_limiter
from libs.runtime.service import run_together
from libs.runtime.settings import ProcessSettings
from libs.runtime.telemetry.health import Health
from libs.runtime.telemetry.metrics import CARD_DATA_CUT, FEED_AGE
from libs.runtime.telemetry.progress import Progress
from services.ingest.inbox import content_id, inbox_record

log = structlog.get_logger()

_LEASE = 60  # seconds
_BEGINNING = date(2009, 1, 1)  # before any of these vendors' APIs had a sale
# A backfill asks for this much at a time, so that its progress is kept.
_SLICE = timedelta(days=7)


class PollFailed(Exception):
    """The vendor could not be asked; asked again next time."""


class LeaseLost(Exception):
    """Another process reads this feed now."""


class FeedReader:
    """Reads the feeds of one connection."""

    def __init__(self, connection: Connection, pool: Pool, writer: Writer, settings: ProcessSettings) -> None:
        source = connection.connector.source
        assert source is not None
        assert source.manifest.source is not None
        self.connection, self._pool, self._writer = connection, pool, writer
        self._source: Source = source
        self._facts = source.manifest.source
        self._limiter = shared_limiter(connection, pool, settings)
        self._dead_letters = DeadLetterTopic(writer)
        self._owner = settings.instance
        self._settings = settings
        self._client: VendorClient | None = None

    async def close(self) -> None:
        """Close the HTTP client, give back what is leased of the limits."""
        await self._limiter.close()
        if self._client is not None:
            await self._client.close()

    @property
    def feeds(self) -> Sequence[str]:
        """The feeds to poll."""
        chosen = self.connection.poll.feeds if self.connection.poll else ()
        return chosen or self._facts.feeds

    async def poll(self, feed: str) -> int:
        """Ask for what is new since the watermark; how many objects were found. Raises PollFailed."""
        epoch, watermark = await self._lease(feed)
        if epoch is None:
            return 0
        now = datetime.now(UTC)
        begin = (watermark or self._start(now)) - timedelta(seconds=self._source.pull.overlap_seconds)
        found = 0
        try:
            async for page in self._pages(feed, Period(begin, now)):
                found += await self._write(page, "poll")
                await self._renew(feed, epoch)
        except PollFailed as error:
            if watermark is not None:
                FEED_AGE.labels(self.connection.id, feed).set((now - watermark).total_seconds())
            await self._note(feed, epoch, None, str(error))
            raise
        await self._note(feed, epoch, now, None)
        FEED_AGE.labels(self.connection.id, feed).set(0)
        return found

    async def backfill(self, feed: str, period: Period) -> int:
        """Ask for everything in the period; how many objects were found. Raises PollFailed."""
        found = 0
        async for page in self._pages(feed, period, Urgency.REPLAY):
            found += await self._write(page, "backfill")
        return found

    def _start(self, now: datetime) -> datetime:
        start = self.connection.start
        if start == "now":
            return now
        day = _BEGINNING if start == "beginning" else start
        assert isinstance(day, date)
        # A day earlier: the day may begin earlier in the location's zone than in UTC.
        return datetime.combine(day, time(0), UTC) - timedelta(days=1)

    async def _pages(self, feed: str, period: Period, urgency: Urgency = Urgency.LIVE) -> Any:
        pull = self._source.pull
        request: Request | None = pull.first(
            feed, period, self.connection.account, list(self.connection.locations or ())
        )
        while request is not None:
            response = await self._ask(request, urgency)
            yield pull.found(feed, response)
            request = pull.following(feed, request, response)

    async def _ask(self, request: Request, urgency: Urgency) -> Response:
        for attempt in range(6):
            try:
                if self._client is None:
                    self._client = VendorClient(
                        self.connection, self._pool, timeout=self._settings.http_timeout_seconds,
                        encryption_key=self._settings.encryption_key,
                    )  # fmt: skip
                async with self._limiter.slot(urgency):
                    response = await self._client.send(request)
                self._limiter.heed(response)
            except (NotSent, NoAnswer) as error:
                raise PollFailed(str(error)) from None
            except CredentialsRefused as error:
                raise PollFailed(str(error)) from None
            judge = self._source.judge
            verdict = (judge(response) if judge else None) or judge_status(response, reads=True)
            if isinstance(verdict, Done):
                return response
            if isinstance(verdict, Throttled):
                self._limiter.pause(verdict.after if verdict.after is not None else 2.0**attempt)
                continue
            if isinstance(verdict, AuthFailed) and attempt == 0 and await self._client.renew_credentials():
                continue
            raise PollFailed(f"HTTP {response.status}: {getattr(verdict, 'reason', '')}")
        raise PollFailed("throttled again and again")

    async def _write(self, found: Sequence[Notification], via: Via) -> int:
        for notification in found:
            try:
                clean = cut(notification.body, card_fields=self._facts.card_fields, not_cards=self._facts.not_cards)
                kept = Notification(notification.headers, clean.document)
                identified = self._source.identify(kept)
            except TooDeep:
                await self._give_up(None, "nested too deeply to be searched for card data; content not kept")
                continue
            except MalformedNotification as error:
                await self._give_up(clean.document, str(error))
                continue
            for finding in clean.findings:
                CARD_DATA_CUT.labels(self.connection.id, str(finding.rule)).inc()
            root = identified.roots[0] if identified.roots else None
            record = inbox_record(
                self.connection,
                kept,
                # The same object in the same state, listed again, is the same delivery.
                delivery_id=content_id("listed", [dict(kept.headers), kept.body]),
                type_=identified.type,
                root_key=f"{self.connection.account_key}:{root.kind}:{root.id}" if root else "",
                via=via,
                traceparent=None,
            )
            headers = [(name, value.encode()) for name, value in record.headers.items()]
            try:
                await self._writer.send(record.topic, record.key, record.value, headers)
            except KafkaAway as error:
                raise PollFailed(str(error)) from None
        return len(found)

    async def _give_up(self, content: Any, reason: str) -> None:
        """A listed object that nobody can read is a dead letter, as a webhook would be."""
        name = content_id("listed", [self.connection.id, reason, content])
        await self._dead_letters.publish(
            DeadLetter(
                "ingest", self.connection.id, name, "poison", reason, 0, name.encode(), exact_json.encode(content), (),
                Partition(inbox(self.connection.vendor), 0), 0,
            )
        )  # fmt: skip

    # The lease --------------------------------------------------------------------------------------------------

    async def _lease(self, feed: str) -> tuple[int | None, datetime | None]:
        row = await self._pool.fetchrow(
            "insert into feed_cursor (connection, feed, lease_owner, lease_epoch, lease_until) "
            "values ($1, $2, $3, 1, now() + make_interval(secs => $4)) "
            "on conflict (connection, feed) do update set lease_owner = $3, lease_epoch = feed_cursor.lease_epoch + 1, "
            "lease_until = now() + make_interval(secs => $4) "
            "where feed_cursor.lease_until is null or feed_cursor.lease_until < now() or feed_cursor.lease_owner = $3 "
            "returning lease_epoch, watermark",
            self.connection.id, feed, self._owner, _LEASE,
        )  # fmt: skip
        return (row["lease_epoch"], row["watermark"]) if row else (None, None)

    async def _renew(self, feed: str, epoch: int) -> None:
        renewed = await self._pool.fetchval(
            "update feed_cursor set lease_until = now() + make_interval(secs => $4) "
            "where connection = $1 and feed = $2 and lease_epoch = $3 returning true",
            self.connection.id, feed, epoch, _LEASE,
        )  # fmt: skip
        if not renewed:
            raise LeaseLost(feed)

    async def _note(self, feed: str, epoch: int, watermark: datetime | None, error: str | None) -> None:
        noted = await self._pool.fetchval(
            "update feed_cursor set watermark = coalesce($4, watermark), last_error = $5, lease_until = null, "
            "last_success_at = case when $5::text is null then now() else last_success_at end "
            "where connection = $1 and feed = $2 and lease_epoch = $3 returning true",
            self.connection.id, feed, epoch, watermark, error,
        )  # fmt: skip
        if not noted:
            raise LeaseLost(feed)


class Poller:
    """Polls all connections that ask for it, and carries out backfills."""

    def __init__(self, settings: ProcessSettings, configuration: Configuration, pool: Pool, writer: Writer) -> None:
        self._pool = pool
        self._readers = {c.id: FeedReader(c, pool, writer, settings) for c in configuration.sources()}
        self.progress = Progress("poller")

    async def close(self) -> None:
        """Close the HTTP clients."""
        for reader in self._readers.values():
            await reader.close()

    async def _paused(self, connection: str) -> bool:
        return bool(
            await self._pool.fetchval(
                "select paused_by is not null from connection_state where connection = $1", connection
            )
        )

    async def poll(self, reader: FeedReader, stopping: asyncio.Event) -> None:
        """Poll one connection's feeds at its interval."""
        assert reader.connection.poll is not None
        while not stopping.is_set():
            self.progress.alive()
            for feed in reader.feeds:
                try:
                    if not await self._paused(reader.connection.id):
                        self.progress.done(await reader.poll(feed))
                except PollFailed as error:
                    log.warning("poll failed", connection=reader.connection.id, feed=feed, why=str(error)[:200])
                except LeaseLost:
                    log.info("another process polls", connection=reader.connection.id, feed=feed)
                except DATABASE_AWAY as error:
                    log.warning("database is away", error=type(error).__name__)
            await _pause(stopping, reader.connection.poll.every_seconds)

    async def backfills(self, stopping: asyncio.Event) -> None:
        """Carry out requested backfills, slice by slice; a crash resumes at the last slice."""
        while not stopping.is_set():
            self.progress.alive()
            try:
                request = await self._next_request()
                if request is not None:
                    await self._carry_out(request, stopping)
                    continue
            except DATABASE_AWAY as error:
                log.warning("database is away", error=type(error).__name__)
            await _pause(stopping, 1)

    async def _next_request(self) -> Any:
        return await self._pool.fetchrow(
            "update backfill_request set state = 'running', lease_until = now() + interval '2 minutes' where id = ("
            "  select id from backfill_request where connection = any($1) and (state = 'waiting' "
            "  or (state = 'running' and lease_until < now())) order by id limit 1 for update skip locked) returning *",
            list(self._readers),
        )

    async def _carry_out(self, request: Any, stopping: asyncio.Event) -> None:
        reader = self._readers[request["connection"]]
        done = exact_json.decode(request["progress"] or "{}")
        found = int(request["found"])
        for feed in request["feeds"] or reader.feeds:
            begin = datetime.fromisoformat(done[feed]) if feed in done else request["begin_at"]
            while begin < request["end_at"] and not stopping.is_set():
                end = min(begin + _SLICE, request["end_at"])
                self.progress.alive()
                try:
                    found += await reader.backfill(feed, Period(begin, end))
                except PollFailed as error:
                    log.warning("backfill waits", connection=reader.connection.id, feed=feed, why=str(error)[:200])
                    await _pause(stopping, 5)
                    continue
                begin, done[feed] = end, end.isoformat()
                await self._pool.execute(
                    "update backfill_request set progress = $2, found = $3, lease_until = now() + interval '2 minutes' "
                    "where id = $1",
                    request["id"], exact_json.encode(done).decode(), found,
                )  # fmt: skip
        if not stopping.is_set():
            await self._pool.execute("update backfill_request set state = 'done' where id = $1", request["id"])

    async def run(self, stopping: asyncio.Event) -> None:
        """Everything, until told to stop."""
        polled = [reader for reader in self._readers.values() if reader.connection.poll]
        await asyncio.gather(self.backfills(stopping), *(self.poll(reader, stopping) for reader in polled))


async def _pause(stopping: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return


async def poll(settings: ProcessSettings, configuration: Configuration, stopping: asyncio.Event) -> None:
    """Run the poller until told to stop."""
    pool = await open_pool(settings.postgres, size=4, name="ingest-poller")
    writer = Writer(settings.kafka)
    poller = Poller(settings, configuration, pool, writer)
    health = Health(settings.metrics_port, [poller.progress])
    await health.start()
    try:
        await run_together(stopping, poller.run(stopping))
    finally:
        await writer.stop()
        await poller.close()
        await health.stop()
        await pool.close()
