"""Which steps went out together under one idempotency key, kept from before the call until nobody can ask any more."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from libs.connectors.contract.http import Response
from libs.connectors.contract.target import Step
from libs.runtime import exact_json
from libs.runtime.database.pool import Pool

# What was answered is kept at least this long (seconds), for a process that crashed before it wrote that down.
_KEPT = 86_400.0


@dataclass(frozen=True)
class Part:
    """A step of a composition. `key` is the idempotency key that it would have by itself."""

    key: str
    trace_id: str
    step: Step


@dataclass(frozen=True)
class Composition:
    """Steps in their order under one key, as they were first sent; `age` in seconds; the answer, if any."""

    key: str
    parts: tuple[Part, ...]
    age: float = 0.0
    answer: Response | None = None


# The text is kept and not its meaning: what is sent again has to be the same to the byte.
_parts = msgspec.json.Decoder(tuple[Part, ...], float_hook=Decimal)
_answer = msgspec.json.Decoder(Response)


_SELECT = (
    "select key, parts, answer, extract(epoch from now() - at)::float8 as age from batch_composition "
    "where connection = $1 and batch = $2"
)


def _composition(row: Any) -> Composition:
    return Composition(row["key"], _parts.decode(row["parts"]), row["age"], _read(row["answer"]))


def _read(answer: str | None) -> Response | None:
    return _answer.decode(answer) if answer is not None else None


class Compositions:
    """The compositions of one batch call of a connection. `horizon`: seconds for which the vendor remembers a key."""

    def __init__(self, pool: Pool, connection: str, batch: str, *, horizon: float) -> None:
        self._pool, self._connection, self._batch, self.horizon = pool, connection, batch, horizon

    @staticmethod
    def new_key() -> str:
        """A key that was never used."""
        return secrets.token_urlsafe(16)

    async def store(self, composition: Composition) -> None:
        """Keep a composition before it is sent; what is too old for any use is dropped."""
        await self._pool.execute(
            "delete from batch_composition where connection = $1 and batch = $2 "
            "and at < now() - make_interval(secs => $3)",
            self._connection, self._batch, max(self.horizon, _KEPT),
        )  # fmt: skip
        await self._pool.execute(
            "insert into batch_composition (connection, batch, key, members, parts) values ($1, $2, $3, $4, $5)",
            self._connection, self._batch, composition.key, [part.key for part in composition.parts],
            exact_json.encode(composition.parts).decode(),
        )  # fmt: skip

    async def holding(self, keys: Sequence[str]) -> list[Composition]:
        """Those that any of the steps was part of, the oldest first."""
        rows = await self._pool.fetch(
            f"{_SELECT} and members && $3 order by at, key", self._connection, self._batch, list(keys)
        )
        return [_composition(row) for row in rows]

    async def still(self, composition: Composition) -> Composition | None:
        """As it stands now, perhaps with an answer; None when it was closed meanwhile."""
        row = await self._pool.fetchrow(f"{_SELECT} and key = $3", self._connection, self._batch, composition.key)
        return None if row is None else _composition(row)

    async def answered(self, key: str, response: Response) -> None:
        """Keep the answer, which has a result for each step."""
        answer = Response(response.status, {}, response.body)
        await self._pool.execute(
            "update batch_composition set answer = $3 where connection = $1 and key = $2",
            self._connection, key, exact_json.encode(answer).decode(),
        )  # fmt: skip

    async def close(self, key: str) -> None:
        """Forget a composition: it had no effect, or the vendor does not know its key any more."""
        await self._pool.execute(
            "delete from batch_composition where connection = $1 and key = $2", self._connection, key
        )
