"""A TCP proxy that can be told to misbehave: it stands before a target, a broker or PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal[
    "none",
    # Nobody listens, and every connection is cut.
    "down",
    # Each piece arrives `seconds` late.
    "latency",
    # Connections are taken and at once reset (RST).
    "reset",
    # Connections stay open, everything is swallowed, nothing comes back.
    "half_open",
    # Every byte comes alone.
    "sliced",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
FAULTS: tuple[Kind, ...] = KINDS[1:]

_PIECE = 64 * 1024
# So many bytes of each piece come one by one; slicing whole megabytes would only measure this proxy.
_SLICED = 512
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # linger on, zero seconds


@dataclass(eq=False)
class _Link:
    """One connection through the proxy. `torn`: it has swallowed something, so it can never be whole again."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    torn: bool = False

    def cut(self, *, reset: bool = False) -> None:
        for writer in (self.near, self.far):
            if reset:
                _reset_when_closed(writer)
            writer.transport.abort()


class Proxy:
    """Carries connections from a port of its own to another one. Start it with `open`, misbehave with `order`."""

    def __init__(self, port: int, to: int) -> None:
        self.port, self._to = port, to
        self._kind: Kind = "none"
        self._seconds = 0.0
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()

    async def open(self) -> None:
        """Listen. With port 0 the system chooses one; `port` tells it then."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port, limit=_PIECE)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Cut everything and listen no more."""
        await self._stop_listening()
        self._cut()

    async def order(self, kind: Kind, *, seconds: float = 0.3) -> None:
        """From now on this fault and no other; `seconds` is the latency's."""
        before, self._kind, self._seconds = self._kind, kind, seconds
        if kind == "down":
            await self._stop_listening()
        elif before == "down":
            await self.open()
        if kind in ("down", "reset"):
            self._cut(reset=kind == "reset")
        for link in [each for each in self._links if each.torn]:
            link.cut()

    async def _stop_listening(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            # Not waited for: it would wait for the connections too.
            server.close()

    def _cut(self, *, reset: bool = False) -> None:
        for link in tuple(self._links):
            link.cut(reset=reset)

    async def _carry(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        if self._kind == "reset":
            _reset_when_closed(near)
            near.transport.abort()
            return
        try:
            back, far = await asyncio.open_connection("127.0.0.1", self._to, limit=_PIECE)
        except OSError:
            near.transport.abort()
            return
        link = _Link(near, far)
        self._links.add(link)
        try:
            await asyncio.gather(self._pump(link, reader, far), self._pump(link, back, near))
        finally:
            self._links.discard(link)
            link.cut()

    async def _pump(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(_PIECE):
                if self._kind == "latency":
                    await asyncio.sleep(self._seconds)
                if self._kind == "half_open" or link.torn:
                    link.torn = True
                    continue
                if self._kind == "sliced":
                    piece = await self._slice(writer, piece)
                writer.write(piece)
                await writer.drain()
            if self._kind != "half_open":
                writer.write_eof()

    async def _slice(self, writer: asyncio.StreamWriter, piece: bytes) -> bytes:
        """Send the first bytes one by one; gives those that are left."""
        for position in range(min(_SLICED, len(piece))):
            writer.write(piece[position : position + 1])
            await writer.drain()
            await asyncio.sleep(0)
        return piece[_SLICED:]


def _reset_when_closed(writer: asyncio.StreamWriter) -> None:
    connected = writer.get_extra_info("socket")
    if connected is not None:
        with contextlib.suppress(OSError):
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
