"""Webhooks a second: our endpoint against a bare one, 32 requests at once from a load generator of its own."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from bench.contestants.bare_endpoint import TOPIC as BARE_TOPIC
from bench.measuring import OURS, Comparison, Contestant, Run, compare, interleaved
from bench.sizes import Sizes
from bench.stand import ROOT, BenchFailed, Served, Stand, free_port
from libs.connectors.shopify.headers import webhook_headers
from libs.connectors.shopify.signature import sign
from libs.runtime.kafka.topics import DLQ_INGEST

_CASE = ROOT / "libs/connectors/shopify/cases/more_lines_than_one_page/in.json"
_SECRET, _SHOP, _NAME = "bench-secret", "bench.myshopify.com", "shopify-bench"
_DISTINCT = 64
_CONCURRENCY = 32


def _bodies(kilobytes: int) -> list[bytes]:
    """Orders of about that size, made of as many of the case's lines as fit."""
    case: dict[str, Any] = json.loads(_CASE.read_text())
    order = case["notification"]["body"] | {"refunds": []}
    lines, order["line_items"] = order["line_items"], []
    while len(json.dumps(order)) < 1000 * kilobytes - 200:
        order["line_items"].append(lines[len(order["line_items"]) % len(lines)])
    bodies = []
    for number in range(_DISTINCT):
        each = copy.copy(order) | {"id": order["id"] + number, "order_number": 1000 + number}
        each["admin_graphql_api_id"] = f"gid://shopify/Order/{each['id']}"
        bodies.append(json.dumps(each).encode())
    return bodies


def _requests(kilobytes: int) -> list[dict[str, Any]]:
    """Signed beforehand, as Shopify signs."""
    return [
        {
            "headers": {
                **webhook_headers("orders/updated", _SHOP, f"w{number}", f"e{number}", datetime.now(UTC)),
                "X-Shopify-Hmac-Sha256": sign(body, _SECRET),
            },
            "body": body.decode(),
        }
        for number, body in enumerate(_bodies(kilobytes))
    ]


def _configuration(url: str) -> str:
    connection = {
        "id": _NAME, "vendor": "shopify", "role": "source", "account": _SHOP, "environment": "sandbox",
        "start": "beginning", "public_url": url,
        "secrets": {"client_secret": {"env": "SHOPIFY_SECRET"}, "access_token": {"env": "TILLSTREAM_BENCH_TOKEN"}},
    }  # fmt: skip
    return yaml.safe_dump({"organisation": "bench", "connections": [connection]})


def _contestant(stand: Stand, served: Served, file: Path, requests: int) -> Contestant:
    order = json.dumps(
        {
            "url": f"{served.url}/webhooks/{_NAME}",
            "file": str(file.resolve()),
            "requests": requests,
            "concurrency": _CONCURRENCY,
        }
    )

    async def once() -> Run:
        before = served.cpu_seconds
        told = await stand.call("bench.load", order)
        if told["answers"] != {"200": requests}:
            raise BenchFailed(f"{served.name} answered {told['answers']}; its log is {served.log}")
        return Run(requests, told["seconds"], served.cpu_seconds - before)

    return once


async def run(stand: Stand, sizes: Sizes) -> Sequence[Comparison]:
    """Both endpoints stand ready all the time; only one is called at a time."""
    await stand.fresh(["inbox.shopify", DLQ_INGEST, BARE_TOPIC])
    port, bare_port = free_port(), free_port()
    (stand.folder / "tillstream.yaml").write_text(_configuration(f"http://127.0.0.1:{port}/webhooks/{_NAME}"))
    secret = {"SHOPIFY_SECRET": _SECRET}
    ours = await stand.serve(
        "webhooks", "services.ingest", "webhooks", port=port, env={"TILLSTREAM_HTTP_PORT": str(port), **secret}
    )
    bare = await stand.serve(
        "bare_endpoint", "bench.contestants.bare_endpoint", str(bare_port), port=bare_port, env=secret
    )
    found: list[Comparison] = []
    for kilobytes in sizes.ingest_kilobytes:
        file = stand.folder / f"requests_{kilobytes}.json"
        file.write_text(json.dumps(_requests(kilobytes)))
        contestants = {
            OURS: _contestant(stand, ours, file, sizes.ingest_requests),
            "bare endpoint": _contestant(stand, bare, file, sizes.ingest_requests),
        }
        for warm_up in contestants.values():
            await warm_up()
        rounds = await interleaved(contestants, sizes.rounds)
        found += compare("ingest", f"{kilobytes} KB", rounds, {"requests": sizes.ingest_requests})
    await stand.stop(ours, bare)
    return found
