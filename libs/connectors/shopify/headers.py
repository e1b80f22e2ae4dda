"""Shopify's webhook headers, of which there are two families: `X-Shopify-Topic` and the newer `shopify-topic`.

Source: Shopify's JavaScript SDK, lib/types.ts.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime


def header(headers: Mapping[str, str], name: str) -> str | None:
    """The header of that name (`topic`, `shop-domain`, ...) in either family; keys of `headers` are lower case."""
    return headers.get(f"x-shopify-{name}") or headers.get(f"shopify-{name}")


def webhook_headers(topic: str, shop: str, webhook_id: str, event_id: str, triggered_at: datetime) -> dict[str, str]:
    """The headers with which Shopify sends a webhook, without the signature."""
    return {
        "Content-Type": "application/json",
        "X-Shopify-Topic": topic,
        "X-Shopify-Shop-Domain": shop,
        "X-Shopify-API-Version": "2026-07",
        "X-Shopify-Webhook-Id": webhook_id,
        "X-Shopify-Event-Id": event_id,
        "X-Shopify-Triggered-At": triggered_at.isoformat().replace("+00:00", "Z"),
    }
