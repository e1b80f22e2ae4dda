"""Snapshots to canonical events: the transform service against decode, map, produce."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import yaml

from bench.measuring import OURS, Comparison, Run, compare
from bench.sizes import Sizes
from bench.stand import ROOT, Stand
from libs.connectors.contract.connector import connector
from libs.connectors.contract.dry_run import EPOCH, assemble
from libs.connectors.contract.source import Notification, Snapshot
from libs.runtime import exact_json
from libs.runtime.kafka.topics import DLQ_TRANSFORM, RETAIL_TOPICS
from libs.runtime.kafka.writer import Outgoing

_CASE = ROOT / "libs/connectors/square/cases/card_sale_with_tip/in.json"
_CONNECTION = "square-bench"


def _snapshot() -> Snapshot:
    source = connector("square").source
    assert source is not None
    case: dict[str, Any] = json.loads(_CASE.read_text())
    notification = case["notification"]
    identified = source.identify(Notification(notification["headers"], notification["body"]))
    root = next(root for root in identified.roots if f"{root.kind}:{root.id}" in case["parts"])
    parts, _, missing = assemble(source, root, case["parts"])
    assert not missing, "the case holds all parts"
    return Snapshot(
        vendor="square", account_id=identified.account_id, connection=_CONNECTION, root_kind=root.kind,
        root_id=root.id, parts=parts, via="webhook", notified_as=identified.type, received_at=EPOCH, assembled_at=EPOCH,
    )  # fmt: skip


def _multiplied(first: int, number: int) -> list[Outgoing]:
    """That many snapshots of the case, each of a sale and a customer of its own: what was told before is not written
    again by ours, and would be by the bare loop."""
    snapshot = _snapshot()
    text = exact_json.encode(snapshot.model_dump(mode="python")).decode()
    records = []
    for n in range(first, first + number):
        value, key = text, snapshot.key
        for id_ in (snapshot.root_id, "PayDemo1", "CusMia"):
            value, key = value.replace(id_, f"{id_}x{n}"), key.replace(id_, f"{id_}x{n}")
        headers = [("snapshot-id", str(n)), ("connection", _CONNECTION), ("root", key)]
        headers.append(("received-at", EPOCH.isoformat()))
        records.append(
            Outgoing("raw.square", key.encode(), value.encode(), [(name, text.encode()) for name, text in headers])
        )
    return records


def _configuration(account: str) -> str:
    connection = {
        "id": _CONNECTION, "vendor": "square", "role": "source", "account": account, "environment": "sandbox",
        "start": "beginning", "public_url": "http://127.0.0.1/", "secrets": {},
    }  # fmt: skip
    return yaml.safe_dump({"organisation": "bench", "connections": [connection]})


async def run(stand: Stand, sizes: Sizes) -> Sequence[Comparison]:
    """Each round both read the same new snapshots, each from where its group stands."""
    await stand.fresh(["raw.square", DLQ_TRANSFORM, *RETAIL_TOPICS])
    (stand.folder / "tillstream.yaml").write_text(_configuration(_snapshot().account_id))
    contestants = {OURS: "transform", "bare loop": "transform.bare"}
    rounds: list[dict[str, Run]] = []
    for number in range(sizes.rounds):
        await stand.fill(_multiplied(number * sizes.snapshots, sizes.snapshots))
        order = list(contestants) if number % 2 == 0 else list(reversed(contestants))
        rounds.append(
            {who: await stand.run(contestants[who], name="bare-transform", events=sizes.snapshots) for who in order}
        )
    return compare("transform", "Square sale", rounds, {"snapshots": sizes.snapshots})
