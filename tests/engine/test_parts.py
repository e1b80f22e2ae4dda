"""The small parts of the engine, each by itself: offsets, brake, limiter, batcher, circuit, logs."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import Sequence
from contextlib import redirect_stderr
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from libs.connectors.contract.manifest import Limits, Window
from libs.runtime.engine.batcher import Batcher
from libs.runtime.engine.brake import BEFORE_FIRST_SUCCESS, IN_A_ROW, Brake
from libs.runtime.engine.circuit import Circuit
from libs.runtime.engine.offsets import OffsetTracker
from libs.runtime.limits import Limiter
from libs.runtime.telemetry.logs import set_up_logs


@given(st.permutations(range(12)), st.integers(0, 12))
def test_a_commit_never_passes_an_unfinished_record(order: list[int], finished: int) -> None:
    """In whatever order records finish, the commit stands before the first one that has not."""
    tracker = OffsetTracker()
    assert tracker.committable() is None
    for offset in range(12):
        tracker.admit(offset * 3, 10)  # offsets have gaps
    for offset in order[:finished]:
        tracker.finish(offset * 3)
    still_open = [offset * 3 for offset in order[finished:]]
    assert tracker.committable() == (min(still_open) if still_open else 34)
    assert (tracker.open_records, tracker.bytes_open) == (len(still_open), 10 * len(still_open))


def test_the_brake_counts_events_not_minutes() -> None:
    """Three before the first success stop; afterwards ten distinct keys in a row; one success starts anew."""
    brake = Brake()
    assert [brake.allows(f"k{n}") for n in range(BEFORE_FIRST_SUCCESS)] == [True, True, False]
    brake = Brake()
    brake.success()
    assert all(brake.allows(f"k{n}") for n in range(IN_A_ROW - 1))
    assert all(brake.allows("k0") for _ in range(50)), "one key again and again is one offender"
    assert not brake.allows("another")
    brake.success()
    assert brake.allows("another")


async def test_the_limiter_never_exceeds_any_window() -> None:
    """However many want to call at once: in no window more than allowed, and no more at a time."""
    limiter = Limiter(Limits(windows=(Window(calls=5, seconds=0.3), Window(calls=8, seconds=0.9)), concurrency=3))
    calls: list[float] = []
    at_once = most = 0

    async def call() -> None:
        nonlocal at_once, most
        async with limiter.slot():
            at_once += 1
            most = max(most, at_once)
            calls.append(time.monotonic())
            await asyncio.sleep(0.005)
            at_once -= 1

    await asyncio.gather(*(call() for _ in range(20)))
    assert most <= 3
    for allowed, seconds in ((5, 0.3), (8, 0.9)):
        assert all(later - first >= seconds for first, later in zip(calls, calls[allowed:], strict=False))


async def test_a_pause_that_the_vendor_asks_for_holds_everybody() -> None:
    """After `pause` nobody calls until it is over."""
    limiter = Limiter(Limits(concurrency=4))
    limiter.pause(0.2)
    started = time.monotonic()
    async with limiter.slot():
        assert time.monotonic() - started >= 0.2


async def test_a_batch_that_fails_is_told_to_each_who_waits() -> None:
    """Every item gets its own result; a failed flush fails its items and no others."""

    async def flush(items: Sequence[int]) -> list[int]:
        if 13 in items:
            raise ValueError("unlucky")
        return [item * 2 for item in items]

    batcher: Batcher[int, int] = Batcher(flush, size=4, linger=0.01)
    loops = [asyncio.create_task(batcher.run()) for _ in range(2)]
    assert await asyncio.gather(*(batcher.submit(n) for n in range(9))) == [n * 2 for n in range(9)]
    with pytest.raises(ValueError, match="unlucky"):
        await batcher.submit(13)
    assert await batcher.submit(4) == 8
    for loop in loops:
        loop.cancel()


async def test_one_offender_never_opens_the_circuit_and_several_do(pool: Any) -> None:
    """Ten failures of one key are its own affair; of three keys they are an outage. Probes end it, slowly."""
    await pool.execute("insert into connection_state (connection) values ('c')")
    answers: list[str | None] = ["still down", None]

    async def probe() -> str | None:
        return answers.pop(0) if len(answers) > 1 else answers[0]

    circuit = Circuit("c", pool, probe, probe_seconds=(0.05, 0.1))
    prober = asyncio.create_task(circuit.run())
    for _ in range(30):
        await circuit.failure("one", "HTTP 500")
    assert str(circuit.state) == "closed"
    assert circuit.lone_offender("one")
    for key in ("two", "three"):
        await circuit.failure(key, "HTTP 500")
    assert str(circuit.state) == "open"
    assert not circuit.lone_offender("one")
    waiting = [asyncio.create_task(circuit.enter()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    async with asyncio.timeout(5):
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert len(done) == 1, "half open lets one through at a time"
    while str(circuit.state) != "closed":
        await circuit.leave()
        await circuit.success()
        await asyncio.sleep(0)
    rows = await pool.fetch("select circuit from circuit_change order by at")
    assert [row["circuit"] for row in rows] == ["open", "half_open", "closed"]
    prober.cancel()


async def test_a_lone_offender_does_not_hold_the_circuit_either(pool: Any) -> None:
    """After an outage an event that still fails by itself goes its own way: the others close the circuit."""
    await pool.execute("insert into connection_state (connection) values ('c')")

    answer: list[str | None] = ["down"]

    async def probe() -> str | None:
        return answer[0]

    circuit = Circuit("c", pool, probe, probe_seconds=(0.01, 0.02))
    prober = asyncio.create_task(circuit.run())
    for number in range(10):
        await circuit.failure(f"key-{number % 3}", "HTTP 500")
    assert str(circuit.state) == "open"
    answer[0] = None
    for _ in range(500):
        await asyncio.sleep(0.01)
        if str(circuit.state) == "half_open":
            break
    for _ in range(3):
        await circuit.failure("offender", "HTTP 500")
        assert circuit.lone_offender("offender")
    assert str(circuit.state) == "half_open"
    for _ in range(6):
        await circuit.success()
    assert str(circuit.state) == "closed"
    prober.cancel()


async def test_who_gives_up_at_an_open_circuit_leaves(pool: Any) -> None:
    """Whoever waits for the target can be called away, and takes no place."""
    await pool.execute("insert into connection_state (connection) values ('c')")

    async def probe() -> str | None:
        return "down"

    circuit = Circuit("c", pool, probe)
    assert await circuit.ask() == "down"
    called_away = False
    waiting = asyncio.create_task(circuit.enter(lambda: called_away))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    called_away = True
    await circuit.wake()
    assert await waiting is False
    assert circuit._passing == 0


def test_a_logged_exception_says_where_and_never_what() -> None:
    """Messages of exceptions quote data; logs name the type and the places."""
    err = io.StringIO()
    with redirect_stderr(err):
        set_up_logs("test")
        try:
            raise ValueError("card 4111111111111111 of Ana Ruiz")
        except ValueError:
            structlog.get_logger().exception("internal error")
    written = json.loads(err.getvalue().splitlines()[-1])
    assert written["exception"] == "ValueError"
    assert "test_parts.py" in written["at"][-1]
    assert "4111" not in err.getvalue()
    assert "Ruiz" not in err.getvalue()
