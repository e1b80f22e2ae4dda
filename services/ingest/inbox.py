"""What stands in `inbox.<vendor>`: a notification as received, authentic and free of card data."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from libs.connectors.contract.source import Notification, Via
from libs.runtime import exact_json
from libs.runtime.configuration.model import Connection
from libs.runtime.kafka.topics import inbox

# Headers that say nothing about the content, or that must not be kept.
_DROPPED = re.compile("authorization|cookie|signature|hmac|token|forwarded")


@dataclass(frozen=True)
class InboxRecord:
    """One notification on its way. `delivery_id` only spots repeated deliveries."""

    topic: str
    key: bytes
    value: bytes
    headers: dict[str, str]


def kept_headers(vendor: str, headers: Mapping[str, str]) -> dict[str, str]:
    """The vendor's own headers, without signatures and secrets."""
    return {name: value for name, value in headers.items() if vendor in name and not _DROPPED.search(name)}


def inbox_record(
    connection: Connection,
    notification: Notification,
    *,
    delivery_id: str,
    type_: str,
    root_key: str,
    via: Via,
    traceparent: str | None,
) -> InboxRecord:
    """The record for an authentic, card-free notification."""
    headers = {
        "connection": connection.id,
        "delivery-id": delivery_id,
        "type": type_,
        "via": via,
        "received-at": datetime.now(UTC).isoformat(),
        "content-type": "application/json",
    }
    if traceparent:
        headers["traceparent"] = traceparent
    value = exact_json.encode({"headers": dict(notification.headers), "body": notification.body})
    return InboxRecord(inbox(connection.vendor), (root_key or delivery_id).encode(), value, headers)


def content_id(prefix: str, body: Any) -> str:
    """An id of a delivery without one of its own: the same content is the same delivery."""
    encoded = exact_json.encode_sorted(body)
    return f"{prefix}:{hashlib.sha256(encoded).hexdigest()[:32]}"
