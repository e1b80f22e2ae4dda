"""The signature: Square's own published examples, and one computed by other means."""

from __future__ import annotations

import base64
import json
import subprocess
from datetime import UTC, datetime

import pytest

from libs.connectors.contract.source import SignatureInvalid, Webhook
from libs.connectors.square import connector
from libs.connectors.square.webhooks import sign

NOW = datetime(2026, 1, 1, tzinfo=UTC)
URL = "https://hooks.example.com/square/ml1"
BODY = json.dumps({"type": "payment.updated", "note": "Crème brûlée <3 & 抹茶"}, ensure_ascii=False).encode()


def accepts(headers: dict[str, str], body: bytes, url: str, **secrets: str) -> bool:
    source = connector.source
    assert source is not None
    try:
        source.verify(Webhook(headers, body, url), secrets, NOW)
    except SignatureInvalid:
        return False
    return True


@pytest.mark.parametrize(
    ("key", "url", "body", "signature"),
    [
        # The example of Square's page on validating notifications.
        (
            "asdf1234",
            "https://example.com/webhook",
            '{"hello":"world"}',
            "2kRE5qRU2tR+tBGlDwMEw2avJ7QM4ikPYD/PJ3bd9Og=",
        ),
        # The one of Square's Python SDK with characters that some JSON writers escape.
        (
            "signature-key",
            "https://webhook.site/webhooks",
            '{"data":{"type":"webhooks","id":">id<"}}',
            "Cxt7+aTi4rKgcA0bC4g9EHdVtLSDWdqccmL5MvihU4U=",
        ),
    ],
)
def test_squares_own_examples(key: str, url: str, body: str, signature: str) -> None:
    headers = {"x-square-hmacsha256-signature": signature}
    assert accepts(headers, body.encode(), url, signature_key=key)
    assert not accepts(headers, body.encode() + b" ", url, signature_key=key)


def test_an_independent_implementation_agrees() -> None:
    command = ["openssl", "dgst", "-sha256", "-hmac", "kéy-1", "-binary"]
    digest = subprocess.run(command, input=URL.encode() + BODY, capture_output=True, check=True).stdout
    headers = {"x-square-hmacsha256-signature": base64.b64encode(digest).decode()}
    assert accepts(headers, BODY, URL, signature_key="kéy-1")
    assert sign(BODY, URL, "kéy-1")["x-square-hmacsha256-signature"] == headers["x-square-hmacsha256-signature"]


def test_the_url_is_part_of_it_to_the_last_slash() -> None:
    headers = sign(BODY, URL, "key")
    assert accepts(headers, BODY, URL, signature_key="key")
    assert not accepts(headers, BODY, f"{URL}/", signature_key="key")
    assert not accepts(headers, BODY, URL.replace("https", "http"), signature_key="key")


def test_either_key_is_good_while_it_is_rotated() -> None:
    headers = sign(BODY, URL, "old")
    assert accepts(headers, BODY, URL, signature_key="new", signature_key_previous="old")
    assert not accepts(headers, BODY, URL, signature_key="new")


@pytest.mark.parametrize(
    "value", ["", "é" * 44, "\ud800", "A" * 43 + "=", "2kRE5qRU2tR+tBGlDwMEw2avJ7QM4ikPYD/PJ3bd9Og"]
)
def test_anything_else_is_refused(value: str) -> None:
    assert not accepts({"x-square-hmacsha256-signature": value}, BODY, URL, signature_key="key")


def test_unsigned_or_signed_the_old_way_or_without_any_key_is_refused() -> None:
    signature = sign(BODY, URL, "key")["x-square-hmacsha256-signature"]
    assert not accepts({}, BODY, URL, signature_key="key")
    assert not accepts({"x-square-signature": signature}, BODY, URL, signature_key="key")
    assert not accepts(sign(BODY, URL, ""), BODY, URL, signature_key="")
    assert not accepts(sign(BODY, URL, "key"), BODY, URL)
