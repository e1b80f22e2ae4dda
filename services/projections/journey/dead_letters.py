"""Dead letters of intake and transform, from their topics into rows that operators can search."""

from __future__ import annotations

from collections.abc import Sequence

from libs.runtime.database.pool import Pool
from libs.runtime.kafka.records import Record
from libs.runtime.kafka.stored_headers import headers_to_json, printable


class DeadLetterIndex:
    """One row per dead letter, however many copies its topic has."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def note(self, records: Sequence[Record]) -> None:
        """Note a batch. A letter that was replayed and failed again is open again."""
        rows = []
        for record in records:
            text = {name: printable(value) for name, value in record.text.items()}
            place = f"{record.partition.topic}/{record.partition.number}/{record.offset}"
            rows.append(
                (
                    text.get("dl-id") or place,
                    text.get("dl-stage", "unknown"),
                    text.get("dl-connection", "unknown"),
                    text.get("root") or None,
                    text.get("dl-class", "unknown"),
                    text.get("dl-reason", "no reason given"),
                    text.get("dl-fingerprint", ""),
                    text.get("dl-orig-topic", record.partition.topic),
                    int(text.get("dl-orig-partition", record.partition.number)),
                    int(text.get("dl-orig-offset", record.offset)),
                    record.key,
                    record.value,
                    headers_to_json(record.headers),
                    record.written_at,
                )
            )
        await self._pool.executemany(
            "insert into dead_letter (id, stage, connection, entity, class, reason, fingerprint, topic, partition, "
            "position, key, value, headers, at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) "
            "on conflict (id) do update set state = 'open', reason = excluded.reason, class = excluded.class, "
            "fingerprint = excluded.fingerprint, at = excluded.at, settled_at = null, settled_by = null "
            "where dead_letter.at < excluded.at",
            rows,
        )
