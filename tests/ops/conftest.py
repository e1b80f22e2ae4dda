"""An operator's surroundings: a configuration, a fresh database, and rows as the services leave them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local import Endpoints
from libs.canonical.event import AnyEvent
from tests.system.configuration import SECRETS, configuration
from tests.system.sales import outgoing

AddDelivery = Callable[..., Awaitable[str]]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration with one source and three targets, and nothing of this machine's environment."""
    path = tmp_path / "tillstream.yaml"
    path.write_text(yaml.safe_dump(configuration("http://127.0.0.1:1", 1)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TILLSTREAM_CONFIG", str(path))
    for name in ("TILLSTREAM_KAFKA", "TILLSTREAM_POSTGRES", "TILLSTREAM_ENCRYPTION_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return path


@pytest.fixture
def at_work(config: Path, stack: Endpoints, database: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same with a database to work in."""
    monkeypatch.setenv("TILLSTREAM_KAFKA", stack.kafka)
    monkeypatch.setenv("TILLSTREAM_POSTGRES", database)
    monkeypatch.setenv("TILLSTREAM_PARTITIONS", "4")
    monkeypatch.setenv("TILLSTREAM_REPLICATION", "1")
    return config


@pytest.fixture
def add_delivery(pool: Any) -> AddDelivery:
    """Writes one row of the test's ledger; gives the event's id."""
    return partial(enter_delivery, pool)


async def enter_delivery(pool: Any, connection: str, event: AnyEvent, state: str, **more: Any) -> str:
    """Write one row of a ledger, as the engine would have left it; gives the event's id."""
    record = outgoing(event)
    kept = state in ("parked", "dead")
    headers = [[name, value.decode("latin-1")] for name, value in record.headers]
    row: dict[str, Any] = {
        "connection": connection, "event_id": event.id, "kind": str(event.kind), "order_key": event.order_key,
        "entity_id": event.entity_id, "version": event.version, "location_id": event.location_id,
        "occurred_at": event.occurred_at, "topic": record.topic, "partition": 0, "position": 0, "state": state,
        "epoch": 1, "key": record.key if kept else None, "value": record.value if kept else None,
        "headers": headers if kept else None, "dead_at": datetime.now(UTC) if state == "dead" else None,
        "settled_at": None if kept else datetime.now(UTC),
    } | more  # fmt: skip
    names = list(row)
    marks = ", ".join(f"${number}" for number in range(1, len(names) + 1))
    columns = ", ".join(f'"{name}"' for name in names)
    await pool.execute(f"insert into delivery ({columns}) values ({marks})", *row.values())
    return event.id


@pytest.fixture
def add_letter(pool: Any) -> AddDelivery:
    """Writes one dead letter of intake or transform."""

    async def add(name: str, stage: str, **more: Any) -> str:
        row: dict[str, Any] = {
            "id": name, "stage": stage, "connection": "square-main", "class": "poison", "reason": "unreadable",
            "fingerprint": "f", "topic": "raw.square", "partition": 0, "position": 1, "key": b"k",
            "value": json.dumps({"root_kind": "order"}).encode(),
            "headers": [["connection", "square-main"], ["snapshot-id", "s1"], ["dl-id", name]],
        } | more  # fmt: skip
        columns = ", ".join(f'"{column}"' for column in row)
        marks = ", ".join(f"${number}" for number in range(1, len(row) + 1))
        await pool.execute(f"insert into dead_letter ({columns}) values ({marks})", *row.values())
        return name

    return add
