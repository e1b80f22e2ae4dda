"""`POST /webhooks/{connection}`: authentic, card-free and durable before it is acknowledged.

    404 unknown connection    413 too large     401 not the vendor's signature
    200 kept (in Kafka or in the spool)         503 neither takes it: the vendor sends it again
An authentic webhook that cannot be read is kept as a dead letter and acknowledged: sending it again would not help.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache, partial

import structlog
from opentelemetry.trace import SpanKind
from starlette.types import Receive, Scope, Send

from libs.connectors.contract.source import (
    MalformedNotification,
    Notification,
    SignatureInvalid,
    SignatureStale,
    Source,
    Webhook,
)
from libs.runtime import exact_json
from libs.runtime.carddata import TooDeep, cut, cut_text
from libs.runtime.configuration.model import Connection
from libs.runtime.engine.dead_letters import fingerprint
from libs.runtime.kafka.publisher import LARGEST_RECORD, Publisher
from libs.runtime.kafka.topics import DLQ_INGEST
from libs.runtime.kafka.writer import KafkaAway
from libs.runtime.telemetry.metrics import CARD_DATA_CUT, WEBHOOK_SECONDS, WEBHOOKS
from libs.runtime.telemetry.tracing import span, traceparent
from services.ingest.asgi import TooLarge, Truncated, answer, headers_of, read_body
from services.ingest.inbox import InboxRecord, content_id, inbox_record, kept_headers
from services.ingest.spool import NotKept, Spool

log = structlog.get_logger()

MAX_BYTES = 2 * 1024 * 1024
# What a record's value may have: the rest is for its key and headers.
_MOST_KEPT = LARGEST_RECORD - 64 * 1024
# Shares of the vendor's answer budget, and what neither is waited for longer; the rest is for the way.
_KAFKA_SHARE, _SPOOL_SHARE = 0.6, 0.3
_LONGEST_WAIT = 1.5  # seconds


class Door:
    """One source connection's entrance, and what every webhook needs of it, looked up once."""

    def __init__(self, connection: Connection, source: Source, secrets: Mapping[str, str]) -> None:
        self.connection, self.source, self.secrets = connection, source, secrets
        facts = source.manifest.source
        assert facts is not None
        self.card_fields, self.not_cards = frozenset(facts.card_fields), frozenset(facts.not_cards)
        self.account_key = str(connection.account_key)
        # Seconds after which the spool is used instead of Kafka, and after which it is given up as well.
        self.wait_for_kafka = min(_LONGEST_WAIT, facts.answer_budget_seconds * _KAFKA_SHARE)
        self.wait_for_spool = min(_LONGEST_WAIT, facts.answer_budget_seconds * _SPOOL_SHARE)
        self._counted = cache(partial(WEBHOOKS.labels, connection.id))
        self._seconds = WEBHOOK_SECONDS.labels(connection.id)

    def count(self, outcome: str, seconds: float) -> None:
        """Count an answer by its outcome, with the time it took."""
        self._counted(outcome).inc()
        self._seconds.observe(seconds)


