"""A letter of intake or transform, from its topic into the row that operators search."""

from __future__ import annotations

from typing import Any

from libs.runtime.kafka.records import Partition, Record
from libs.runtime.kafka.stored_headers import headers_to_json, printable

INSERT_LETTER = (
    "insert into dead_letter (id, stage, connection, entity, class, reason, fingerprint, topic, partition, "
    "position, key, value, headers, at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) "
)


def letter_id(record: Record) -> str:
    """The same for every copy of a letter; of a record that is none of ours, its place."""
    place = f"{record.partition.topic}/{record.partition.number}/{record.offset}"
    return printable(record.text.get("dl-id") or place)


def origin(record: Record) -> tuple[Partition, int]:
    """Where the record that the letter is about stood; where it says nothing usable, the letter's own place."""
    text = record.text
    try:
        partition = Partition(printable(text["dl-orig-topic"]), int(text["dl-orig-partition"]))
        return partition, int(text["dl-orig-offset"])
    except (KeyError, ValueError):
        return record.partition, record.offset


def letter_row(record: Record) -> tuple[Any, ...]:
    """The values for `INSERT_LETTER`."""
    text = {name: printable(value) for name, value in record.text.items()}
    partition, offset = origin(record)
    return (
        letter_id(record),
        text.get("dl-stage", "unknown"),
        text.get("dl-connection", "unknown"),
        text.get("root") or None,
        text.get("dl-class", "unknown"),
        text.get("dl-reason", "no reason given"),
        text.get("dl-fingerprint", ""),
        partition.topic,
        partition.number,
        offset,
        record.key,
        record.value,
        headers_to_json(record.headers),
        record.written_at,
    )
