"""What the bench asks of a peer: to be had here, and to start for a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

Say = Callable[[str], None]


class PeerMissing(Exception):
    """The peer cannot be had on this machine; the message says what was tried."""


@dataclass(frozen=True)
class Job:
    """Deliver the topic's records to `url`, in the order of each key. `group` is new for each run, `folder` holds the
    files of this run alone, and `port` is free for what the peer itself serves."""

    kafka: str
    topic: str
    partitions: int
    group: str
    url: str
    folder: Path
    port: int


@dataclass(frozen=True)
class Launch:
    """A process to start."""

    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)


class Peer(Protocol):
    """Software of others that delivers the records of a topic by HTTP."""

    name: str

    def prepare(self, say: Say) -> None:
        """Download or build it, once; raises PeerMissing."""

    def launch(self, job: Job) -> Launch:
        """How it is started, its files written to the job's folder."""