class Webhooks:
    """Receives the webhooks of all source connections."""

    def __init__(self, doors: Mapping[str, Door], publisher: Publisher, spool: Spool) -> None:
        self._doors, self._publisher, self._spool = doors, publisher, spool

    async def receive(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one webhook of the connection of that name."""
        door = self._doors.get(name)
        if door is None:
            WEBHOOKS.labels("unknown", "unknown_connection").inc()
            await answer(send, 404, {"error": "no such connection"})
            return
        started = time.perf_counter()
        with span(f"webhook {door.connection.vendor}", SpanKind.SERVER, attributes={"tillstream.connection": name}):
            status, outcome, message = await self._judge(door, scope, receive)
        door.count(outcome, time.perf_counter() - started)
        await answer(send, status, {"status": outcome} if status == 200 else {"error": message})

    async def _judge(self, door: Door, scope: Scope, receive: Receive) -> tuple[int, str, str]:
        headers = headers_of(scope)
        try:
            body = await read_body(headers, receive, MAX_BYTES)
        except TooLarge:
            return 413, "too_large", f"a webhook may have {MAX_BYTES} bytes"
        except Truncated:
            return 400, "truncated", "the connection ended before the body did"
        webhook = Webhook(headers, body, door.connection.public_url or "")
        try:
            door.source.verify(webhook, door.secrets, datetime.now(UTC))
        except SignatureStale:
            return 401, "stale", "the signature is too old"
        except SignatureInvalid:
            return 401, "forged", "the signature is missing or wrong"
        record = self._read_authentic(door, headers, body)
        return await self._keep(door, record)

    def _read_authentic(self, door: Door, headers: Mapping[str, str], body: bytes) -> InboxRecord:
        """The record to keep: an inbox record, or a dead letter for what cannot be read."""
        name = door.connection.id
        kept = kept_headers(door.connection.vendor, headers)
        try:
            clean = cut(exact_json.decode(body), card_fields=door.card_fields, not_cards=door.not_cards)
        except TooDeep:
            # Its bytes were not searched to the bottom, so none of them are kept.
            return _unreadable(name, kept, None, "nested too deeply to be searched for card data; content not kept")
        except (exact_json.DecodeError, UnicodeDecodeError, RecursionError):
            text = cut_text(body.decode("utf-8", "replace"), card_fields=door.card_fields)
            return _unreadable(name, kept, str(text.document).encode(), "not readable as JSON in UTF-8")
        for finding in clean.findings:
            CARD_DATA_CUT.labels(name, str(finding.rule)).inc()
        notification = Notification(kept, clean.document)
        try:
            identified = door.source.identify(notification)
        except MalformedNotification as error:
            return _unreadable(name, kept, exact_json.encode(clean.document), str(error))
        if identified.account_id and identified.account_id != door.connection.account:
            return _unreadable(
                name, kept, exact_json.encode(clean.document),
                "it belongs to another account than the one configured",
            )  # fmt: skip
        first = identified.roots[0] if identified.roots else None
        record = inbox_record(
            door.connection,
            notification,
            delivery_id=identified.delivery_id or content_id("body", clean.document),
            type_=identified.type,
            root_key=f"{door.account_key}:{first.kind}:{first.id}" if first else "",
            via="webhook",
            traceparent=traceparent(),
        )
        if len(record.value) > _MOST_KEPT:
            return _unreadable(name, kept, None, "too large to be kept; content not kept")
        return record

    async def _keep(self, door: Door, record: InboxRecord) -> tuple[int, str, str]:
        outcome = "unreadable" if record.topic == DLQ_INGEST else "accepted"
        if self._publisher.worth_trying(record.topic):
            try:
                await self._publisher.publish(
                    record.topic, record.key, record.value, record.headers, within=door.wait_for_kafka
                )
            except KafkaAway:
                pass
            else:
                return 200, outcome, ""
        try:
            await self._spool.keep(record, within=door.wait_for_spool)
        except NotKept as error:
            log.error("webhook refused: neither Kafka nor the database takes it", error=str(error))
            return 503, "nowhere_to_keep", "cannot be kept at the moment; send it again"
        return 200, "spooled", ""


def _unreadable(connection: str, headers: Mapping[str, str], content: bytes | None, reason: str) -> InboxRecord:
    """A dead letter of intake; `content` is free of card data."""
    if content and len(content) > _MOST_KEPT:
        content, reason = None, f"{reason}; too large, content not kept"
    value = content or b""
    delivery = content_id("unreadable", [connection, reason, value.decode("utf-8", "replace"), dict(headers)])
    return InboxRecord(
        DLQ_INGEST,
        delivery.encode(),
        value,
        {
            "dl-id": delivery,
            "dl-event-id": delivery,
            "dl-connection": connection,
            "dl-stage": "ingest",
            "dl-class": "poison",
            "dl-reason": reason,
            "dl-fingerprint": fingerprint("poison", reason),
            "dl-failed-at": datetime.now(UTC).isoformat(),
            **{f"vendor-{name}": value for name, value in headers.items()},
        },
    )
