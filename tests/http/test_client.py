"""The HTTP client against a real server: answers in pieces, cut off, too large, late, or none at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import yaml

from libs.connectors.contract.http import Request
from libs.runtime.configuration.reading import parse_configuration
from libs.runtime.http import client as module
from libs.runtime.http.client import NoAnswer, NotSent, VendorClient
from tests.system.configuration import SECRETS, configuration

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Limit-Left: 7\r\n"


@asynccontextmanager
async def _client(handler: Handler, monkeypatch: pytest.MonkeyPatch, seconds: float = 5.0) -> Any:
    monkeypatch.setenv("HUBSPOT_TOKEN", SECRETS["HUBSPOT_TOKEN"])
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connection = parse_configuration(yaml.safe_dump(configuration(f"http://127.0.0.1:{port}", 1))).connection(
        "hubspot-main"
    )
    client = VendorClient(connection, None, timeout=seconds, encryption_key=None)
    try:
        yield client
    finally:
        await client.close()
        server.close()


async def _asked(reader: asyncio.StreamReader) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def test_an_answer_in_pieces_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte by byte, with pauses: the whole answer is what was said, with its headers."""
    body = b'{"id": "42", "text": "' + b"x" * 200 + b'"}'

    async def slices(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _asked(reader)
        for byte in _HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body:
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0)
        writer.close()

    async with _client(slices, monkeypatch) as client:
        answer = await client.send(Request("GET", "/x"))
    assert answer.json == {"id": "42", "text": "x" * 200}
    assert answer.headers["x-limit-left"] == "7"


async def test_an_answer_that_breaks_off_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half an answer must not pass for a whole one: the call may have had its effect."""

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _asked(reader)
        writer.write(_HEAD + b'Content-Length: 100\r\n\r\n{"id": "4')
        await writer.drain()
        writer.close()

    async with _client(half, monkeypatch) as client:
        with pytest.raises(NoAnswer):
            await client.send(Request("POST", "/x", json={}))


async def test_an_answer_without_end_is_not_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than any vendor says is no answer of the vendor's."""
    monkeypatch.setattr(module, "_MAX_ANSWER", 10_000)

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _asked(reader)
        writer.write(_HEAD + b"\r\n")
        try:
            while True:
                writer.write(b"x" * 4096)
                await writer.drain()
        except ConnectionError:
            return

    async with _client(endless, monkeypatch) as client:
        with pytest.raises(NoAnswer, match="more than 10000 bytes"):
            await client.send(Request("GET", "/x"))


async def test_no_answer_and_no_connection_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that went out may have had its effect; one that never connected cannot."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _asked(reader)
        await asyncio.sleep(3)
        writer.close()

    async with _client(silent, monkeypatch, seconds=0.3) as client:
        with pytest.raises(NoAnswer):
            await client.send(Request("POST", "/x", json={}))
        client._base = "http://127.0.0.1:1"
        with pytest.raises(NotSent):
            await client.send(Request("POST", "/x", json={}))
