"""The faulty proxy is faulty in the way it says: otherwise the scenarios that use it would show nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.chaos.proxy import Proxy


@asynccontextmanager
async def _echo_behind_proxy() -> AsyncIterator[Proxy]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(1000):
            writer.write(piece)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    proxy = Proxy(0, server.sockets[0].getsockname()[1])
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()
        server.close()


async def _ask(proxy: Proxy, text: bytes = b"hello") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        writer.write(text)
        return await asyncio.wait_for(reader.readexactly(len(text)), 2)
    finally:
        writer.transport.abort()


async def test_it_carries_both_ways_and_recovers_from_every_fault() -> None:
    """After each fault is over, on the very same port, everything is carried again."""
    async with _echo_behind_proxy() as proxy:
        for kind in ("none", "down", "reset", "half_open", "latency", "sliced"):
            await proxy.order(kind)
            await proxy.order("none")
            assert await _ask(proxy, b"x" * 200_000) == b"x" * 200_000


async def test_down_refuses_and_cuts() -> None:
    """An open connection ends, a new one is refused."""
    async with _echo_behind_proxy() as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        await proxy.order("down")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await asyncio.wait_for(reader.readexactly(1), 2)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", proxy.port)


async def test_reset_is_a_reset() -> None:
    """The client sees a reset and not an orderly end."""
    async with _echo_behind_proxy() as proxy:
        await proxy.order("reset")
        with pytest.raises(ConnectionResetError):
            await _ask(proxy)


async def test_half_open_swallows_and_such_a_connection_is_cut_afterwards() -> None:
    """No answer, no end; and what was swallowed can never lead to half a message later."""
    async with _echo_behind_proxy() as proxy:
        await proxy.order("half_open")
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"hello")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(1), 0.5)
        await proxy.order("none")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await asyncio.wait_for(reader.readexactly(1), 2)


async def test_latency_and_slices() -> None:
    """Late by what was ordered, and many pieces instead of one."""
    async with _echo_behind_proxy() as proxy:
        await proxy.order("latency", seconds=0.3)
        began = time.monotonic()
        assert await _ask(proxy) == b"hello"
        assert time.monotonic() - began >= 0.6, "there and back"
        await proxy.order("sliced")
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"0123456789" * 20)
        pieces: list[bytes] = []
        while sum(len(piece) for piece in pieces) < 200:
            pieces.append(await asyncio.wait_for(reader.read(1000), 2))
        assert len(pieces) > 10
        writer.transport.abort()
