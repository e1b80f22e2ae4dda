"""What a stack remembers between calls: `stack.json` in its folder, written whole or not at all."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deploy.local.errors import StackError
from deploy.local.processes import Process

FORMAT = 1


@dataclass
class Broker:
    """One Kafka node; it is broker and controller at once.

    Of a stack whose clients may come through a proxy it has two ports more: the one that it tells such clients (there
    the proxy listens), and the one where it hears them.
    """

    node: int
    port: int
    controller_port: int
    process: Process | None = None
    told_port: int | None = None
    heard_port: int | None = None


@dataclass
class Postgres:
    """The PostgreSQL server. `home` holds its data; for root it lies outside the stack's folder."""

    port: int
    home: str
    process: Process | None = None


@dataclass
class State:
    """Everything of one stack that must outlive the process that started it."""

    cluster_id: str
    session_timeout_ms: int
    brokers: list[Broker] = field(default_factory=list)
    postgres: Postgres | None = None


def _process(record: dict[str, Any] | None) -> Process | None:
    return None if record is None else Process(**record)


def load(directory: Path) -> State | None:
    """The stack's memory, or None if it never ran."""
    path = directory / "stack.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record.pop("format") != FORMAT:
            raise ValueError("another format")
        postgres = record.pop("postgres")
        brokers = [Broker(**{**broker, "process": _process(broker["process"])}) for broker in record.pop("brokers")]
        state = State(**record, brokers=brokers)
        if postgres is not None:
            state.postgres = Postgres(**{**postgres, "process": _process(postgres["process"])})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise StackError(
            f"{path} cannot be read ({error}). Delete the folder {directory} and run `make up` again; "
            "what the stack held is lost then."
        ) from error
    return state


def save(directory: Path, state: State) -> None:
    """Write the memory atomically."""
    path = directory / "stack.json"
    fresh = path.with_suffix(".json.new")
    fresh.write_text(json.dumps({"format": FORMAT, **asdict(state)}, indent=2) + "\n", encoding="utf-8")
    fresh.replace(path)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time in this folder; the system frees the lock when its holder dies."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
