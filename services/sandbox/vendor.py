"""One vendor's API behind a socket: its simulator, the fault that is ordered, and the calls it had."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from aiohttp import web

from libs.connectors.contract.simulator import SimRequest, SimResponse, Simulator
from services.sandbox.answers import vendor_answer
from services.sandbox.faults import NEVER_ARRIVES, RESETTING, WAITING, WORDED, Fault, Switch

log = logging.getLogger(__name__)

REMEMBERED_CALLS = 1000
# With this option a closed socket sends a reset instead of a farewell: linger on, zero seconds.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

Ended = Literal["answered", "closed", "reset", "hung"]


@dataclass
class Call:
    """One call as the vendor saw it. Neither query nor body are kept: they may hold personal data."""

    at: datetime
    method: str
    path: str
    fault: str | None = None
    status: int | None = None  # as the simulator said, though the answer may never have arrived
    ended: Ended = "answered"
    ms: float | None = None  # None: not over yet


class Vendor:
    """A simulator with its fault switch and the ring of its latest calls."""

    def __init__(self, simulator: Simulator, *, seed: int | None = None) -> None:
        self.simulator = simulator
        self.switch = Switch(seed)
        self.calls: deque[Call] = deque(maxlen=REMEMBERED_CALLS)

    def reset(self) -> None:
        """As new: nothing stored, no fault, no calls."""
        self.simulator.reset()
        self.switch = Switch(self.switch.seed)
        self.calls.clear()

    async def answer(self, request: web.Request, path: str) -> web.StreamResponse:
        """The answer to a call of the vendor's API, or what the ordered fault makes of it."""
        body = await request.read()
        now = datetime.now(UTC)
        began = time.perf_counter()
        fault = self.switch.strike(request.method, path)
        call = Call(now, request.method, path, fault=None if fault.kind == "none" else fault.kind)
        self.calls.append(call)
        asked = SimRequest(request.method, path, dict(request.query), _by_lower_name(request), body)
        try:
            response = self._response(asked, fault, now)
            call.status = response.status if response else None
            return await _sent(request, response, fault, call)
        finally:
            call.ms = round((time.perf_counter() - began) * 1000, 3)

    def _response(self, asked: SimRequest, fault: Fault, now: datetime) -> SimResponse | None:
        """What the vendor says; None when it never got the call."""
        if fault.kind in WORDED:
            return self.simulator.fault(WORDED[fault.kind])
        if fault.kind in NEVER_ARRIVES:
            return None
        try:
            return self.simulator.handle(asked, now)
        except Exception:
            # A mistake in the simulator must not pass for an answer of the vendor.
            log.exception("the simulator of %s failed on %s %s", self.simulator.vendor, asked.method, asked.path)
            return SimResponse(500, {"sandbox_error": f"the simulator of {self.simulator.vendor} failed: see its log"})


def _by_lower_name(request: web.Request) -> Mapping[str, str]:
    return {name.lower(): ", ".join(request.headers.getall(name)) for name in request.headers}


async def _sent(request: web.Request, response: SimResponse | None, fault: Fault, call: Call) -> web.StreamResponse:
    """The answer on its way, unless the fault keeps it."""
    if fault.kind in WAITING:
        call.ended = "answered" if fault.kind == "slow" else "hung"
        await asyncio.sleep(fault.delay)
    if fault.kind in RESETTING:
        call.ended = "reset"
        _reset(request)
    elif response is None or fault.kind == "timeout_after_commit":
        call.ended = "hung" if call.ended == "hung" else "closed"
        if request.transport:
            request.transport.close()
    # On a closed connection nothing of it is sent.
    return vendor_answer(response or SimResponse(503))


def _reset(request: web.Request) -> None:
    if request.transport is None:
        return
    connected = request.transport.get_extra_info("socket")
    if connected is not None:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    request.transport.abort()
