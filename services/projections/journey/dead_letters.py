"""Dead letters of intake and transform, from their topics into rows that operators can search."""

from __future__ import annotations

from collections.abc import Sequence

from libs.runtime.database.pool import Pool
from libs.runtime.kafka.letter_rows import INSERT_LETTER, letter_row
from libs.runtime.kafka.records import Record


class DeadLetterIndex:
    """One row per dead letter, however many copies its topic has."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def note(self, records: Sequence[Record]) -> None:
        """Note a batch. A letter that was replayed and failed again is open again, with the bytes that failed."""
        await self._pool.executemany(
            f"{INSERT_LETTER} on conflict (id) do update set state = 'open', reason = excluded.reason, "
            "class = excluded.class, fingerprint = excluded.fingerprint, at = excluded.at, key = excluded.key, "
            "value = excluded.value, headers = excluded.headers, topic = excluded.topic, "
            "partition = excluded.partition, position = excluded.position, settled_at = null, settled_by = null "
            "where dead_letter.at < excluded.at",
            [letter_row(record) for record in records],
        )
