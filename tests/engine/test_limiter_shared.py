"""Eight processes, one account: the vendor counts, on its own clock, and nowhere finds a window with too many calls."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from aiohttp import web

from deploy.local import postgres
from deploy.local.ports import pick
from libs.connectors.contract.manifest import Limits, Window
from libs.runtime.configuration.reading import parse_configuration
from libs.runtime.database.migrate import migrate
from libs.runtime.database.pool import open_pool
from libs.runtime.limits import shared_limiter
from tests.system.configuration import configuration

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres.Server]:
    """A PostgreSQL of these tests' own: they freeze it."""
    folder = tmp_path_factory.mktemp("limits")
    own = postgres.Server(postgres.make_home(folder), pick(None, ()), folder / "postgres.log")
    own.initialise()
    own.start()
    own.await_ready()
    migrate(own.url)
    yield own
    own.signal_all(signal.SIGCONT)
    own.kill()


class Vendor:
    """A server that counts. `calls` are moments of arrival on the monotonic clock."""

    def __init__(self, seconds: float = 0.01) -> None:
        self.calls: list[float] = []
        self.callers: list[str] = []
        self.throttle_until = 0.0
        self.refused = 0
        self.at_once = self.most = 0
        self._seconds = seconds
        self._came = asyncio.Event()

    async def called(self, times: int, *, since: float = 0.0) -> None:
        """Wait until so many calls came after a moment."""
        while sum(moment > since for moment in self.calls) < times:
            self._came.clear()
            await self._came.wait()

    async def answer(self, request: web.Request) -> web.Response:
        """Count, take a moment, answer."""
        self.calls.append(time.monotonic())
        self._came.set()
        self.callers.append(request.query["by"])
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(self._seconds)
        self.at_once -= 1
        left = self.throttle_until - time.monotonic()
        if left > 0:
            self.refused += 1
            return web.Response(status=429, headers={"Retry-After": f"{left:.2f}"})
        return web.Response()

    def within(self, seconds: float) -> int:
        """How many calls came in the first so many seconds."""
        return sum(moment < self.calls[0] + seconds for moment in self.calls)

    def worst(self, window: Window) -> int:
        """The most calls in any position of the window."""
        first = most = 0
        for last, moment in enumerate(self.calls):
            while self.calls[first] <= moment - window.seconds:
                first += 1
            most = max(most, last - first + 1)
        return most

    def check(self, limits: Limits) -> None:
        """Nowhere too many."""
        for window in limits.windows:
            assert self.worst(window) <= window.calls
        assert self.most <= limits.concurrency


@asynccontextmanager
async def calling(
    server: postgres.Server, limits: Limits, vendor: Vendor, *, replicas: int = 8, at_once: int = 6
) -> AsyncIterator[list[subprocess.Popen[bytes]]]:
    """That many processes that call the vendor as much as they may, each for an account of this test's own."""
    app = web.Application()
    app.router.add_get("/", vendor.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    started = []
    try:
        for number in range(replicas):
            told = {
                "dsn": server.url, "url": f"http://127.0.0.1:{port}/?by={number}", "account": f"vendor:{port}",
                "limits": limits.model_dump(), "name": f"replica-{number}", "at_once": at_once,
            }  # fmt: skip
            command = [sys.executable, str(Path(__file__).with_name("limited_caller.py")), json.dumps(told)]
            started.append(subprocess.Popen(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}))
        async with asyncio.timeout(60):
            await vendor.called(1)
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()
        await runner.cleanup()


async def test_eight_processes_use_the_limit_and_never_exceed_it(server: postgres.Server) -> None:
    """Two windows at once; one process is killed in the middle and takes what it had leased with it."""
    limits = Limits(windows=(Window(calls=30, seconds=1), Window(calls=200, seconds=10)), concurrency=16)
    vendor = Vendor()
    async with calling(server, limits, vendor) as replicas:
        await asyncio.sleep(4)
        replicas[3].kill()
        await asyncio.sleep(17)
    vendor.check(limits)
    print(f"calls in 20 s: {vendor.within(20)} of 400; worst", [vendor.worst(w) for w in limits.windows], vendor.most)
    assert vendor.within(20) >= 0.9 * 400


