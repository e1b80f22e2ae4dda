"""`till trace`: every id of a sale leads to its whole journey, and what is unknown is said to be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.canonical.event import AnyEvent
from libs.runtime.kafka.records import Partition, Record
from services.projections.journey.index import JourneyIndex
from tests.ops.conftest import AddDelivery
from tests.ops.running import till_aside
from tests.system.sales import NOON, customer, outgoing, refund, sale

pytestmark = pytest.mark.usefixtures("at_work")


async def _told(pool: Any, *events: AnyEvent) -> None:
    """Index events as the projection does."""
    records = []
    for number, event in enumerate(events):
        record = outgoing(event)
        records.append(Record(Partition(record.topic, 0), number, record.key, record.value, tuple(record.headers), 0))
    await JourneyIndex(pool).note(records)


@pytest.fixture
async def sold(pool: Any, add_delivery: AddDelivery) -> AnyEvent:
    """Sale 1: received, fetched, told, delivered at HubSpot, dead at QuickBooks, waiting for the journal; refunded."""
    event, back = sale(1), refund(1)
    await _told(pool, event, back)
    await pool.execute(
        "insert into notification values ('square-main', 'D1', 'payment.updated', 'webhook', "
        "'{square:ML1:order:order-1}', 'object', null, $1, $1)",
        NOON,
    )
    await pool.execute(
        "insert into snapshot values ('S1', 'square-main', 'square:ML1:order:order-1', 'mapped', null, 1, $1)",
        NOON + timedelta(seconds=1),
    )
    await add_delivery("hubspot-main", event, "delivered", remote_id="hs-77")
    await add_delivery("qbo-receipts", event, "dead", **{"class": "poison", "reason": "create: no such item"})
    await add_delivery("qbo-receipts", back, "parked", **{"class": "behind", "reason": "waits"})
    await add_delivery("qbo-journal", event, "parked", **{"class": "day_open", "reason": "day open"})
    await add_delivery(
        "hubspot-main", back, "filtered", reason="kind refund.completed is not among the configured kinds"
    )
    return event


@pytest.mark.parametrize("name", ["order-1", "R1", "pay-1", "refund-1", "hs-77", "square:ML1:sale:order-1", "EVENT"])
async def test_every_id_leads_to_the_same_journey(sold: AnyEvent, name: str) -> None:
    said = await till_aside("trace", sold.id if name == "EVENT" else name)
    assert said.code == 0, said.err
    for text in (
        "payment.updated by webhook", "transformed", "as hs-77", "create: no such item", "till dlq replay", "behind",
        "waits for its document", "not among the configured kinds", "nothing yet",
    ):  # fmt: skip
        assert text in said.out, text


async def test_the_journey_is_in_order_of_time(sold: AnyEvent) -> None:
    found = (await till_aside("trace", "order-1", "--json")).json
    times = [datetime.fromisoformat(each["at"]) for each in found["moments"]]
    assert times == sorted(times)
    assert found["order_keys"] == [sold.order_key]
    assert [each["what"] for each in found["moments"]][:2] == ["received", "transformed"]


async def test_a_delivery_or_document_id_is_found_too(sold: AnyEvent, pool: Any) -> None:
    await pool.execute("update delivery set document = 'journal L1 2026-11-18' where connection = 'qbo-journal'")
    assert (await till_aside("trace", "journal L1 2026-11-18")).code == 0
    said = await till_aside("trace", "D1")
    assert said.code == 0
    assert "payment.updated" in said.out


async def test_what_is_no_sale_yet_says_why(pool: Any) -> None:
    await pool.execute(
        "insert into snapshot values ('S2', 'square-main', 'square:ML1:order:Ord9', 'not_yet', 'half of it is paid', 0)"
    )
    said = await till_aside("trace", "Ord9")
    assert said.code == 0
    assert "not an event yet" in said.out
    assert "half of it is paid" in said.out


async def test_a_root_of_an_account_no_longer_configured_is_found(pool: Any) -> None:
    await pool.execute("insert into snapshot values ('S3', 'old', 'square:GONE:order:Ord8', 'dead', 'unreadable', 0)")
    said = await till_aside("trace", "Ord8")
    assert said.code == 0
    assert "unreadable" in said.out


async def test_what_still_has_to_be_fetched_is_told(pool: Any) -> None:
    await pool.execute(
        "insert into fetch_work (connection, root_kind, root_id, account_id, type, via, have, delivery_ids, "
        "received_at, last_error) values ('square-main', 'order', 'Ord7', 'ML1', 'order.updated', 'webhook', '{}', "
        "'{D7}', now(), 'HTTP 503')"
    )
    said = await till_aside("trace", "Ord7")
    assert said.code == 0
    assert "HTTP 503" in said.out


async def test_a_customer_is_told_without_personal_data(pool: Any, add_delivery: AddDelivery) -> None:
    event = customer("c1", 1, email="ana@example.org")
    await _told(pool, event)
    await add_delivery("hubspot-main", event, "delivered", remote_id="hs-9", settled_at=datetime.now(UTC))
    said = await till_aside("trace", "c1")
    assert "hs-9" in said.out
    assert "example.org" not in said.out


async def test_nothing_found_says_where_it_looked() -> None:
    said = await till_aside("trace", "nowhere")
    assert said.code == 1
    assert "nothing is known of 'nowhere'" in said.err
    assert "remote ids" in said.err
