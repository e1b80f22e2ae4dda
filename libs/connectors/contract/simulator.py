"""A vendor's stand-in: its API's behaviour in memory, as far as our calls can tell the difference.

Pure but for its own memory. The sandbox service gives it sockets, faults and delays.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal, Protocol

Fault = Literal["down", "error", "throttled", "throttled_retry_after", "unauthorized", "garbage"]


@dataclass(frozen=True)
class SimRequest:
    """A call as it arrives: path as sent, header names lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def json(self) -> Any:
        """The body as JSON with exact numbers, or None."""
        try:
            return json.loads(self.body, parse_float=Decimal)
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True)
class SimResponse:
    """An answer to send. `body` is JSON-serialisable (Decimal is written as a number) or raw bytes."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Simulator(Protocol):
    """What each connector's `sandbox.py` offers as `simulator() -> Simulator`.

    `handle` authenticates, limits, validates and answers; `now` is real time. `fault` gives the vendor's own wording
    of a failure. `load` puts objects into a source's store (a till's work) and `state` gives everything stored, for
    reading back; `limits` are those in force, in words and numbers; `counters` how often each thing happened.
    `token` makes a credential that is valid for that long (tests of expiry).
    """

    vendor: str

    def handle(self, request: SimRequest, now: datetime) -> SimResponse: ...
    def fault(self, fault: Fault) -> SimResponse: ...
    def load(self, objects: Mapping[str, Any]) -> None: ...
    def state(self) -> dict[str, Any]: ...
    def counters(self) -> dict[str, int]: ...
    def limits(self) -> dict[str, Any]: ...
    def configure(self, options: Mapping[str, Any]) -> None: ...
    def reset(self) -> None: ...
