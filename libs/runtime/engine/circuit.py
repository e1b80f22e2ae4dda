"""The connection's circuit: an outage pauses it, probes find its end, and it starts again slowly.

closed ──(several keys fail, or the probe fails)──▶ open ──(probe succeeds)──▶ half open ──(successes)──▶ closed
   ▲                                                 ▲────────(a failure)───────────┘
   └── an operator's pause and the brake's stop are beside it: only an operator ends them
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Literal

import structlog

from libs.runtime.database.pool import DATABASE_AWAY, Pool
from libs.runtime.telemetry.metrics import CIRCUIT

log = structlog.get_logger()

State = Literal["closed", "half_open", "open"]

# Failures in a row, by at least that many keys, with no success between: then the target is down, not the event bad.
FAILURES_IN_A_ROW = 10
KEYS_IN_A_ROW = 3

Probe = Callable[[], Awaitable[str | None]]
"""Asks the target something cheap; None when it answers and accepts our credentials, else the reason."""


class Circuit:
    """Whether calls may be made, and how many at once. `probe_seconds`: first and longest wait between probes."""

    def __init__(
        self, connection: str, pool: Pool, probe: Probe, *, probe_seconds: tuple[float, float] = (2.0, 30.0)
    ) -> None:
        self._connection, self._pool, self._probe = connection, pool, probe
        self._first_wait, self._longest_wait = probe_seconds
        self.state: State = "closed"
        self.reason: str | None = None
        self.paused: str | None = None  # an operator's (or the brake's) reason
        self._failing_keys: set[str] = set()
        self._failures = 0
        self._passing = 0
        self._allowed = 1_000_000
        self._changed = asyncio.Condition()
        self._probing = asyncio.Lock()
        self._reopened = 0
        self._opened = asyncio.Event()
        self._show()

    @property
    def closed(self) -> bool:
        """Whether new records may be taken in hand."""
        return self.state != "open" and self.paused is None

    @property
    def _free(self) -> bool:
        return self.closed and self._passing < self._allowed

    async def enter(self, given_up: Callable[[], bool] = lambda: False) -> bool:
        """Wait until a call may be made: True, and one `leave` must follow. False as soon as `given_up` says so."""
        if not self._free:
            async with self._changed:
                await self._changed.wait_for(lambda: self._free or given_up())
                if not self._free:
                    return False
        self._passing += 1
        return True

    async def leave(self) -> None:
        """The call is over."""
        self._passing -= 1
        if self.state != "closed":
            await self.wake()

    async def success(self) -> None:
        """A call was answered properly (also with a refusal of what it said: the target is there)."""
        if self._failures:
            self._failures = 0
            self._failing_keys.clear()
        if self.state == "closed":
            return
        if self.state == "half_open":
            self._allowed *= 2  # slow start: one at a time, then two, then four
            if self._allowed > 32:
                self._reopened = 0
                await self._become("closed", None)
            else:
                await self.wake()

    async def failure(self, key: str, reason: str) -> None:
        """A call failed in a way that smells of an outage."""
        self._failures += 1
        self._failing_keys.add(key)
        many = self._failures >= FAILURES_IN_A_ROW and len(self._failing_keys) >= KEYS_IN_A_ROW
        if self.state == "half_open":
            # One event that fails by itself must not keep the others out: it takes two to open again.
            if len(self._failing_keys) > 1:
                self._reopened += 1
                await self._become("open", reason)
        elif many and self.state == "closed":
            await self._become("open", reason)

    def lone_offender(self, key: str) -> bool:
        """Whether this key alone has failed since the last success: then it is the event, not the target."""
        return self._failing_keys <= {key}

    async def ask(self) -> str | None:
        """Probe now, to tell a broken connection from a broken event. Opens when the probe fails; gives its reason."""
        async with self._probing:
            if self.state == "open":
                return self.reason
            reason = await self._probe()
            if reason is not None:
                await self._become("open", reason)
            return reason

    async def wait_until_resumed(self) -> None:
        """Wait until no operator's (or brake's) pause is in force."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.paused is None)

    async def wake(self) -> None:
        """Let everybody who waits look again."""
        async with self._changed:
            self._changed.notify_all()

    async def _become(self, state: State, reason: str | None) -> None:
        if state == self.state:
            return
        log.warning("circuit", connection=self._connection, before=self.state, now=state, reason=reason)
        self.state, self.reason = state, reason
        self._allowed = 1 if state == "half_open" else 1_000_000
        if state == "half_open":
            self._failures = 0
            self._failing_keys.clear()
        if state == "open":
            self._opened.set()
        self._show()
        await self.wake()
        try:
            async with self._pool.acquire() as database, database.transaction():
                await database.execute(
                    "update connection_state set circuit = $2, circuit_reason = $3, circuit_since = now() "
                    "where connection = $1",
                    self._connection, state, reason,
                )  # fmt: skip
                await database.execute(
                    "insert into circuit_change (connection, circuit, reason) values ($1, $2, $3)",
                    self._connection, state, reason,
                )  # fmt: skip
        except DATABASE_AWAY:
            log.warning("circuit change not recorded", connection=self._connection)

    def _show(self) -> None:
        value = 3 if self.paused else {"closed": 0, "half_open": 1, "open": 2}[self.state]
        CIRCUIT.labels(self._connection).set(value)

    async def run(self) -> None:
        """Probe while open; until cancelled."""
        while True:
            await self._opened.wait()
            wait = min(self._longest_wait, self._first_wait * 2**self._reopened)
            while self.state == "open":
                await asyncio.sleep(wait * random.uniform(0.8, 1.2))  # noqa: S311 - spreads replicas apart
                reason = await self._probe()
                if reason is None:
                    await self._become("half_open", None)
                else:
                    self.reason = reason
                    wait = min(self._longest_wait, wait * 2)
            self._opened.clear()

    async def watch_operator(self) -> None:
        """Follow pause and resume as written in the database; within about a second, until cancelled."""
        while True:
            try:
                row = await self._pool.fetchrow(
                    "select paused_by, paused_reason from connection_state where connection = $1", self._connection
                )
                paused = f"{row['paused_reason']} ({row['paused_by']})" if row and row["paused_by"] else None
                if paused != self.paused:
                    self.paused = paused
                    log.warning("operator", connection=self._connection, paused=paused)
                    self._show()
                    await self.wake()
            except DATABASE_AWAY:
                log.warning("cannot read pause state", connection=self._connection)
            await asyncio.sleep(1)

    async def stop_until_resumed(self, by: str, reason: str) -> None:
        """Pause as an operator would; only `till resume` ends it."""
        self.paused = f"{reason} ({by})"
        self._show()
        await self._pool.execute(
            "update connection_state set paused_by = $2, paused_reason = $3, paused_at = now() where connection = $1",
            self._connection, by, reason,
        )  # fmt: skip
        await self.wake()
