"""`python -m bench.contestants.bare_endpoint PORT`: check the HMAC, parse the JSON, produce with acks=all, answer.

The least that a webhook endpoint on Kafka must do: no card data is cut, nothing is identified, and when Kafka is away
the webhook is lost.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import sys
from collections.abc import AsyncIterator

import uvicorn
from aiokafka import AIOKafkaProducer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from libs.runtime import exact_json

TOPIC = "inbox.bare"


def application() -> Starlette:
    """The ASGI application."""
    secret = os.environ["SHOPIFY_SECRET"].encode()
    producer: AIOKafkaProducer

    async def receive(request: Request) -> JSONResponse:
        body = await request.body()
        expected = base64.b64encode(hmac.new(secret, body, hashlib.sha256).digest()).decode()
        if not hmac.compare_digest(expected, request.headers.get("x-shopify-hmac-sha256", "")):
            return JSONResponse({"error": "forged"}, status_code=401)
        order = exact_json.decode(body)
        await producer.send_and_wait(TOPIC, body, key=str(order["id"]).encode())
        return JSONResponse({"status": "accepted"})

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        nonlocal producer
        producer = AIOKafkaProducer(
            bootstrap_servers=os.environ["TILLSTREAM_KAFKA"], acks="all", enable_idempotence=True, linger_ms=2
        )
        await producer.start()
        yield
        await producer.stop()

    return Starlette(routes=[Route("/webhooks/{connection}", receive, methods=["POST"])], lifespan=lifespan)


if __name__ == "__main__":
    uvicorn.run(
        application(), host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False, server_header=False
    )
