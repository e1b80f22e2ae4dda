"""`python -m bench.contestants.bare_endpoint PORT`: check the HMAC, parse the JSON, produce with acks=all, answer.

The least that a webhook endpoint on Kafka must do, on the same server and client library, without any framework: no
card data is cut, nothing is identified or traced, and when Kafka is away the webhook is lost.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import sys

import uvicorn
import uvloop
from aiokafka import AIOKafkaProducer
from starlette.types import ASGIApp, Receive, Scope, Send

from libs.runtime import exact_json

TOPIC = "inbox.bare"
_ACCEPTED = b'{"status":"accepted"}'


def application(producer: AIOKafkaProducer, secret: bytes) -> ASGIApp:
    """The endpoint, at any path."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        expected = base64.b64encode(hmac.new(secret, body, hashlib.sha256).digest())
        given = next((value for name, value in scope["headers"] if name == b"x-shopify-hmac-sha256"), b"")
        status, answer = 401, b'{"error":"forged"}'
        if hmac.compare_digest(expected, given):
            order = exact_json.decode(body)
            await producer.send_and_wait(TOPIC, body, key=str(order["id"]).encode())
            status, answer = 200, _ACCEPTED
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return app


async def _serve(port: int) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=os.environ["TILLSTREAM_KAFKA"],
        acks="all",
        enable_idempotence=True,
        linger_ms=2,
        max_batch_size=256 * 1024,
    )
    await producer.start()
    app = application(producer, os.environ["SHOPIFY_SECRET"].encode())
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_level="error", access_log=False, lifespan="off", ws="none",
        server_header=False, date_header=False, proxy_headers=False,
    )  # fmt: skip
    try:
        await uvicorn.Server(config).serve()
    finally:
        await producer.stop()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
