"""Webhooks: what is refused, what is kept, and that nothing is acknowledged before it is durable."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from libs.runtime.kafka.offsets import read_whole
from tests.system.configuration import SECRETS
from tests.system.installation import Installation

PAN = "4111 1111 1111 1111"


def _signed(url: str, raw: bytes) -> dict[str, str]:
    digest = hmac.new(SECRETS["SQUARE_SIGNATURE_KEY"].encode(), url.encode() + raw, hashlib.sha256).digest()
    return {"x-square-hmacsha256-signature": base64.b64encode(digest).decode()}


def _body(event_id: str = "e1", **payment: Any) -> dict[str, Any]:
    full = {"id": "P1", "order_id": "O1", "status": "COMPLETED", **payment}
    return {
        "merchant_id": "ML1",
        "type": "payment.updated",
        "event_id": event_id,
        "created_at": "2026-11-18T12:00:00Z",
        "data": {"type": "payment", "id": "P1", "object": {"payment": full}},
    }


async def _post(installation: Installation, raw: bytes, *, headers: dict[str, str] | None = None) -> int:
    url = f"http://127.0.0.1:{installation.ports['http']}/webhooks/square-main"
    async with installation.http.post(
        url, data=raw, headers=_signed(url, raw) if headers is None else headers
    ) as answer:
        return answer.status


async def _records(installation: Installation, *topics: str) -> list[Any]:
    return [record async for record in read_whole(installation.kafka_settings, topics)]


@pytest.mark.timeout(240)
async def test_what_is_refused_and_what_is_kept(installation: Installation) -> None:
    """Each kind of bad webhook gets its status or its dead letter; nothing crashes and no card number is kept."""
    await installation.start("webhooks", "journey")
    good = json.dumps(_body()).encode()
    url = f"http://127.0.0.1:{installation.ports['http']}/webhooks/square-main"
    assert await _post(installation, good) == 200
    # Refused: nobody but Square can have signed it.
    assert await _post(installation, good, headers={}) == 401
    assert await _post(installation, good, headers={"x-square-hmacsha256-signature": "AAAA"}) == 401
    assert await _post(installation, good[:-1] + b" ", headers=_signed(url, good)) == 401
    async with installation.http.post(url.replace("square-main", "nobody"), data=good) as answer:
        assert answer.status == 404
    assert await _post(installation, b"x" * (2 * 1024 * 1024 + 1)) == 413
    # Authentic but unreadable: kept as dead letters and acknowledged.
    deep = b'{"a":' * 200 + b"1" + b"}" * 200
    other_account = json.dumps(_body() | {"merchant_id": "SOMEBODY"}).encode()
    for raw in (b"{not json", b'{"a": "\xff\xfe"}', b"[]", b"", deep, other_account, f'"pay {PAN}'.encode()):
        assert await _post(installation, raw) == 200, raw[:40]
    # Made readable it would be larger than Kafka takes, and stand in the spool for ever.
    assert await _post(installation, b"\xff" * 2 * 1024 * 1024) == 200
    # Card data is cut before the first write.
    noted = json.dumps(_body("e2", note=f"card {PAN} please", cvv="123")).encode()
    assert await _post(installation, noted) == 200
    unknown = json.dumps(_body("e3") | {"type": "alien.landed"}).encode()
    assert await _post(installation, unknown) == 200

    inbox = {r.text["delivery-id"]: r for r in await _records(installation, "inbox.square")}
    assert set(inbox) == {"e1", "e2", "e3"}
    letters = await _records(installation, "dlq.ingest")
    assert len(letters) == 8
    assert sum("too large" in letter.text["dl-reason"] for letter in letters) == 1
    assert await installation.count("select count(*) from spool") == 0
    for record in [*inbox.values(), *letters]:
        kept = (record.key or b"") + (record.value or b"") + repr(record.headers).encode()
        assert PAN.replace(" ", "").encode() not in kept.replace(b" ", b"")
    assert b'"123"' not in (inbox["e2"].value or b""), "a security code leaves nothing"
    places = {(letter.text["dl-stage"], letter.text["dl-class"]) for letter in letters}
    assert places == {("ingest", "poison")}

    async def indexed() -> bool:
        return (
            await installation.count("select count(*) from dead_letter where stage = 'ingest' and state = 'open'") == 8
        )

    await installation.until(indexed, "dead letters can be searched")


async def test_nothing_is_acknowledged_before_it_is_durable(installation: Installation) -> None:
    """Kafka paused: the spool keeps it. Kafka and the database away: 503. Both back: everything is in the inbox."""
    await installation.start("webhooks")
    assert await _post(installation, json.dumps(_body("before")).encode()) == 200
    await asyncio.to_thread(installation.stack.pause_broker, 1)
    assert await _post(installation, json.dumps(_body("spooled")).encode()) == 200
    assert await installation.count("select count(*) from spool") == 1, "acknowledged because it is in the spool"
    await asyncio.to_thread(installation.stack.pause_postgres)
    assert await _post(installation, json.dumps(_body("refused")).encode()) == 503
    await asyncio.to_thread(installation.stack.resume_postgres)
    await asyncio.to_thread(installation.stack.resume_broker, 1)

    async def relayed() -> bool:
        ids = {record.text["delivery-id"] for record in await _records(installation, "inbox.square")}
        return {"before", "spooled"} <= ids and await installation.count("select count(*) from spool") == 0

    await installation.until(relayed, "the spool is relayed")
