"""The rows that the engine writes, written plainly: a claim and a settlement for each event, in batches, no fence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any, NamedTuple

import asyncpg

from libs.canonical.event import AnyEvent, decode, kind_of
from libs.runtime.kafka.records import readable

_CLAIM = """
insert into delivery (connection, event_id, kind, order_key, entity_id, version, location_id, occurred_at, topic,
    partition, position, epoch, state, plan_hash, config_hash, lease_until, sent_at)
select $1, *, 1, 'claimed', 'bench', 'bench', now() + interval '30 seconds', now()
from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::timestamptz[], $9::text[],
    $10::int[], $11::bigint[])
on conflict do nothing
"""
_SETTLE = """
update delivery d set state = 'delivered', remote_id = i.remote_id, steps = i.steps::jsonb, lease_until = null,
    sent_at = null, settled_at = now()
from unnest($2::text[], $3::text[], $4::text[]) as i(event_id, remote_id, steps)
where d.connection = $1 and d.event_id = i.event_id
"""


class Read(NamedTuple):
    """An event with its place."""

    event: AnyEvent
    topic: str
    partition: int
    offset: int


def read(record: Any) -> Read:
    """The canonical event in a consumer's record."""
    event = decode(kind_of(readable(record.headers)), record.value)
    return Read(event, record.topic, record.partition, record.offset)


class BareLedger:
    """Two statements for any number of events."""

    def __init__(self, pool: Any, connection: str) -> None:
        self._pool, self._connection = pool, connection

    async def claim(self, reads: Sequence[Read]) -> None:
        """Write down that these are under way."""
        events = [each.event for each in reads]
        await self._pool.execute(
            _CLAIM, self._connection,
            [e.id for e in events], [str(e.kind) for e in events], [e.order_key for e in events],
            [e.entity_id for e in events], [e.version for e in events], [e.location_id for e in events],
            [e.occurred_at.astimezone(UTC) for e in events], [r.topic for r in reads], [r.partition for r in reads],
            [r.offset for r in reads],
        )  # fmt: skip

    async def settle(self, done: Sequence[tuple[str, str | None]]) -> None:
        """Write down that these are delivered: event id, remote id."""
        await self._pool.execute(
            _SETTLE, self._connection, [event_id for event_id, _ in done], [remote_id for _, remote_id in done],
            ["{}" if remote_id is None else f'{{"post": {{"id": "{remote_id}"}}}}' for _, remote_id in done],
        )  # fmt: skip


async def open_bare_pool(dsn: str) -> Any:
    """Connections with durable commits, as the engine has them."""
    return await asyncpg.create_pool(dsn, min_size=1, max_size=4, server_settings={"synchronous_commit": "on"})
