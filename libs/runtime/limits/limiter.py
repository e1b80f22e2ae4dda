"""Leave to make one call: out of what this process has leased, without a round trip."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from typing import Protocol

import structlog

from libs.connectors.contract.http import Response
from libs.connectors.contract.manifest import Limits, Quota
from libs.runtime.limits.budget import SECOND, Answer, Ask, Budget, settle
from libs.runtime.limits.line import Line, Urgency
from libs.runtime.limits.quota import pause_asked

log = structlog.get_logger()

# Seconds for which a lease is good here; it is renewed well before.
_LEASE = 3.0
# Seconds between two reports at most, and between two questions when everything is leased to others.
_RENEW = 1.0
# Seconds until an answer that says "not before long" is doubted: others may give back what they leased.
_DOUBT = 5.0
_AWAY = 0.5  # seconds
# Leases may be taken ahead of need up to this part of any window: they are lost for a while when a process dies.
_AHEAD = 20


class BudgetAway(Exception):
    """The shared budget cannot be reached now."""


class Accounts(Protocol):
    """Where calls are leased from."""

    async def settle(self, ask: Ask) -> Answer:
        """Report and lease. Raises BudgetAway."""


class OwnBudget:
    """A budget of this process alone."""

    def __init__(self) -> None:
        self._budget = Budget()

    async def settle(self, ask: Ask) -> Answer:
        """Report and lease."""
        return settle(self._budget, ask, _micros(time.monotonic()))


class Slot:
    """Leave to make one call, from entering to leaving."""

    __slots__ = ("_limiter", "_urgency")

    def __init__(self, limiter: Limiter, urgency: Urgency) -> None:
        self._limiter, self._urgency = limiter, urgency

    async def __aenter__(self) -> None:
        if not self._limiter.start_now():
            await self._limiter.wait(self._urgency)

    async def __aexit__(self, *_: object) -> None:
        self._limiter.end()


class Limiter:
    """Never more calls in any window than allowed, whatever the moment at which the window is laid.

    Calls are leased from `accounts` about a second's worth at a time; without `accounts` this process has them all.
    While the leases cannot be renewed they run out, and nobody calls. `longest_call`: seconds that a call can take.
    """

    def __init__(
        self,
        limits: Limits,
        accounts: Accounts | None = None,
        *,
        holder: str = "",
        quotas: Iterable[Quota] = (),
        longest_call: float = 20.0,
    ) -> None:
        self._windows = tuple((w.calls, _micros(w.seconds)) for w in limits.windows)
        self._quotas = tuple(quotas)
        self._accounts = accounts or OwnBudget()
        self._holder, self._concurrency, self._longest_call = holder, limits.concurrency, longest_call
        shortest = min((w.seconds for w in limits.windows), default=4.0)
        self._renew = min(_RENEW, max(0.02, shortest / 4))
        self._breath = min(0.25, max(0.004, shortest / 40))
        # About a second's worth of the fastest window; ahead of need only where that is little.
        self._chunk = max((max(1, round(w.calls / w.seconds)) for w in limits.windows), default=0)
        self._ahead = min((w.calls // _AHEAD for w in limits.windows), default=0)
        self._line = Line()
        self._leased = 0  # calls in hand that may begin now
        self._coming: list[tuple[float, int]] = []  # and those that may begin later: from when, how many
        self._seats = 0
        self._leased_until = 0.0
        if accounts is None and not limits.windows:
            self._seats, self._leased_until = limits.concurrency, float("inf")
        self._alone = self._seats > 0
        self._under_way = self._most = self._started = 0
        self._ended: list[float] = []
        self._not_before = 0.0
        self._pause_untold = False
        self._ask_at = 0.0
        self._report_at = 0.0
        self._away = False
        self._poked = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None

    # For callers ------------------------------------------------------------------------------------------------

    def slot(self, urgency: Urgency = Urgency.LIVE) -> Slot:
        """Leave to make one call now; waits for it when entered."""
        return Slot(self, urgency)

    @property
    def holds_up(self) -> bool:
        """Whether somebody waits here for leave to call."""
        return bool(self._line)

    def pause(self, seconds: float) -> None:
        """No call for that long: the vendor said so. Others who call the account learn of it within about a second."""
        until = time.monotonic() + seconds
        if until > self._not_before:
            self._not_before = until
            self._pause_untold = not self._alone
            self._wake()

    def heed(self, response: Response) -> None:
        """Take in what an answer's headers say of the calls that are left."""
        if self._quotas:
            seconds = pause_asked(response, self._quotas, wall_clock=time.time())
            if seconds:
                self.pause(seconds)

    async def close(self) -> None:
        """Give back what is leased, if that can be told; else it runs out by itself."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
            self._leased_until = 0.0
            self._most = self._started = 0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LEASE):
                    await self._settle()

    # A call's way -----------------------------------------------------------------------------------------------

    def start_now(self) -> bool:
        """Whether a call may begin at once; it has begun then, and is to be followed by `end`."""
        if self._line or not self._may_start():
            return False
        self._start()
        return True

    async def wait(self, urgency: Urgency) -> None:
        """Wait for leave to call; to be followed by `end`."""
        future = self._line.join(urgency)
        self._most = max(self._most, self._under_way + len(self._line))
        self._wake()
        try:
            await future
        except asyncio.CancelledError:
            if future.cancelled():
                self._line.left()
            else:  # served at the very moment of giving up
                self._under_way -= 1
                self._leased += bool(self._windows)
                self._serve()
            raise

    def end(self) -> None:
        """The call is over."""
        self._under_way -= 1
        if self._windows:
            self._ended.append(time.monotonic())
        if self._line:
            self._serve()

    def _may_start(self) -> bool:
        if self._under_way >= self._seats:
            return False
        now = time.monotonic()
        while self._coming and self._coming[0][0] <= now:
            self._leased += self._coming.pop(0)[1]
        if self._windows and not self._leased:
            return False
        return self._not_before <= now < self._leased_until

    def _start(self) -> None:
        self._under_way += 1
        self._started += 1
        if self._windows:
            self._leased -= 1
        if self._under_way > self._most:
            self._most = self._under_way

    def _serve(self) -> None:
        while self._line and self._may_start() and self._line.serve():
            self._start()

    # Leases -----------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """See to it that somebody looks after the leases and the line."""
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.create_task(self._keep())
        self._poked.set()

    async def _keep(self) -> None:
        """Lease, report and renew as long as there is something to look after."""
        try:
            while True:
                self._poked.clear()
                self._serve()
                if self._idle():
                    return
                wait = self._due() - time.monotonic()
                if wait > 0:
                    await self._poke_or(wait)
                else:
                    await self._settle()
        except Exception as error:
            log.exception("limiter", holder=self._holder)
            self._line.fail(error)

    async def _poke_or(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._poked.wait()
        except TimeoutError:
            return

    def _idle(self) -> bool:
        if self._alone:  # then only a pause makes anybody wait for anything but the end of a call
            return not self._line or self._not_before <= time.monotonic()
        in_use = self._line or self._under_way or self._in_hand or self._seats
        return not (in_use or self._pause_untold or self._ended)

    def _due(self) -> float:
        """When something is to be done next, on the monotonic clock."""
        now = time.monotonic()
        paused = self._not_before > now
        due = self._not_before if paused and self._line else float("inf")
        if self._alone:
            return due
        if self._pause_untold and not self._away:
            return now
        due = min(due, self._report_at)
        if not self._line or paused:
            return due
        if self._coming and not self._leased and self._under_way < self._seats:
            due = min(due, self._coming[0][0])
        seatless = self._seats <= self._under_way < self._concurrency
        # What can begin now is used up before more is asked for; what comes later is topped up while it lasts.
        more = len(self._line) > self._in_hand if self._coming else not self._leased
        return min(due, self._ask_at) if seatless or (self._windows and more) else due

    @property
    def _in_hand(self) -> int:
        return self._leased + sum(calls for _, calls in self._coming)

    def _give_back(self, down_to: int) -> None:
        """Keep only so many calls, those that may begin first."""
        over = self._in_hand - down_to
        while over > 0 and self._coming:
            moment, calls = self._coming.pop()
            if calls > over:
                self._coming.append((moment, calls - over))
            over -= calls
        self._leased = min(self._leased, down_to)

    async def _settle(self) -> None:
        """One exchange with the budget."""
        asked_at = time.monotonic()
        if asked_at >= self._leased_until:
            self._leased = self._seats = 0
            self._coming.clear()
        waiting = len(self._line)
        ahead = min(self._ahead, self._started)
        want = max(0, min(self._chunk, waiting + ahead - self._in_hand))
        need = min(self._concurrency, max(self._most, self._under_way + waiting))
        # What is given back is not used from here on, whatever becomes of the report.
        self._give_back(waiting + ahead)
        self._seats = max(self._under_way, min(self._seats, need))
        self._most, self._started = self._under_way, 0
        ended, self._ended = self._ended, []
        told = self._not_before
        ask = Ask(
            self._holder, self._windows, self._concurrency, _micros(_LEASE), _micros(self._longest_call),
            held=(self._under_way + self._in_hand) if self._windows else 0,
            seated=self._seats, want=want, need=need, urgency=self._line.urgency,
            ended=[_micros(asked_at - moment) for moment in ended],
            pause=_micros(max(0.0, told - asked_at)) if self._pause_untold else 0, lookahead=_micros(self._renew),
        )  # fmt: skip
        try:
            answer = await self._accounts.settle(ask)
        except BudgetAway as error:
            self._ended = ended + self._ended  # told again; whatever counts twice is on the safe side
            self._ask_at = self._report_at = time.monotonic() + _AWAY
            if not self._away:
                log.warning("leases cannot be renewed", holder=self._holder, why=str(error))
            self._away = True
            return
        except asyncio.CancelledError:
            self._ended = ended + self._ended
            raise
        now = time.monotonic()
        self._away = False
        self._pause_untold = self._not_before > told
        self._not_before = max(self._not_before, now + answer.pause / SECOND)
        self._take(answer, now)
        self._seats = answer.seats
        self._leased_until = asked_at + _LEASE
        self._report_at = now + self._renew
        wait = self._breath if self._coming else 0.0
        if answer.granted < want:
            wait = self._renew if answer.again is None else min(_DOUBT, max(self._breath, answer.again / SECOND))
        elif answer.seats < need:
            wait = self._renew
        self._ask_at = now + wait

    def _take(self, answer: Answer, now: float) -> None:
        settled_at = now - answer.age / SECOND
        for span, calls in answer.opening:
            if span > 0:
                self._coming.append((settled_at + span / SECOND, calls))
            else:
                self._leased += calls
        self._coming.sort()


def _micros(seconds: float) -> int:
    return int(seconds * SECOND)
