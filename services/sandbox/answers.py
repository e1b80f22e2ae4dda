"""JSON out and in, exact: a Decimal is written and read as the number it is."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
from aiohttp import web

from libs.connectors.contract.simulator import SimResponse

_ENCODER = msgspec.json.Encoder(decimal_format="number")


def answer(body: Any, status: int = 200) -> web.Response:
    """A JSON answer of the sandbox itself."""
    return web.Response(status=status, body=_ENCODER.encode(body) + b"\n", content_type="application/json")


def refusal(status: int, why: str) -> web.Response:
    """An answer that says what is wrong with the request."""
    return answer({"error": why}, status)


def vendor_answer(response: SimResponse) -> web.Response:
    """A simulator's answer as it goes out: raw bytes as they are, anything else as JSON."""
    headers = dict(response.headers)
    if response.body is None:
        return web.Response(status=response.status, headers=headers)
    if not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = "application/json"
    body = response.body if isinstance(response.body, bytes) else _ENCODER.encode(response.body)
    return web.Response(status=response.status, headers=headers, body=body)


async def json_object(request: web.Request) -> dict[str, Any] | None:
    """The request's JSON object with exact numbers; None when it is none."""
    try:
        value = json.loads(await request.read(), parse_float=Decimal)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
