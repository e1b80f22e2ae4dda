"""A webhook ready to send, and a deed: what happened at a till, what the vendor then holds and what it sends."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec

_ENCODER = msgspec.json.Encoder(decimal_format="number")
_NAMES = uuid.UUID("6f1d0d3a-0d0e-5c1f-9b1c-2f6c1f2f9a11")


@dataclass(frozen=True)
class Hook:
    """A signed webhook. `tells` names the sale or other thing it is about."""

    connection: str
    headers: Mapping[str, str]
    body: bytes
    tells: str


@dataclass(frozen=True)
class Deed:
    """Something that happened: objects to put at vendors, then webhooks in the vendor's usual order."""

    day: int
    at: datetime
    what: Literal["sale", "refund", "customer", "stock", "change"]
    tells: str
    load: Mapping[str, Mapping[str, list[Any]]] = field(default_factory=dict)
    hooks: tuple[Hook, ...] = ()


def as_json(value: Any) -> bytes:
    """JSON with exact numbers."""
    return _ENCODER.encode(value)


def stable_uuid(*about: object) -> str:
    """A UUID that is the same in every run."""
    return str(uuid.uuid5(_NAMES, ":".join(map(str, about))))


def utc(moment: datetime, plus: float = 0.0) -> str:
    """RFC 3339 in UTC with milliseconds; `plus` seconds later."""
    later = moment.astimezone(UTC) + timedelta(seconds=plus)
    return later.isoformat(timespec="milliseconds").replace("+00:00", "Z")
