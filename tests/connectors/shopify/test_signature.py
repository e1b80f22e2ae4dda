"""Only Shopify's own webhooks are let in."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from libs.connectors.contract.source import SignatureInvalid, Webhook
from libs.connectors.shopify.sandbox import sign
from libs.connectors.shopify.signature import verify

BODY = '{"id":5900000000001,"name":"#1042 ü"}'.encode()
NOW = datetime(2026, 7, 1, tzinfo=UTC)
# Computed by: printf '%s' "$BODY" | openssl dgst -sha256 -hmac hush -binary | base64
BY_OPENSSL = "91E/swPnp3i/eqni33xinrrVJVw3trP13vF2oFyzbyg="


def check(signature: str, secrets: dict[str, str], header: str = "x-shopify-hmac-sha256", body: bytes = BODY) -> None:
    verify(Webhook({header: signature}, body, "https://shop.example/in"), secrets, NOW)


def test_it_is_what_openssl_makes_of_it() -> None:
    assert sign(BODY, "hush") == BY_OPENSSL


@pytest.mark.parametrize("header", ["x-shopify-hmac-sha256", "shopify-hmac-sha256"])
def test_both_header_families_are_accepted(header: str) -> None:
    check(BY_OPENSSL, {"client_secret": "hush"}, header)


def test_a_rotated_secret_is_accepted_beside_the_new_one() -> None:
    secrets = {"client_secret": "new", "client_secret_previous": "hush"}
    check(BY_OPENSSL, secrets)
    check(sign(BODY, "new"), secrets)


@pytest.mark.parametrize(
    ("signature", "secrets", "body"),
    [
        (BY_OPENSSL, {"client_secret": "hush"}, BODY + b" "),
        (BY_OPENSSL, {"client_secret": "other"}, BODY),
        (BY_OPENSSL, {"client_secret": ""}, BODY),
        (BY_OPENSSL, {}, BODY),
        (sign(BODY, ""), {"client_secret": ""}, BODY),
        ("", {"client_secret": "hush"}, BODY),
        ("é", {"client_secret": "hush"}, BODY),
    ],
    ids=["tampered", "other secret", "empty secret", "no secret", "signed with nothing", "unsigned", "not ASCII"],
)
def test_anything_else_is_refused(signature: str, secrets: dict[str, str], body: bytes) -> None:
    with pytest.raises(SignatureInvalid):
        check(signature, secrets, body=body)


def test_hex_is_refused() -> None:
    with pytest.raises(SignatureInvalid):
        check(base64.b64decode(BY_OPENSSL).hex(), {"client_secret": "hush"})


def test_no_signature_header_is_refused() -> None:
    with pytest.raises(SignatureInvalid):
        verify(Webhook({}, BODY, ""), {"client_secret": "hush"}, NOW)