async def test_one_process_alone_reaches_the_limit(server: postgres.Server) -> None:
    """With enough to do, at least 95 % of what the windows allow: leasing costs no more than that."""
    limits = Limits(windows=(Window(calls=50, seconds=1), Window(calls=240, seconds=5)), concurrency=8)
    vendor = Vendor()
    async with calling(server, limits, vendor, replicas=1, at_once=16):
        await asyncio.sleep(11)
    vendor.check(limits)
    print(f"calls in 10 s: {vendor.within(10)} of 480; worst", [vendor.worst(w) for w in limits.windows])
    assert vendor.within(10) >= 0.95 * 480


async def test_a_small_window_is_shared_too(server: postgres.Server) -> None:
    """Five calls in six seconds among eight processes: all are made, and not by one of them."""
    limits = Limits(windows=(Window(calls=5, seconds=6),), concurrency=5)
    vendor = Vendor()
    async with calling(server, limits, vendor, at_once=2):
        await asyncio.sleep(19)
    vendor.check(limits)
    print(f"calls in 18 s: {vendor.within(18)} of 15, by", vendor.callers)
    assert vendor.within(18) >= 14
    assert len(set(vendor.callers)) >= 4


async def test_connections_and_services_of_one_account_have_one_budget(
    server: postgres.Server,
) -> None:
    """Two connections of one company, in two services: what one has called the other finds used."""
    settings: Any = SimpleNamespace(instance="test", http_timeout_seconds=2.0)
    limits = Limits(windows=(Window(calls=3, seconds=2),), concurrency=4)
    written = parse_configuration(yaml.safe_dump(configuration("http://127.0.0.1:1", 1))).connection("qbo-receipts")
    first = written.model_copy(update={"limits": limits})
    pool = await open_pool(server.url, size=2)
    limiters = [shared_limiter(c, pool, settings) for c in (first, first.model_copy(update={"id": "qbo-journal"}))]
    begun = time.monotonic()
    for limiter in [limiters[0]] * 3 + [limiters[1]]:
        async with limiter.slot():
            ended = time.monotonic()
    assert ended - begun >= 2, "the fourth call had to wait, though it was the second's first"
    for limiter in limiters:
        await limiter.close()
    (account,) = [row["account"] for row in await pool.fetch("select account from call_budget where account ~ 'quick'")]
    assert account == f"{first.account_key}@sandbox"
    await pool.close()


async def _frozen(server: postgres.Server, limits: Limits, *, replicas: int) -> list[float]:
    """Freezes PostgreSQL for six seconds; how long after that the calls came which came meanwhile."""
    vendor = Vendor()
    async with calling(server, limits, vendor, replicas=replicas):
        await asyncio.sleep(2)
        server.signal_all(signal.SIGSTOP)
        frozen = time.monotonic()
        await asyncio.sleep(6)
        woken = time.monotonic()
        server.signal_all(signal.SIGCONT)
        async with asyncio.timeout(30):
            await vendor.called(20, since=woken)
        back = time.monotonic() - woken
    vendor.check(limits)
    meanwhile = [moment - frozen for moment in vendor.calls if frozen < moment < woken]
    last = max(meanwhile, default=0.0)
    print(f"calls while frozen: {len(meanwhile)}, the last after {last:.1f} s; twenty more {back:.1f} s after waking")
    return meanwhile


async def test_without_the_database_nobody_calls_beyond_what_is_leased(server: postgres.Server) -> None:
    """No window is exceeded, and all goes on by itself afterwards."""
    meanwhile = await _frozen(server, Limits(windows=(Window(calls=40, seconds=1),), concurrency=8), replicas=8)
    assert len(meanwhile) <= 40


async def test_without_the_database_nobody_calls_once_the_leases_are_over(server: postgres.Server) -> None:
    """Of calls at a time there is no number to run out of; the lease of three seconds ends them."""
    meanwhile = await _frozen(server, Limits(concurrency=8), replicas=2)
    assert meanwhile
    assert max(meanwhile) < 3.5


async def test_all_learn_of_a_pause_within_about_a_second(server: postgres.Server) -> None:
    """One answer says 429 with Retry-After: a second and a half later nobody calls any more."""
    limits = Limits(windows=(Window(calls=40, seconds=1),), concurrency=8)
    vendor = Vendor()
    async with calling(server, limits, vendor, replicas=4):
        await asyncio.sleep(2)
        begun = time.monotonic()
        vendor.throttle_until = begun + 5
        await asyncio.sleep(7)
    vendor.check(limits)
    told = [moment - begun for moment in vendor.calls if begun + 1.5 < moment < begun + 5]
    print(f"refused: {vendor.refused}, of them after a second and a half: {len(told)}")
    assert not told
    assert vendor.calls[-1] > begun + 5
