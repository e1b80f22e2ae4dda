"""The little of HTTP that intake needs, straight on ASGI: a body of limited size, and an answer in JSON."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Receive, Scope, Send

from libs.runtime import exact_json


class TooLarge(Exception):
    """The body is larger than it may be."""


class Truncated(Exception):
    """The connection ended before the body did."""


def headers_of(scope: Scope) -> dict[str, str]:
    """The request's headers, names in lower case (the server sees to that); of repeated ones the last counts."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


async def read_body(headers: Mapping[str, str], receive: Receive, most: int) -> bytes:
    """The whole body; raises TooLarge for more than `most` bytes, as soon as that is known, and Truncated."""
    stated = headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > most:
        raise TooLarge
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Truncated
        body += message.get("body", b"")
        if len(body) > most:
            raise TooLarge
        if not message.get("more_body"):
            return body


async def answer(send: Send, status: int, content: Mapping[str, str]) -> None:
    """Answer with a JSON object."""
    body = exact_json.encode(content)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
