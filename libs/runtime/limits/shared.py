"""The budget of an account as one row in PostgreSQL, changed by whoever saw its newest version."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace
from uuid import uuid4

import msgspec

from libs.runtime.configuration.model import Connection
from libs.runtime.database.pool import DATABASE_AWAY, Pool
from libs.runtime.limits.budget import SECOND, Answer, Ask, Budget, settle
from libs.runtime.limits.limiter import BudgetAway, Limiter
from libs.runtime.settings import ProcessSettings

# Seconds for one statement: a database that takes longer is away.
_STATEMENT = 2.0
_TRIES = 40

_READ = (
    "select state, version, (extract(epoch from clock_timestamp()) * 1000000)::bigint as now "
    "from call_budget where account = $1"
)
# No lock is held between reading and writing: a process that freezes in between holds up nobody.
_WRITE = "update call_budget set state = $3, version = version + 1 where account = $1 and version = $2 returning 1"
_BEGIN = "insert into call_budget (account, state) values ($1, '{}') on conflict do nothing"


class SharedBudget:
    """The budget of one account, the same for every process that names it."""

    def __init__(self, pool: Pool, account: str) -> None:
        self._pool, self._account = pool, account

    async def settle(self, ask: Ask) -> Answer:
        """Report and lease. Raises BudgetAway: then it is not known whether the report was taken in."""
        asked_at = time.monotonic()
        try:
            for attempt in range(_TRIES):
                answer = await self._attempt(ask, asked_at)
                if answer is not None:
                    return answer
                await asyncio.sleep(random.uniform(0, 0.002 * min(attempt + 1, 10)))  # noqa: S311 - spreads them apart
        except DATABASE_AWAY as error:
            raise BudgetAway(type(error).__name__) from None
        raise BudgetAway("too many at once")

    async def _attempt(self, ask: Ask, asked_at: float) -> Answer | None:
        """None: somebody else was faster, or there is no row yet."""
        async with self._pool.acquire() as database:
            # The row's `now` is between these two moments, and what is told is as old as it is at the first of them.
            sent_at = time.monotonic()
            row = await database.fetchrow(_READ, self._account, timeout=_STATEMENT)
            read_at = time.monotonic()
            if row is None:
                await database.execute(_BEGIN, self._account, timeout=_STATEMENT)
                return None
            budget = msgspec.json.decode(row["state"], type=Budget)
            waited = int((sent_at - asked_at) * SECOND)
            answer = settle(budget, replace(ask, ended=[age + waited for age in ask.ended]), row["now"])
            state = msgspec.json.encode(budget).decode()
            written = await database.fetchval(_WRITE, self._account, row["version"], state, timeout=_STATEMENT)
        return replace(answer, age=int((time.monotonic() - read_at) * SECOND)) if written else None


def shared_limiter(connection: Connection, pool: Pool, settings: ProcessSettings) -> Limiter:
    """The limiter of a connection: one budget with every other process and connection of the same account."""
    account = f"{connection.account_key}@{connection.environment}"
    return Limiter(
        connection.call_limits,
        SharedBudget(pool, account),
        # Several of one process (a poller's, a fetcher's) are holders of their own.
        holder=f"{settings.instance}/{uuid4().hex[:8]}",
        quotas=connection.connector.manifest.quotas,
        longest_call=settings.http_timeout_seconds,
    )
