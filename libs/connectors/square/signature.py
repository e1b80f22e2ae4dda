"""Square's webhook signature."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime

from libs.connectors.contract.source import SignatureInvalid, Webhook

HEADER = "x-square-hmacsha256-signature"
# The second one is for the time of a key's rotation, when both are in use.
SECRETS = ("signature_key", "signature_key_previous")


def sign(body: bytes, url: str, key: str) -> str:
    """The signature: HMAC-SHA256 over the notification URL as registered and the raw body, in base64.

    The key is used as the text it is, not base64-decoded (Square SDK, webhooks_helper.verify_signature).
    """
    digest = hmac.new(key.encode(), url.encode() + body, hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def verify(webhook: Webhook, secrets: Mapping[str, str], now: datetime) -> None:
    """Raises SignatureInvalid unless one of the connection's keys signed it.

    Square signs no time, so `now` decides nothing: a repeated delivery is told by its `event_id` instead.
    """
    stated = webhook.headers.get(HEADER, "").encode(errors="replace")
    if not stated:
        raise SignatureInvalid(f"header {HEADER} is missing")
    keys = [secrets[name] for name in SECRETS if secrets.get(name)]
    if not keys:
        raise SignatureInvalid("no signature key is configured")
    # Every key is compared, so that the time taken does not tell which one it was.
    matches = [hmac.compare_digest(sign(webhook.body, webhook.public_url, key).encode(), stated) for key in keys]
    if not any(matches):
        raise SignatureInvalid("the signature fits no key: check the key, and that the public URL is as registered")
