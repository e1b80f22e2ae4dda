"""What a contestant is told, and how it tells how far it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from libs.runtime.settings import KafkaSettings

CONCURRENCY = 32
TOPIC = "retail.sales"


@dataclass(frozen=True)
class Task:
    """Handle `events` records, or with `endless` all there are until SIGTERM. `name` is new for every run: groups and
    ledger rows are named by it.

    `urls`: the HTTP targets, one for each connection; none: one connection whose target takes no calls. `ledger`: write
    claims and settlements. `single`: one record at a time. `calls_per_second`: the limit of each connection.
    """

    kafka: str
    postgres: str
    events: int = 0
    name: str = "bench"
    urls: Sequence[str] = ()
    ledger: bool = True
    single: bool = False
    endless: bool = False
    calls_per_second: int | None = None

    @property
    def url(self) -> str:
        """The only target's."""
        (url,) = self.urls
        return url

    @property
    def kafka_settings(self) -> KafkaSettings:
        """How the broker is reached."""
        return KafkaSettings(self.kafka, 3000, 4, 1, {})


class Progress:
    """How many events are finished: counted by `add`, or read from where the contestant counts by itself."""

    def __init__(self) -> None:
        self._count = 0
        self.finished: Callable[[], int] = lambda: self._count

    def add(self, events: int) -> None:
        """So many more are finished."""
        self._count += events
