"""What an operator does, by the same statements as `till`."""

from __future__ import annotations

from typing import Any

from libs.runtime import exact_json
from services.ops.queries import connections, dead_letters
from tests.model.world import ModelWorld


class _Asking:
    """A pool for the queries of `till`: the operator's own connection, which works."""

    def __init__(self, world: ModelWorld) -> None:
        self._ask = world.database.ask

    async def fetchval(self, *arguments: Any) -> Any:
        return await self._ask("fetchval", *arguments)

    async def fetchrow(self, *arguments: Any) -> Any:
        return await self._ask("fetchrow", *arguments)

    async def fetch(self, *arguments: Any) -> Any:
        return await self._ask("fetch", *arguments)


class Operator:
    """Looks after one connection."""

    def __init__(self, world: ModelWorld) -> None:
        self._world, self._pool, self._connection = world, _Asking(world), world.connection.id

    def pause(self) -> None:
        """`till pause`."""
        self._world.run(connections.pause(self._pool, self._connection, "operator", "stocktaking"))

    def resume(self) -> None:
        """`till resume`."""
        self._world.run(connections.resume(self._pool, self._connection))

    def letters(self) -> list[Any]:
        """Open dead letters, oldest first."""
        return self._world.run(dead_letters.chosen(self._pool, dead_letters.Choice(connection=self._connection)))

    def replay(self, ids: list[str] | None = None) -> int:
        """`till dlq replay`; all, when none are named."""
        chosen = [letter["id"] for letter in self.letters()] if ids is None else ids
        return self._world.run(dead_letters.replay_deliveries(self._pool, self._connection, chosen, 10.0))

    def edit(self, luck: int) -> None:
        """Put one letter right, and replay it."""
        letters = self.letters()
        if not letters:
            return
        name = letters[luck % len(letters)]["id"]
        row = self._world.run(dead_letters.delivery(self._pool, self._connection, name))
        content = exact_json.decode(row["value"])
        content["refs"] = [*content["refs"], "put-right"]
        self._world.run(dead_letters.edit_delivery(self._pool, self._connection, name, exact_json.encode(content)))
        self._world.vendor.curses.pop(name, None)
        self.replay([name])

    def discard(self, luck: int) -> None:
        """Give one letter up."""
        letters = self.letters()
        if letters:
            name = letters[luck % len(letters)]["id"]
            self._world.run(dead_letters.discard_deliveries(self._pool, self._connection, [name], "of no use"))
