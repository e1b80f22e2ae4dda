"""The sandbox as a web application: the vendors' APIs, and what is done to the sandbox itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from libs.connectors.contract.simulator import Simulator
from services.sandbox.answers import answer, json_object, refusal
from services.sandbox.faults import NO_FAULT, Fault
from services.sandbox.index_page import index_page
from services.sandbox.vendor import Vendor

MAX_BODY = 64 * 1024 * 1024

VENDORS = web.AppKey("vendors", Mapping[str, Vendor])

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
VendorHandler = Callable[[Vendor, web.Request], Awaitable[web.Response]]


def build(simulators: Mapping[str, Simulator], *, seed: int | None = None) -> web.Application:
    """The application over these simulators, by vendor name. `seed` makes faults by probability repeatable."""
    app = web.Application(client_max_size=MAX_BODY)
    app[VENDORS] = {name: Vendor(simulator, seed=seed) for name, simulator in sorted(simulators.items())}
    app.router.add_get("/", _index)
    app.router.add_get("/health", _health)
    for (method, what), handler in _CONTROLS.items():
        app.router.add_route(method, f"/_sandbox/{{vendor}}/{what}", _of_vendor(handler))
    app.router.add_route("*", "/{vendor}", _vendor_call)
    app.router.add_route("*", "/{vendor}/{path:.*}", _vendor_call)
    return app


def _vendors(request: web.Request) -> Mapping[str, Vendor]:
    vendors: Mapping[str, Vendor] = request.app[VENDORS]
    return vendors


async def _index(request: web.Request) -> web.Response:
    return web.Response(text=index_page(_vendors(request)), content_type="text/html")


async def _health(request: web.Request) -> web.Response:
    return answer({"status": "ok", "vendors": list(_vendors(request))})


async def _vendor_call(request: web.Request) -> web.StreamResponse:
    vendor = _vendors(request).get(request.match_info["vendor"])
    if vendor is None:
        return _unknown_vendor(request)
    # The path as sent: percent-encoding is the vendor's to read.
    sent = request.raw_path.partition("?")[0]
    return await vendor.answer(request, "/" + sent[1:].partition("/")[2])


def _unknown_vendor(request: web.Request) -> web.Response:
    return refusal(404, f"no such vendor here; there are: {', '.join(_vendors(request)) or 'none'}")


def _of_vendor(handler: VendorHandler) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        vendor = _vendors(request).get(request.match_info["vendor"])
        return await handler(vendor, request) if vendor else _unknown_vendor(request)

    return handle


async def _fault(vendor: Vendor, request: web.Request) -> web.Response:
    return answer(vendor.switch.shown())


async def _order_fault(vendor: Vendor, request: web.Request) -> web.Response:
    order = await json_object(request)
    if order is None:
        return refusal(400, 'a fault is a JSON object, such as {"kind": "down"}')
    try:
        vendor.switch.order(Fault.model_validate(order))
    except ValidationError as error:
        return refusal(400, "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()))
    return answer(vendor.switch.shown())


async def _end_fault(vendor: Vendor, request: web.Request) -> web.Response:
    vendor.switch.order(NO_FAULT)
    return answer(vendor.switch.shown())


async def _state(vendor: Vendor, request: web.Request) -> web.Response:
    return answer(vendor.simulator.state())


async def _counters(vendor: Vendor, request: web.Request) -> web.Response:
    return answer(vendor.simulator.counters())


async def _limits(vendor: Vendor, request: web.Request) -> web.Response:
    return answer(vendor.simulator.limits())


async def _calls(vendor: Vendor, request: web.Request) -> web.Response:
    return answer([asdict(call) for call in vendor.calls])


async def _load(vendor: Vendor, request: web.Request) -> web.Response:
    return await _given_to(vendor.simulator.load, request)


async def _configure(vendor: Vendor, request: web.Request) -> web.Response:
    return await _given_to(vendor.simulator.configure, request)


async def _given_to(take: Callable[[Mapping[str, Any]], None], request: web.Request) -> web.Response:
    given = await json_object(request)
    if given is None:
        return refusal(400, "a JSON object is needed")
    try:
        take(given)
    except (ValueError, LookupError, TypeError) as error:
        return refusal(400, f"{type(error).__name__}: {error}")
    return answer({"done": True})


async def _reset(vendor: Vendor, request: web.Request) -> web.Response:
    vendor.reset()
    return answer({"done": True})


_CONTROLS: Mapping[tuple[str, str], VendorHandler] = {
    ("GET", "fault"): _fault,
    ("PUT", "fault"): _order_fault,
    ("DELETE", "fault"): _end_fault,
    ("GET", "state"): _state,
    ("GET", "counters"): _counters,
    ("GET", "limits"): _limits,
    ("GET", "calls"): _calls,
    ("POST", "load"): _load,
    ("POST", "configure"): _configure,
    ("POST", "reset"): _reset,
}
