"""`POST /webhooks/{connection}`: authentic, card-free and durable before it is acknowledged.

    404 unknown connection    413 too large     401 not the vendor's signature
    200 kept (in Kafka or in the spool)         503 neither takes it: the vendor sends it again
An authentic webhook that cannot be read is kept as a dead letter and acknowledged: sending it again would not help.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from opentelemetry.trace import SpanKind
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

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
from libs.runtime.database.pool import DATABASE_AWAY
from libs.runtime.engine.dead_letters import fingerprint
from libs.runtime.kafka.publisher import Publisher
from libs.runtime.kafka.topics import DLQ_INGEST
from libs.runtime.kafka.writer import KafkaAway
from libs.runtime.telemetry.metrics import CARD_DATA_CUT, WEBHOOK_SECONDS, WEBHOOKS
from libs.runtime.telemetry.tracing import span, traceparent
from services.ingest.inbox import InboxRecord, content_id, inbox_record, kept_headers
from services.ingest.spool import Spool

log = structlog.get_logger()

MAX_BYTES = 2 * 1024 * 1024
# Kafka's share of the vendor's answer budget; the rest is for the spool.
_KAFKA_SHARE = 0.6
_LONGEST_WAIT = 1.5  # seconds


class TooLarge(Exception):
    """The body is larger than any of the vendor's webhooks."""


@dataclass(frozen=True)
class Door:
    """One source connection's entrance."""

    connection: Connection
    source: Source
    secrets: Mapping[str, str]

    @property
    def wait_for_kafka(self) -> float:
        """Seconds after which the spool is used instead."""
        assert self.source.manifest.source is not None
        return min(_LONGEST_WAIT, self.source.manifest.source.answer_budget_seconds * _KAFKA_SHARE)


class Webhooks:
    """Receives the webhooks of all source connections."""

    def __init__(self, doors: Mapping[str, Door], publisher: Publisher, spool: Spool) -> None:
        self._doors, self._publisher, self._spool = doors, publisher, spool

    async def receive(self, request: Request) -> JSONResponse:
        """Answer one webhook."""
        name = request.path_params["connection"]
        door = self._doors.get(name)
        if door is None:
            WEBHOOKS.labels("unknown", "unknown_connection").inc()
            return JSONResponse({"error": "no such connection"}, status_code=404)
        started = time.perf_counter()
        with span(f"webhook {door.connection.vendor}", SpanKind.SERVER, attributes={"tillstream.connection": name}):
            status, outcome, message = await self._judge(door, request)
        WEBHOOKS.labels(name, outcome).inc()
        WEBHOOK_SECONDS.labels(name).observe(time.perf_counter() - started)
        return JSONResponse({"status": outcome} if status == 200 else {"error": message}, status_code=status)

    async def _judge(self, door: Door, request: Request) -> tuple[int, str, str]:
        try:
            body = await _read(request)
        except TooLarge:
            return 413, "too_large", f"a webhook may have {MAX_BYTES} bytes"
        except ClientDisconnect:
            return 400, "truncated", "the connection ended before the body did"
        headers = {name.lower(): value for name, value in request.headers.items()}
        webhook = Webhook(headers, body, door.connection.public_url or str(request.url))
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
        facts = door.source.manifest.source
        assert facts is not None
        name = door.connection.id
        kept = kept_headers(door.connection.vendor, headers)
        try:
            clean = cut(exact_json.decode(body), card_fields=facts.card_fields, not_cards=facts.not_cards)
        except TooDeep:
            # Its bytes were not searched to the bottom, so none of them are kept.
            return _unreadable(name, kept, None, "nested too deeply to be searched for card data; content not kept")
        except (exact_json.DecodeError, UnicodeDecodeError, RecursionError):
            text = cut_text(body.decode("utf-8", "replace"), card_fields=facts.card_fields)
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
        return inbox_record(
            door.connection,
            notification,
            delivery_id=identified.delivery_id or content_id("body", clean.document),
            type_=identified.type,
            root_key=f"{door.connection.account_key}:{first.kind}:{first.id}" if first else "",
            via="webhook",
            traceparent=traceparent(),
        )

    async def _keep(self, door: Door, record: InboxRecord) -> tuple[int, str, str]:
        outcome = "unreadable" if record.topic == DLQ_INGEST else "accepted"
        try:
            await self._publisher.publish(
                record.topic, record.key, record.value, record.headers, within=door.wait_for_kafka
            )
        except KafkaAway:
            try:
                await self._spool.keep(record)
            except DATABASE_AWAY as error:
                log.error("webhook refused: neither Kafka nor the database takes it", error=type(error).__name__)
                return 503, "nowhere_to_keep", "cannot be kept at the moment; send it again"
            return 200, "spooled", ""
        return 200, outcome, ""


async def _read(request: Request) -> bytes:
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > MAX_BYTES:
        raise TooLarge
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BYTES:
            raise TooLarge
        chunks.append(chunk)
    return b"".join(chunks)


def _unreadable(connection: str, headers: Mapping[str, str], content: bytes | None, reason: str) -> InboxRecord:
    """A dead letter of intake; `content` is free of card data."""
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
