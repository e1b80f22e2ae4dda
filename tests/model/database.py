"""The real PostgreSQL, for replicas that can be killed and a server that can be away: one thing after the other.

All replicas share one connection, and whoever has acquired it has it until its transaction is over. So what happens
happens in the same order each time; a small wait before it, drawn from the seed, makes that order another for each.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import Context
from random import Random
from typing import Any

import asyncpg

from tests.model.clock import Clock, VirtualLoop


class Server:
    """The database.

    `away`: nothing is answered; `flaky`: the share of statements whose connection breaks; `answers_to_lose`:
    the next statement with the first of these words takes effect, and its answer is lost.
    """

    def __init__(self, loop: VirtualLoop, clock: Clock, connection: Any, random: Random) -> None:
        self._loop, self._clock, self._connection, self._random = loop, clock, connection, random
        self._one = asyncio.Lock()
        self.away = False
        self.flaky = 0.0
        self.answers_to_lose: list[str] = []

    async def ask(self, method: str, *arguments: Any) -> Any:
        """A statement for the test itself: never refused."""
        async with self._one:
            return await self._really(method, *arguments)

    async def _really(self, method: str, *arguments: Any) -> Any:
        """Do it, even if whoever asked is stopped meanwhile: a statement that was sent takes effect."""
        self._clock.tell_database()
        doing = self._loop.create_task(self._call(method, *arguments), context=Context())
        stopped: asyncio.CancelledError | None = None
        while not doing.done():
            try:
                await asyncio.shield(doing)
            except asyncio.CancelledError as error:
                stopped = error
            except Exception:  # noqa: BLE001 - raised below, by the task itself
                break
        if stopped is not None:
            doing.exception()
            raise stopped
        return doing.result()

    async def _call(self, method: str, *arguments: Any) -> Any:
        with self._loop.expecting():
            return await getattr(self._connection, method)(*arguments)

    def breaks(self) -> bool:
        """Whether the connection breaks now."""
        return self.away or (self.flaky > 0 and self._random.random() < self.flaky)

    def loses(self, statement: str) -> bool:
        """Whether this statement's answer is the one to be lost."""
        lost = bool(self.answers_to_lose) and self.answers_to_lose[0] in statement
        if lost:
            self.answers_to_lose.pop(0)
        return lost

    async def in_turn(self) -> None:
        """The network's whim: who comes first."""
        await asyncio.sleep(self._random.uniform(0, 0.01))


def _broken() -> Exception:
    error: Exception = asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
    return error


class Session:
    """A connection that a replica has acquired."""

    def __init__(self, server: Server, alive: Callable[[], bool]) -> None:
        self._server, self._alive = server, alive
        self._in_transaction = self._unheard = False

    async def _do(self, method: str, *arguments: Any, timeout: float | None = None) -> Any:  # noqa: ASYNC109
        if not self._alive():
            raise asyncio.CancelledError
        if self._server.breaks():
            raise _broken()
        answer = await self._server._really(method, *arguments)
        self._unheard = self._unheard or self._server.loses(arguments[0])
        if not self._in_transaction and (self._unheard or self._server.breaks()):
            raise _broken()  # it took effect, and nobody learns of it
        return answer

    async def execute(self, *arguments: Any, **more: Any) -> Any:
        return await self._do("execute", *arguments, **more)

    async def executemany(self, *arguments: Any, **more: Any) -> Any:
        return await self._do("executemany", *arguments, **more)

    async def fetch(self, *arguments: Any, **more: Any) -> Any:
        return await self._do("fetch", *arguments, **more)

    async def fetchrow(self, *arguments: Any, **more: Any) -> Any:
        return await self._do("fetchrow", *arguments, **more)

    async def fetchval(self, *arguments: Any, **more: Any) -> Any:
        return await self._do("fetchval", *arguments, **more)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """All or nothing; when the connection breaks at the end, nobody knows which."""
        await self._server._really("execute", "begin")
        self._in_transaction = True
        try:
            yield
            if not self._alive():
                raise asyncio.CancelledError
            if self._server.breaks():
                raise _broken()
        except BaseException:
            await self._server._really("execute", "rollback")
            raise
        else:
            await self._server._really("execute", "commit")
        finally:
            self._in_transaction = False
        if self._unheard or self._server.breaks():
            raise _broken()


class ReplicaPool:
    """What a replica takes for its connection pool. `alive`: False once it was killed; then nothing is done for it."""

    def __init__(self, server: Server, alive: Callable[[], bool]) -> None:
        self._server, self._alive = server, alive

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Session]:
        """A connection of one's own."""
        await self._server.in_turn()
        async with self._server._one:
            yield Session(self._server, self._alive)

    async def _single(self, method: str, arguments: tuple[Any, ...], more: dict[str, Any]) -> Any:
        async with self.acquire() as session:
            doing: Callable[..., Awaitable[Any]] = getattr(session, method)
            return await doing(*arguments, **more)

    async def execute(self, *arguments: Any, **more: Any) -> Any:
        return await self._single("execute", arguments, more)

    async def executemany(self, *arguments: Any, **more: Any) -> Any:
        return await self._single("executemany", arguments, more)

    async def fetch(self, *arguments: Any, **more: Any) -> Any:
        return await self._single("fetch", arguments, more)

    async def fetchrow(self, *arguments: Any, **more: Any) -> Any:
        return await self._single("fetchrow", arguments, more)

    async def fetchval(self, *arguments: Any, **more: Any) -> Any:
        return await self._single("fetchval", arguments, more)
