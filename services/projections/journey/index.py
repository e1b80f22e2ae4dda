"""The index behind `till trace`."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from libs.canonical.event import MalformedEvent, UnknownKind, UnknownSchemaVersion, decode, kind_of
from libs.runtime.database.pool import Pool
from libs.runtime.kafka.records import Record

log = structlog.get_logger()


class JourneyIndex:
    """Notes by which ids an event can be found."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def note(self, records: Sequence[Record]) -> None:
        """Note a batch; doing it again changes nothing."""
        rows = []
        for record in records:
            try:
                event = decode(kind_of(record.text), record.value)
            except (MalformedEvent, UnknownKind, UnknownSchemaVersion) as error:
                log.info("not indexed", topic=record.partition.topic, offset=record.offset, why=str(error))
                continue
            rows += [
                (ref, event.order_key, event.id, str(event.kind), event.occurred_at, event.location_id)
                for ref in {event.id, event.entity_id, event.order_key, *event.refs}
            ]
        await self._pool.executemany(
            "insert into journey_ref (ref, order_key, event_id, kind, occurred_at, location_id) "
            "values ($1, $2, $3, $4, $5, $6) on conflict do nothing",
            sorted(rows, key=lambda row: (row[0], row[2])),
        )
