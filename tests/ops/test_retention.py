"""What is left of the time that Kafka keeps a record, and whether the ledger may have forgotten an event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from prometheus_client import REGISTRY

from libs.canonical.kinds import KINDS, Kind
from libs.runtime.configuration.reading import read_configuration
from libs.runtime.kafka.records import Partition
from libs.runtime.kafka.retention import retention_ms
from libs.runtime.kafka.topics import topics
from libs.runtime.kafka.writer import Writer
from libs.runtime.retention import headroom, maybe_forgotten, remembered_for
from services.ops.accounting import Exporter, tightest
from services.ops.balance import Accountant
from services.ops.topic_ids import Unfinished
from tests.system.installation import Installation
from tests.system.sales import customer, outgoing, sale

NOW = 1_800_000_000.0
AT = datetime.fromtimestamp(NOW, UTC)
DAY_MS = 86_400_000
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("age_days", "retention_days", "left"),
    [
        (0, 30, 1.0), (15, 30, 0.5), (22.5, 30, 0.25), (27, 30, 0.1), (30, 30, 0.0),
        (35, 30, 0.0),  # Kafka deletes late, by whole segments
        (-5, 30, 1.0),  # a clock ahead of ours
        (400, -1 / DAY_MS, 1.0),  # kept for ever
        (1, 0, 0.0),
    ],
)  # fmt: skip
def test_headroom_is_the_part_of_the_retention_that_is_left(
    age_days: float, retention_days: float, left: float
) -> None:
    oldest = int(NOW * 1000 - age_days * DAY_MS)
    assert headroom(oldest, round(retention_days * DAY_MS), NOW) == pytest.approx(left)


def test_nothing_unread_and_no_timestamp_leave_everything() -> None:
    """Kafka tells -1 where a record has no timestamp; that is not the year 1969."""
    assert headroom(None, 30 * DAY_MS, NOW) == 1.0
    assert headroom(-1, 30 * DAY_MS, NOW) == 1.0
    assert headroom(0, 30 * DAY_MS, NOW) == 1.0


def _unread(topic: str, days: float | None, number: int = 0) -> Unfinished:
    written_at = None if days is None else AT - days * DAY
    return Unfinished(Partition(topic, number), 1, "id", (topic,), written_at)


RETENTION = {"sales": 30 * DAY_MS, "days": 400 * DAY_MS, "stock": 90 * DAY_MS, "ever": -1}


@pytest.mark.parametrize(
    ("names", "unread", "expected"),
    [
        (["sales", "days"], [], (30, 30)),
        (["sales", "days"], [_unread("sales", 10), _unread("sales", 12, 1), _unread("days", 100)], (18, 30)),
        # Fewer days are left of the first, but a smaller part of the second.
        (["sales", "days"], [_unread("sales", 10), _unread("days", 350)], (50, 400)),
        (["sales", "days"], [_unread("sales", None)], (30, 30)),
        (["sales", "ever"], [_unread("ever", 5000)], (30, 30)),
        (["ever"], [_unread("ever", 5000)], None),
        (["sales", "not made yet"], [_unread("sales", 31)], (0, 30)),
    ],
)
def test_of_several_topics_the_tightest_counts(
    names: Iterable[str], unread: Iterable[Unfinished], expected: tuple[int, int] | None
) -> None:
    found = tightest(names, unread, RETENTION, NOW)
    assert (found and tuple(round(seconds / 86_400) for seconds in found)) == expected


def _metric(name: str, connection: str) -> float:
    value = REGISTRY.get_sample_value(name, {"connection": connection})
    assert value is not None
    return value


async def test_headroom_is_shown_of_what_a_connection_has_not_read(installation: Installation) -> None:
    """As Kafka keeps it now: an operator may have lengthened it. What has a row is saved, whatever was committed."""
    kafka = installation.kafka_settings
    known = read_configuration(installation.config)
    twenty_days = int((datetime.now(UTC) - 20 * DAY).timestamp() * 1000)
    writer = Writer(kafka)
    await writer.send(*outgoing(customer("c1", 1)))
    assert writer._producer is not None
    old = outgoing(sale(1))
    await writer._producer.send_and_wait(
        old.topic, old.value, key=old.key, headers=old.headers, timestamp_ms=twenty_days
    )
    asked: list[str] = []

    async def ask(names: Iterable[str]) -> Mapping[str, int]:
        asked.extend(names)
        return await retention_ms(kafka, names)

    exporter = Exporter(Accountant(kafka, installation.pool, known), ask)
    await exporter.count()
    assert _metric("tillstream_retention_headroom_seconds", "hubspot-main") == pytest.approx(10 * 86_400, abs=600)
    assert _metric("tillstream_retention_seconds", "hubspot-main") == 30 * 86_400
    assert _metric("tillstream_retention_headroom_seconds", "square-main") == 30 * 86_400
    assert _metric("tillstream_retention_headroom_seconds", "dead-letters") == 30 * 86_400
    assert {"retail.sales", "inbox.square", "dlq.ingest", "dlq.transform"} <= set(asked)
    expected = {topic.name: topic.retention_ms for topic in topics(known, 4)}
    assert await retention_ms(kafka, [*expected, "no-such-topic"]) == expected

    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    longer = {"retention.ms": str(60 * DAY_MS)}
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, "retail.sales", configs=longer)])
    await admin.close()
    await exporter.count()
    assert _metric("tillstream_retention_seconds", "hubspot-main") == 60 * 86_400
    assert _metric("tillstream_retention_headroom_seconds", "hubspot-main") == pytest.approx(40 * 86_400, abs=600)

    await writer.send("dlq.transform", b"k", b"v", [("dl-id", b"l1")])
    await exporter.count()
    assert _metric("tillstream_retention_headroom_seconds", "dead-letters") < 30 * 86_400, "it is not archived yet"
    await writer.stop()


def test_the_ledger_remembers_money_for_400_days_and_others_for_90() -> None:
    days = {kind: remembered_for(kind).days for kind in KINDS}
    assert {kind for kind, number in days.items() if number == 400} == {
        Kind.SALE_COMPLETED, Kind.SALE_AMENDED, Kind.SALE_VOIDED, Kind.REFUND_COMPLETED, Kind.DAY_CLOSED,
    }  # fmt: skip
    assert {number for number in days.values() if number != 400} == {90}
    assert remembered_for("something.unknown").days == 400


def test_no_topic_keeps_an_event_for_longer_than_its_row(config: Path) -> None:
    """Or an event would be offered, and read again, that nobody remembers."""
    kept = {topic.name: topic.retention_ms for topic in topics(read_configuration(config), 4)}
    for kind, spec in KINDS.items():
        assert kept[spec.topic] <= remembered_for(kind) / timedelta(milliseconds=1), kind


@pytest.mark.parametrize(
    ("kind", "occurred_days_ago", "ledger_days", "expected"),
    [
        (Kind.SALE_COMPLETED, 399 - 2, 900, False),
        (Kind.SALE_COMPLETED, 401, 900, True),
        (Kind.SALE_COMPLETED, 399, 900, True),  # its till's clock may have run ahead
        (Kind.REFUND_COMPLETED, 700, 900, True),
        (Kind.SALE_COMPLETED, 700, 300, False),  # a new target that is told of old sales: it had none of them
        (Kind.CUSTOMER_CHANGED, 91, 900, True),
        (Kind.CUSTOMER_CHANGED, 87, 900, False),
        (Kind.CUSTOMER_CHANGED, 91, 60, False),
    ],
)
def test_an_event_older_than_the_ledger_may_have_had_its_effect(
    kind: Kind, occurred_days_ago: int, ledger_days: int, expected: bool
) -> None:
    """Counted from when it was seen, so that a later try of the same row comes to the same answer."""
    for seen in (AT, AT - 1000 * DAY):
        occurred, since = seen - occurred_days_ago * DAY, seen - ledger_days * DAY
        assert maybe_forgotten(kind, occurred, seen, since) is expected
