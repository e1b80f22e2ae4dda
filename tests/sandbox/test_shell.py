"""The sandbox over real sockets, with a tiny till for a vendor."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from libs.connectors.contract.simulator import Fault, SimRequest, SimResponse
from services.sandbox.__main__ import main
from services.sandbox.app import build
from services.sandbox.faults import KINDS


class Till:
    """A vendor that stores what is posted to it."""

    vendor = "till"

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.sales: list[Any] = []
        self.options: dict[str, Any] = {}
        self.seen: list[SimRequest] = []

    def handle(self, request: SimRequest, now: datetime) -> SimResponse:
        assert now.tzinfo is not None
        self.seen.append(request)
        match request.method, request.path:
            case "POST", "/sales":
                self.sales.append(request.json)
                return SimResponse(201, {"total": request.json["total"], "n": len(self.sales)}, {"x-limit": "9"})
            case "DELETE", _:
                return SimResponse(204)
            case _, "/raw":
                return SimResponse(200, b"a,b\n", {"Content-Type": "text/csv"})
            case _, "/broken":
                raise KeyError("a mistake")
        return SimResponse(200, {"path": request.path})

    def fault(self, fault: Fault) -> SimResponse:
        return SimResponse(
            {"unauthorized": 401, "error": 500, "down": 503, "garbage": 200}.get(fault, 429), {"said": fault}
        )

    def load(self, objects: Mapping[str, Any]) -> None:
        self.sales += objects["sales"]

    def state(self) -> dict[str, Any]:
        return {"sales": self.sales}

    def counters(self) -> dict[str, int]:
        return {"sales": len(self.sales)}

    def limits(self) -> dict[str, Any]:
        return {"calls <per second>": 9, "windows": [{"calls": 9}]}

    def configure(self, options: Mapping[str, Any]) -> None:
        if "wrong" in options:
            raise ValueError("no such option")
        self.options.update(options)


class Here:
    """A sandbox and a client of it."""

    def __init__(self, url: str, session: aiohttp.ClientSession, till: Till) -> None:
        self.url, self.session, self.till = url, session, till

    async def call(self, method: str, path: str, json: Any = None) -> tuple[int, Any]:
        async with self.session.request(method, self.url + path, json=json) as response:
            return response.status, await response.json(content_type=None)

    async def order(self, **fault: Any) -> None:
        status, _ = await self.call("PUT", "/_sandbox/till/fault", fault)
        assert status == 200

    async def sell(self, patience: float = 5) -> tuple[int, Any]:
        async with asyncio.timeout(patience):
            return await self.call("POST", "/till/sales", {"total": 1})

    async def calls(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.call("GET", "/_sandbox/till/calls"))[1]
        return found


@pytest.fixture
async def here() -> AsyncIterator[Here]:
    till = Till()
    runner = web.AppRunner(
        build({"till": till, "other": Till()}, seed=1), handler_cancellation=True, shutdown_timeout=0.1
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as session:
        yield Here(f"http://127.0.0.1:{runner.addresses[0][1]}", session, till)
    await runner.cleanup()


async def test_a_call_arrives_as_sent_without_the_prefix(here: Here) -> None:
    async with here.session.get(here.url + "/till/v2/a%2Fb?q=x%20y&z=", headers={"X-Key": "k"}) as response:
        assert await response.json() == {"path": "/v2/a%2Fb"}
    seen = here.till.seen[0]
    assert (seen.method, seen.path, dict(seen.query), seen.headers["x-key"]) == (
        "GET",
        "/v2/a%2Fb",
        {"q": "x y", "z": ""},
        "k",
    )
    assert (await here.call("GET", "/till"))[1] == {"path": "/"}


async def test_decimals_go_both_ways_exactly(here: Here) -> None:
    async with here.session.post(here.url + "/till/sales", data=b'{"total": 0.10000000000000000001}') as response:
        assert response.headers["x-limit"] == "9"
        assert await response.text() == '{"total":0.10000000000000000001,"n":1}'
    assert here.till.sales == [{"total": Decimal("0.10000000000000000001")}]
    async with here.session.get(here.url + "/_sandbox/till/state") as response:
        assert b"0.10000000000000000001" in await response.read()


async def test_bytes_and_nothing_are_answered_as_they_are(here: Here) -> None:
    async with here.session.get(here.url + "/till/raw") as response:
        assert (await response.read(), response.content_type) == (b"a,b\n", "text/csv")
    async with here.session.delete(here.url + "/till/x") as response:
        assert (response.status, await response.read()) == (204, b"")


async def test_a_mistake_of_the_simulator_says_so(here: Here) -> None:
    status, body = await here.call("GET", "/till/broken")
    assert status == 500
    assert "sandbox_error" in body


@pytest.mark.parametrize(
    ("kind", "status"),
    [("error", 500), ("throttled", 429), ("throttled_retry_after", 429), ("unauthorized", 401), ("unavailable", 503)]
    + [("garbage", 200)],
)
async def test_a_worded_fault_has_no_effect(here: Here, kind: str, status: int) -> None:
    await here.order(kind=kind)
    assert await here.sell() == (status, {"said": "down" if kind == "unavailable" else kind})
    assert here.till.sales == []
    assert (await here.call("POST", "/other/sales", {"total": 1}))[0] == 201, "no other vendor notices"


@pytest.mark.parametrize(
    ("kind", "sold", "ended"),
    [("down", 0, "closed"), ("reset", 0, "reset"), ("reset_after_commit", 1, "reset")],
)
async def test_no_answer_and_the_effect_that_it_had(here: Here, kind: str, sold: int, ended: str) -> None:
    await here.order(kind=kind)
    with pytest.raises(aiohttp.ClientConnectionError) as failure:
        await here.sell()
    number = failure.value.errno if isinstance(failure.value, OSError) else None
    assert number == (errno.ECONNRESET if ended == "reset" else None)
    assert len(here.till.sales) == sold
    assert [(call["fault"], call["ended"]) for call in await here.calls()] == [(kind, ended)]


@pytest.mark.parametrize(("kind", "sold"), [("timeout_before", 0), ("timeout_after_commit", 1)])
async def test_a_hanging_call_and_the_effect_that_it_had(here: Here, kind: str, sold: int) -> None:
    await here.order(kind=kind)
    with pytest.raises(TimeoutError):
        await here.sell(patience=0.2)
    assert len(here.till.sales) == sold
    await here.order(kind=kind, seconds=0.05)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await here.sell()
    calls = await here.calls()
    assert [call["ended"] for call in calls] == ["hung", "hung"]
    assert all(call["ms"] is not None for call in calls), "a call whose client has gone is over"


async def test_a_slow_call_is_answered_late(here: Here) -> None:
    await here.order(kind="slow", seconds=0.2)
    began = time.monotonic()
    assert (await here.sell())[0] == 201
    assert time.monotonic() - began >= 0.2


async def test_a_fault_is_limited_by_count_method_and_path(here: Here) -> None:
    await here.order(kind="error", count=2, method="post", match="^/sales$")
    assert (await here.call("GET", "/till/sales"))[0] == 200
    assert (await here.call("POST", "/till/sales/1", {}))[0] == 200
    assert [(await here.sell())[0] for _ in range(3)] == [500, 500, 201]
    assert (await here.call("GET", "/_sandbox/till/fault"))[1] == {
        "kind": "error", "probability": 1.0, "match": "^/sales$", "method": "post", "count": 2, "acted": 2, "left": 0,
    }  # fmt: skip


async def test_chance_is_repeatable(here: Here) -> None:
    async def rounds() -> list[int]:
        await here.order(kind="error", probability=0.5, seed=7)
        return [(await here.sell())[0] for _ in range(20)]

    first = await rounds()
    assert first == await rounds()
    assert set(first) == {500, 201}


async def test_a_fault_ends_when_told(here: Here) -> None:
    await here.order(kind="down")
    status, shown = await here.call("DELETE", "/_sandbox/till/fault")
    assert (status, shown["kind"]) == (200, "none")
    assert (await here.sell())[0] == 201


@pytest.mark.parametrize(
    "order",
    [
        {"kind": "odd"},
        {"kind": "down", "probability": 2},
        {"kind": "down", "match": "("},
        {"kind": "down", "x": 1},
        [],
        {},
    ],
)
async def test_a_fault_that_is_none_is_refused(here: Here, order: Any) -> None:
    status, body = await here.call("PUT", "/_sandbox/till/fault", order)
    assert status == 400
    assert body["error"]
    assert (await here.sell())[0] == 201


async def test_faults_act_on_vendor_paths_only(here: Here) -> None:
    await here.order(kind="down")
    for path in ("/health", "/_sandbox/till/state", "/_sandbox/till/counters", "/_sandbox/till/limits"):
        assert (await here.call("GET", path))[0] == 200


async def test_load_configure_and_reset(here: Here) -> None:
    assert (await here.call("POST", "/_sandbox/till/load", {"sales": [{"total": 1}]}))[0] == 200
    assert (await here.call("POST", "/_sandbox/till/configure", {"a": 1}))[0] == 200
    assert (await here.call("GET", "/_sandbox/till/counters"))[1] == {"sales": 1}
    assert here.till.options == {"a": 1}
    assert (await here.call("POST", "/_sandbox/till/load", {"unknown": 1}))[0] == 400
    assert (await here.call("POST", "/_sandbox/till/load", [1]))[0] == 400
    status, body = await here.call("POST", "/_sandbox/till/configure", {"wrong": 1})
    assert (status, body["error"]) == (400, "ValueError: no such option")
    await here.order(kind="down")
    assert (await here.call("POST", "/_sandbox/till/reset"))[0] == 200
    assert (await here.call("GET", "/_sandbox/till/state"))[1] == {"sales": []}
    assert (await here.sell())[0] == 201


async def test_calls_are_remembered_without_query_and_body(here: Here) -> None:
    await here.call("POST", "/till/sales?email=a@example.com", {"total": 1, "note": "private"})
    calls = await here.calls()
    assert [(call["method"], call["path"], call["status"], call["ended"]) for call in calls] == [
        ("POST", "/sales", 201, "answered")
    ]
    assert calls[0]["ms"] >= 0
    assert "example.com" not in str(calls)
    assert "private" not in str(calls)


async def test_unknown_vendors_are_not_found(here: Here) -> None:
    for path in ("/nobody/x", "/_sandbox/nobody/state"):
        status, body = await here.call("GET", path)
        assert (status, body["error"]) == (404, "no such vendor here; there are: other, till")
    assert (await here.call("GET", "/health"))[1] == {"status": "ok", "vendors": ["other", "till"]}


async def test_the_page_lists_vendors_faults_and_limits(here: Here) -> None:
    await here.order(kind="down", match="<b>")
    async with here.session.get(here.url) as response:
        page = await response.text()
        assert response.content_type == "text/html"
    assert "/till/" in page
    assert "calls &lt;per second&gt;" in page
    assert '<span class="fault">down</span>' in page
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert all(kind in page for kind in KINDS)


def test_the_command_serves_until_told_to_stop(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    command = [sys.executable, "-m", "services.sandbox", "--vendors", "hubspot", "--ready-file", str(ready)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 30
            while not ready.exists() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            url = ready.read_text().strip()
            assert url.startswith("http://127.0.0.1:")
            asyncio.run(_is_healthy(url))
            os.kill(process.pid, signal.SIGTERM)
            out, _ = process.communicate(timeout=10)
        finally:
            process.kill()
    assert process.returncode == 0
    assert out == f"{url}\n"


async def _is_healthy(url: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/health") as response:
        assert await response.json() == {"status": "ok", "vendors": ["hubspot"]}


def test_the_command_names_the_vendors_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--vendors", "nobody"]) == 2
    assert "no connector is called 'nobody'; there are:" in capsys.readouterr().err
