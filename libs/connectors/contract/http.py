"""HTTP requests and answers as data. The runtime sends them; connectors only write and read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal

import msgspec
from pydantic import JsonValue

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

JSON = JsonValue

_quick = msgspec.json.Decoder(float_hook=Decimal)


@dataclass(frozen=True)
class Request:
    """One call. `path` is relative to the connection's base URL and starts with a slash; authentication is added by
    the runtime. A body is `json` or `form`, not both; `json` may hold `Remote` placeholders (see `target`)."""

    method: Method
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    form: Mapping[str, str] | None = None

    def with_query(self, **more: str) -> Request:
        """The same request with further query parameters."""
        return Request(self.method, self.path, {**self.query, **more}, self.headers, self.json, self.form)

    def with_header(self, name: str, value: str) -> Request:
        """The same request with one more header."""
        return Request(self.method, self.path, self.query, {**self.headers, name: value}, self.json, self.form)


@dataclass(frozen=True)
class Response:
    """An answer. Header names are asked for in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @cached_property
    def json(self) -> Any:
        """The body read as JSON with exact numbers (Decimal, int), or None when it is no JSON."""
        try:
            return _quick.decode(self.body)
        except (ValueError, RecursionError):
            pass  # perhaps only unusual: an integer of more than 64 bits, another encoding than UTF-8
        try:
            return json.loads(self.body, parse_float=Decimal)
        except (ValueError, RecursionError):
            return None

    @property
    def ok(self) -> bool:
        """A 2xx status."""
        return 200 <= self.status < 300

    @property
    def retry_after(self) -> float | None:
        """Seconds that the answer asks to wait, when it says so in seconds."""
        value = self.headers.get("retry-after", "").strip()
        try:
            return max(0.0, float(value)) if value else None
        except ValueError:
            return None
