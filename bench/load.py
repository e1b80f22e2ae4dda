"""`python -m bench.load ORDER`: send requests made beforehand, a fixed number at a time; prints one line of JSON.

ORDER is JSON: `url`, `file` (a list of {"headers", "body"}), `requests`, `concurrency`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

Prepared = list[tuple[dict[str, str], bytes]]


def _prepared(file: str) -> Prepared:
    return [(each["headers"], each["body"].encode()) for each in json.loads(Path(file).read_text())]


async def _send(order: dict[str, Any], prepared: Prepared) -> dict[str, Any]:
    left = iter(range(order["requests"]))
    answers: Counter[int] = Counter()
    seconds: list[float] = []

    async def sender(http: aiohttp.ClientSession) -> None:
        for number in left:
            headers, body = prepared[number % len(prepared)]
            began = time.perf_counter()
            async with http.post(order["url"], data=body, headers=headers) as answer:
                await answer.read()
                answers[answer.status] += 1
            seconds.append(time.perf_counter() - began)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        began = time.perf_counter()
        await asyncio.gather(*(sender(http) for _ in range(order["concurrency"])))
        whole = time.perf_counter() - began
    seconds.sort()
    return {
        "seconds": whole,
        "answers": {str(status): number for status, number in answers.items()},
        "p50_ms": 1000 * seconds[len(seconds) // 2],
        "p99_ms": 1000 * seconds[min(len(seconds) - 1, int(len(seconds) * 0.99))],
    }


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    print(json.dumps(uvloop.run(_send(asked, _prepared(asked["file"])))), flush=True)
