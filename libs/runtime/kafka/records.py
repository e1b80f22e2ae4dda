"""A record as read, with headers that cannot hurt: null, binary and repeated ones are all survivable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import NamedTuple

Headers = Iterable[tuple[str, bytes | None]]


class Partition(NamedTuple):
    """One partition of one topic."""

    topic: str
    number: int


def readable(headers: Headers) -> dict[str, str]:
    """Headers as text: undecodable bytes are replaced, null ones left out, of repeated ones the last counts."""
    return {name: value.decode("utf-8", "replace") for name, value in headers if value is not None}


@dataclass(frozen=True)
class Record:
    """One record of a topic. `headers` are raw; `text` reads them."""

    partition: Partition
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp_ms: int

    @cached_property
    def text(self) -> Mapping[str, str]:
        """The headers as text."""
        return readable(self.headers)

    @property
    def written_at(self) -> datetime:
        """When Kafka took it, in UTC."""
        return datetime.fromtimestamp(self.timestamp_ms / 1000, UTC)

    @property
    def size(self) -> int:
        """Bytes of key and value."""
        return len(self.key or b"") + len(self.value or b"")
