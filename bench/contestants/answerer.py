"""`python -m bench.contestants.answerer PORT`: an HTTP target that answers `POST /<milliseconds>/refunds`."""

from __future__ import annotations

import asyncio
import sys
from itertools import count
from typing import Any

import uvicorn

_numbers = count(1)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The ASGI application."""
    assert scope["type"] == "http"
    while (await receive()).get("more_body"):
        pass
    if milliseconds := int(scope["path"].split("/")[1] or 0):
        await asyncio.sleep(milliseconds / 1000)
    content = b'{"id": "%d"}' % next(_numbers)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False, lifespan="off")
