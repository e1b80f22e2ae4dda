"""`python -m bench.contestants.answerer PORT`: the HTTP target of all contestants, and their referee.

`POST /<milliseconds>/<run>/...` is answered after so many milliseconds. The sale and the number of the refund in the
body tell whether the refunds of one sale arrive in order. `GET /runs/<run>` tells what arrived (`Arrived`), `GET
/times/<run>` when each refund did. It speaks no more HTTP than that, so that it costs little beside those it measures.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from itertools import count
from typing import Any, cast

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_SALE = re.compile(rb'"sale_id":\s*"([^"]+)"')
_REFUND = re.compile(rb'"refund-(\d+)"')
_HEAD_END = b"\r\n\r\n"


@dataclass
class Arrived:
    """What arrived in one run. `last_at` is in seconds of `time.monotonic()`.

    `answered` counts requests, `distinct` refunds for each connection; `of` counts distinct ones by what their sale's
    name begins with. `out_of_order`: refunds that came after a later one of their sale. `busiest_second`: the most
    requests that arrived within any one second.
    """

    answered: int = 0
    distinct: int = 0
    out_of_order: int = 0
    busiest_second: int = 0
    last_at: float = 0.0
    of: Counter[str] = field(default_factory=Counter)
    times: dict[str, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    _newest: dict[tuple[str, bytes], int] = field(default_factory=dict)
    _second: deque[float] = field(default_factory=deque)

    def take(self, connection: str, body: bytes) -> None:
        """A request has arrived."""
        self.answered += 1
        self.last_at = now = time.monotonic()
        self._second.append(now)
        while self._second[0] <= now - 1:
            self._second.popleft()
        self.busiest_second = max(self.busiest_second, len(self._second))
        sale, refund = _SALE.search(body), _REFUND.search(body)
        if sale is None or refund is None:
            return
        number, lane, times = int(refund[1]), (connection, sale[1]), self.times[connection]
        if number in times:
            return  # sent again: no second effect, for the key is the same
        times[number] = now
        self.distinct += 1
        self.of[sale[1].partition(b"-")[0].decode()] += 1
        if number < self._newest.get(lane, -1):
            self.out_of_order += 1
        self._newest[lane] = max(number, self._newest.get(lane, -1))

    def told(self) -> dict[str, Any]:
        """The counters."""
        names = ("answered", "distinct", "out_of_order", "busiest_second", "last_at", "of")
        return {name: getattr(self, name) for name in names}


_runs: defaultdict[str, Arrived] = defaultdict(Arrived)
_numbers = count(1)


def _answer(content: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(content)
    return head + content


def _asked(path: str) -> bytes:
    _, what, run, *_ = [*path.split("/"), "", ""]
    if what == "runs":
        return json.dumps(_runs[run].told()).encode()
    return json.dumps(_runs[run].times).encode() if what == "times" else b"{}"


class _Connection(asyncio.Protocol):
    """One kept-alive connection; the next request is read when the one before is answered."""

    def __init__(self) -> None:
        self._received = b""
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has the methods, not the class

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._busy:
            self._next()

    def _next(self) -> None:
        head, ended, rest = self._received.partition(_HEAD_END)
        if not ended:
            return
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if len(rest) < size:
            return
        self._received = rest[size:]
        method, path, _ = head.split(b" ", 2)
        if method != b"POST":
            self._write(_asked(path.decode()))
            return
        _, milliseconds, run, *connection = path.decode().split("/")
        _runs[run].take("/".join(connection), rest[:size])
        content = b'{"id":"%d"}' % next(_numbers)
        if wait := int(milliseconds):
            self._busy = True
            asyncio.get_running_loop().call_later(wait / 1000, self._write, content)
        else:
            self._write(content)

    def _write(self, content: bytes) -> None:
        self._busy = False
        if self._transport.is_closing():
            return
        self._transport.write(_answer(content))
        if self._received:
            self._next()


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
