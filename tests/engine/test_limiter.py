"""The parts of the limiter, each by itself: who goes first, what headers say, how leases and seats are divided."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from typing import Any

import pytest

from libs.connectors.contract.http import Response
from libs.connectors.contract.manifest import Limits, Quota, Window
from libs.runtime.limits import Limiter, Urgency
from libs.runtime.limits.budget import SECOND, Answer, Ask, Budget, settle
from libs.runtime.limits.limiter import OwnBudget
from libs.runtime.limits.quota import pause_asked

NOW = 1_700_000_000 * SECOND
HUBSPOT = Quota(header="X-Left", otherwise_seconds=0.5)
RESET = Quota(header="RateLimit-Remaining", reset="RateLimit-Reset")
MILLIS = Quota(header="X-Left", reset="X-Reset", reset_in="milliseconds")
EPOCH = Quota(header="X-Left", reset="X-Reset", reset_in="epoch")
BUCKET = Quota(header="X-Bucket", says="used/allowed", otherwise_seconds=2)


class FarAway(OwnBudget):
    """Accounts that are far away: the answer takes 40 ms. `later`: calls that it leased for later."""

    later = 0

    async def settle(self, ask: Ask) -> Answer:
        """Report and lease."""
        answer = await super().settle(ask)
        began = time.monotonic()
        self.later += sum(calls for span, calls in answer.opening if span)
        await asyncio.sleep(0.04)
        return replace(answer, age=int((time.monotonic() - began) * SECOND))


@pytest.fixture
def far_away() -> FarAway:
    """A fresh account, far away."""
    return FarAway()


def ask(holder: str, *, calls: int = 10, concurrency: int = 8, **more: Any) -> Ask:
    """A question about an account with one window of a second."""
    told = {"windows": ((calls, SECOND),), "lease": 3 * SECOND, "longest_call": 2 * SECOND, "need": 1, **more}
    return Ask(holder, concurrency=concurrency, **told)


@pytest.mark.parametrize(
    ("quota", "headers", "seconds"),
    [
        (HUBSPOT, {"x-left": "1"}, 0.0),
        (HUBSPOT, {"x-left": "0"}, 0.5),
        (HUBSPOT, {"x-left": "-3"}, 0.5),
        (HUBSPOT, {}, 0.0),
        (HUBSPOT, {"x-left": "none"}, 0.0),
        (RESET, {"ratelimit-remaining": "0", "ratelimit-reset": "7"}, 7.0),
        (RESET, {"ratelimit-remaining": "0", "ratelimit-reset": "soon"}, 1.0),
        (MILLIS, {"x-left": "0", "x-reset": "1500"}, 1.5),
        (EPOCH, {"x-left": "0", "x-reset": "1000012"}, 12.0),
        (EPOCH, {"x-left": "0", "x-reset": "999000"}, 0.0),
        (RESET, {"ratelimit-remaining": "0", "ratelimit-reset": "9e11"}, 86_400.0),
        (BUCKET, {"x-bucket": "39/40"}, 0.0),
        (BUCKET, {"x-bucket": "40/40"}, 2.0),
        (BUCKET, {"x-bucket": "40"}, 0.0),
    ],
)
def test_headers_that_say_that_no_call_is_left(quota: Quota, headers: dict[str, str], seconds: float) -> None:
    """Until the reset if it is named, in whatever unit; what cannot be read says nothing."""
    assert pause_asked(Response(200, headers), [quota], wall_clock=1_000_000.0) == seconds


async def test_an_answer_that_leaves_no_call_holds_everybody() -> None:
    """Nobody calls until the reset that the headers name."""
    limiter = Limiter(Limits(), quotas=[MILLIS])
    limiter.heed(Response(200, {"x-left": "0", "x-reset": "200"}))
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with limiter.slot():
        assert loop.time() - begun >= 0.2


async def test_a_pause_ends_for_those_who_waited_before_it_began() -> None:
    """They waited for a seat, then for the pause: after it somebody lets them go."""
    limiter = Limiter(Limits(concurrency=1))

    async def call() -> None:
        async with limiter.slot():
            pass

    async with limiter.slot():
        waiting = asyncio.create_task(call())
        await asyncio.sleep(0.01)
        limiter.pause(0.1)
    async with asyncio.timeout(2):
        await waiting


async def test_the_urgent_go_first_and_nobody_waits_for_ever() -> None:
    """What happens now before what is tried again before what is told again; one in eight is whoever waited longest."""
    limiter = Limiter(Limits(concurrency=1))
    order: list[Urgency] = []

    async def call(urgency: Urgency) -> None:
        async with limiter.slot(urgency):
            order.append(urgency)

    async with limiter.slot():
        waiting = [asyncio.create_task(call(urgency)) for urgency in [*reversed(Urgency)] * 2]
        await asyncio.sleep(0)
        waiting += [asyncio.create_task(call(Urgency.LIVE)) for _ in range(20)]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert [order[n] for n in (7, 15)] == [Urgency.REPLAY, Urgency.REDRIVE], "in the order in which they came"
    assert order[:7] + order[8:15] + order[16:23] == sorted(order[:7] + order[8:15] + order[16:23])


async def test_who_gives_up_waiting_takes_nothing_along() -> None:
    """Cancelled while waiting, or at the very moment of being served: others get the seat and the call."""
    limiter = Limiter(Limits(windows=(Window(calls=2, seconds=0.2),), concurrency=1))

    async def call() -> None:
        async with limiter.slot():
            pass

    async with limiter.slot():
        early, served, last = (asyncio.create_task(call()) for _ in range(3))
        await asyncio.sleep(0.02)
        early.cancel()
        await asyncio.sleep(0)
    served.cancel()  # it has been let go, and has not run yet
    async with asyncio.timeout(2):
        await last
    for task in (early, served):
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
    async with asyncio.timeout(2):
        await asyncio.gather(*(call() for _ in range(4)))


async def test_all_who_wait_giving_up_at_once_leave_every_seat_free() -> None:
    """A rebalance stops all calls in the same moment: none of those that never began may keep a seat."""
    limiter = Limiter(Limits(concurrency=2))

    async def call() -> None:
        async with limiter.slot():
            await asyncio.sleep(60)

    calls = [asyncio.create_task(call()) for _ in range(9)]
    await asyncio.sleep(0)
    for each in calls:
        each.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    async with asyncio.timeout(1), limiter.slot(), limiter.slot():
        assert not limiter.holds_up


async def test_what_is_not_needed_is_given_back() -> None:
    """After some time without calls, and at the end, nothing is leased; what was called still counts."""
    accounts = OwnBudget()
    limits = Limits(windows=(Window(calls=50, seconds=60),), concurrency=4)
    idle, ending = (Limiter(limits, accounts, holder=name) for name in ("idle", "ending"))
    for limiter in (idle, ending):
        async with limiter.slot():
            assert limiter._holder in accounts._budget.holders
    await ending.close()
    assert list(accounts._budget.holders) == ["idle"]
    async with asyncio.timeout(10):
        while accounts._budget.holders:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.05)
    (counted,) = accounts._budget.windows.values()
    assert sum(counted.ended.values()) == 2


def test_a_call_counts_until_a_window_after_its_end() -> None:
    """Not from when it began: when in between it reached the vendor is not known."""
    budget = Budget()
    assert settle(budget, ask("a", calls=1, want=1), NOW).granted == 1
    ended = NOW + SECOND // 2 + 7
    at = ended + SECOND // 10
    assert settle(budget, ask("a", calls=1, want=1, ended=[at - ended]), at).granted == 0
    assert settle(budget, ask("a", calls=1, want=1), ended + SECOND - 1).granted == 0
    assert settle(budget, ask("a", calls=1, want=1), ended + SECOND + SECOND // 50).granted == 1


def test_calls_for_which_there_will_be_room_are_leased_for_then() -> None:
    """Ten ended one after the other: who looks ahead gets those that leave the window meanwhile, each for its time."""
    budget = Budget()
    assert settle(budget, ask("a", want=10), NOW).opening == ((0, 10),)
    at = NOW + SECOND // 2
    ended = [SECOND // 20 * n for n in range(10)]  # half a second ago to just now
    answer = settle(budget, ask("a", want=10, ended=ended, lookahead=SECOND * 19 // 25), at)
    assert answer.granted == 5, "one leaves every twentieth of a second, the first after eleven of them"
    spans = [span for span, calls in answer.opening for _ in range(calls)]
    assert spans == sorted(spans)
    for span, age in zip(spans, sorted(ended, reverse=True), strict=False):
        assert SECOND - age <= span <= SECOND - age + SECOND // 100
    assert settle(budget, ask("b", want=10, lookahead=SECOND * 19 // 25), at).granted == 0, "they are leased already"


async def test_what_is_leased_for_later_waits_for_its_time_and_asks_for_nobody(far_away: FarAway) -> None:
    """An account that answers slowly holds up nobody: calls are leased before they are due, and wait until they are."""
    limiter = Limiter(Limits(windows=(Window(calls=10, seconds=0.5),), concurrency=4), far_away)
    loop = asyncio.get_running_loop()
    begun: list[float] = []

    async def call() -> None:
        async with limiter.slot():
            begun.append(loop.time())

    await asyncio.gather(*(call() for _ in range(50)))
    for first, one_too_many in zip(begun, begun[10:], strict=False):
        assert one_too_many - first >= 0.5
    assert far_away.later > 25
    await limiter.close()


def test_what_a_process_took_along_counts_until_it_can_have_used_it() -> None:
    """A lease, its longest call and a window later the calls of one who died are free again."""
    budget = Budget()
    assert settle(budget, ask("dead", want=10), NOW).granted == 10
    for seconds in (1, 3, 5, 5.9):
        assert settle(budget, ask("a", want=10), NOW + int(seconds * SECOND)).granted == 0
    assert settle(budget, ask("a", want=10), NOW + 6 * SECOND + SECOND // 50).granted == 10


def test_holders_share_what_is_free_and_the_urgent_go_first() -> None:
    """Equals get equal parts; a live call goes before a replayed one; and after seven times it is the latter's turn."""
    budget = Budget()
    assert settle(budget, ask("full", want=10), NOW).granted == 10
    for holder in ("a", "b"):
        assert settle(budget, ask(holder, want=8), NOW).granted == 0
    assert settle(budget, ask("full", held=2), NOW).granted == 0  # gives back eight
    assert settle(budget, ask("a", want=8), NOW).granted == 4

    budget = Budget()
    settle(budget, ask("full", want=10), NOW)
    settle(budget, ask("live", want=8), NOW)
    settle(budget, ask("full", held=9), NOW)
    granted = [settle(budget, ask("replay", want=1, urgency=int(Urgency.REPLAY)), NOW).granted for _ in range(8)]
    assert granted == [0] * 7 + [1]


def test_seats_are_never_too_many_and_go_round() -> None:
    """Three processes, two seats: never three at a time, and within some seconds each has had one."""
    budget, seats = Budget(), dict.fromkeys("abc", 0)
    had = dict.fromkeys(seats, 0)
    for step in range(40):
        for name in seats:
            question = ask(name, concurrency=2, need=2, seated=seats[name])
            seats[name] = settle(budget, question, NOW + step * SECOND // 4).seats
            had[name] += seats[name]
            assert sum(holder.seats for holder in budget.holders.values()) <= 2
    assert min(had.values()) >= 10, had
