"""Is this webhook Shopify's own? HMAC-SHA256 of the raw body, keyed with the app's client secret, in base64.

Source: Shopify's JavaScript SDK, lib/utils/hmac-validator.ts. No time and no URL is signed, so nothing can be stale;
for up to an hour after a secret was rotated webhooks may carry either signature, therefore two secrets.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime

from libs.connectors.contract.source import SignatureInvalid, Webhook
from libs.connectors.shopify.headers import header

SECRETS = ("client_secret", "client_secret_previous")


def sign(body: bytes, secret: str) -> str:
    """What Shopify writes into `X-Shopify-Hmac-Sha256` for that body."""
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def verify(webhook: Webhook, secrets: Mapping[str, str], now: datetime) -> None:
    """Returns when the signature is right by one of the secrets; raises SignatureInvalid."""
    given = (header(webhook.headers, "hmac-sha256") or "").strip().encode()
    if not given:
        raise SignatureInvalid("the webhook carries no signature")
    known = [secrets[name] for name in SECRETS if secrets.get(name)]
    if not any(hmac.compare_digest(sign(webhook.body, secret).encode(), given) for secret in known):
        raise SignatureInvalid("the signature does not fit the body")
