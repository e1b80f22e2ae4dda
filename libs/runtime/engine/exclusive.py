"""What one replica does at a time: making an object that several events need, sending a batch under its key."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import structlog

from libs.runtime.database.pool import DATABASE_AWAY, Pool

log = structlog.get_logger()

_LEASE = 30.0  # seconds
_ASK_AGAIN = 0.2  # seconds

# A row and not an advisory lock: that would keep a database connection for as long as the vendor takes to answer.
_TAKE = (
    "insert into creation_lease (connection, target_key, holder, until) "
    "values ($1, $2, $3, clock_timestamp() + make_interval(secs => $4)) "
    "on conflict (connection, target_key) do update set holder = excluded.holder, until = excluded.until "
    "where creation_lease.until < clock_timestamp() or creation_lease.holder = excluded.holder returning true"
)
# With it goes what others left to run out long ago.
_LET_GO = (
    "delete from creation_lease where connection = $1 "
    "and (target_key = $2 and holder = $3 or until < clock_timestamp() - interval '1 hour')"
)


@dataclass
class Turn:
    """Being alone at something. `over`: nothing of it is under way when it is left."""

    over: bool = True


class Exclusive:
    """One at a time over all replicas of a connection, by name."""

    def __init__(self, pool: Pool, connection: str) -> None:
        self._pool, self._connection = pool, connection

    @asynccontextmanager
    async def alone(self, name: str) -> AsyncIterator[Turn]:
        """Wait until nobody else is at it, and keep everybody away. A crash frees it after 30 seconds.

        So does being cancelled inside, or a turn that is not `over`: a call may be out, and must have ended before the
        next one asks what there is. What was asked before entering is stale by then: whoever waited asks again.
        """
        holder = uuid4().hex
        while not await self._take(name, holder):  # noqa: ASYNC110 - others are in other processes
            await asyncio.sleep(_ASK_AGAIN * random.uniform(0.5, 1.0))  # noqa: S311 - spreads replicas apart
        renewing = asyncio.create_task(self._renew(name, holder))
        turn = Turn()
        try:
            yield turn
        except asyncio.CancelledError:
            turn.over = False
            raise
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            if turn.over:
                await self._let_go(name, holder)

    async def _let_go(self, name: str, holder: str) -> None:
        try:
            await self._pool.execute(_LET_GO, self._connection, name, holder)
        except DATABASE_AWAY:
            log.info("a lease is left to run out", connection=self._connection)

    async def _take(self, name: str, holder: str) -> bool:
        return bool(await self._pool.fetchval(_TAKE, self._connection, name, holder, _LEASE))

    async def _renew(self, name: str, holder: str) -> None:
        while True:
            await asyncio.sleep(_LEASE / 3)
            try:
                await self._take(name, holder)
            except DATABASE_AWAY:
                log.info("a lease cannot be renewed now", connection=self._connection)
