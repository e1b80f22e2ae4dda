"""What is old is forgotten at its time, not before, and never what a record could still ask for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.runtime.configuration.reading import read_configuration
from libs.runtime.kafka.records import Partition
from libs.runtime.kafka.writer import Writer
from libs.runtime.settings import KafkaSettings
from services.ops.balance import Accountant, Balance
from services.ops.pruning import Pruner
from services.ops.queries import pruning
from services.ops.topic_ids import TopicIds
from tests.ops.conftest import AddDelivery, enter_delivery
from tests.ops.expiring import expire_all
from tests.system.installation import Installation
from tests.system.sales import customer, outgoing, sale

HUBSPOT = "hubspot-main"
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def _ago(age: timedelta) -> datetime:
    return datetime.now(UTC) - age


@pytest.fixture
def topic_ids() -> TopicIds:
    """Topics whose first hundred records are gone, and that are empty since."""
    nothing = TopicIds(KafkaSettings("", 3000, 4, 1, {}))
    nothing.begins = {Partition("retail.sales", 0): 100, Partition("retail.customers", 0): 100}
    return nothing


@pytest.fixture
def pruner(pool: Any, topic_ids: TopicIds) -> Pruner:
    """Prunes the test's database."""
    return Pruner(pool, topic_ids)


async def _left(pool: Any) -> set[str]:
    return {row["event_id"] for row in await pool.fetch("select event_id from delivery")}


async def test_money_is_remembered_400_days_and_everything_else_90(
    pool: Any, pruner: Pruner, add_delivery: AddDelivery
) -> None:
    """Counted from when an event was first seen, whatever it says of when it happened."""
    expected = set()
    for number, (days, stays) in enumerate(((399, True), (401, False), (91, True), (1, True))):
        name = await add_delivery(HUBSPOT, sale(number), "delivered", first_seen=_ago(days * DAY))
        expected |= {name} if stays else set()
    for number, (age, stays) in enumerate(((90 * DAY - HOUR, True), (90 * DAY + HOUR, False))):
        state = customer(f"c{number}", 1)
        name = await add_delivery(HUBSPOT, state, "superseded", first_seen=_ago(age))
        expected |= {name} if stays else set()
    assert (await pruner.prune())["delivery"] == 2
    assert await _left(pool) == expected


@pytest.mark.parametrize("state", ["delivered", "superseded", "filtered", "shadowed", "discarded"])
async def test_what_is_at_rest_goes(pool: Any, pruner: Pruner, add_delivery: AddDelivery, state: str) -> None:
    await add_delivery(HUBSPOT, sale(1), state, first_seen=_ago(401 * DAY))
    assert (await pruner.prune())["delivery"] == 1


@pytest.mark.parametrize("state", ["claimed", "parked", "dead"])
async def test_what_is_open_stays_for_ever_and_so_does_its_key(
    pool: Any, pruner: Pruner, add_delivery: AddDelivery, state: str
) -> None:
    """Of a sale that was delivered its amendment may still be dead: it must not find its sale forgotten."""
    open_one = await add_delivery(HUBSPOT, sale(1), state, first_seen=_ago(4000 * DAY), sent_at=_ago(4000 * DAY))
    of_same_key = sale(2).model_copy(update={"order_key": sale(1).order_key})
    before = await add_delivery(HUBSPOT, of_same_key, "delivered", first_seen=_ago(4001 * DAY))
    assert (await pruner.prune())["delivery"] == 0
    assert await _left(pool) == {open_one, before}
    elsewhere = await add_delivery("qbo-receipts", of_same_key, "delivered", first_seen=_ago(4001 * DAY))
    assert (await pruner.prune())["delivery"] == 1, f"{elsewhere} is open nowhere at its own connection"


async def test_the_newest_of_a_state_stays_to_tell_what_is_older(
    pool: Any, pruner: Pruner, add_delivery: AddDelivery
) -> None:
    for version in (1, 2, 3):
        await add_delivery(HUBSPOT, customer("c1", version), "delivered", first_seen=_ago(500 * DAY))
    assert (await pruner.prune())["delivery"] == 2
    assert await _left(pool) == {customer("c1", 3).id}


async def test_a_row_whose_record_is_still_to_be_read_is_not_touched(
    pool: Any, pruner: Pruner, add_delivery: AddDelivery
) -> None:
    """Kafka deletes late, by whole segments: the row stays until it has."""
    await add_delivery(HUBSPOT, sale(1), "delivered", first_seen=_ago(401 * DAY), position=100)
    assert (await pruner.prune())["delivery"] == 0
    await pool.execute("update delivery set position = 99")
    assert (await pruner.prune())["delivery"] == 1


async def test_one_process_prunes_at_a_time(pool: Any, pruner: Pruner, add_delivery: AddDelivery) -> None:
    await add_delivery(HUBSPOT, sale(1), "delivered", first_seen=_ago(401 * DAY))
    async with pool.acquire() as elsewhere:
        assert await pruning.alone(elsewhere)
        assert await pruner.prune() == {}
    assert (await pruner.prune())["delivery"] == 1, "the lock ends with its connection"
    assert (await pruner.prune())["delivery"] == 0


async def test_the_other_tables_are_forgotten_too(pool: Any, pruner: Pruner) -> None:
    """Each at its own age, counted from its own moment; what is open in them stays."""
    for name, days, outcome in (("n1", 89, "object"), ("n2", 91, "object"), ("n3", 900, "waiting")):
        await pool.execute(
            "insert into notification (connection, delivery_id, type, via, outcome, received_at) "
            "values ('square-main', $1, 't', 'webhook', $2, $3)", name, outcome, _ago(days * DAY),
        )  # fmt: skip
    for name, days, outcome in (("s1", 89, "mapped"), ("s2", 91, "mapped"), ("s3", 91, "dead"), ("s4", 91, "dead")):
        await pool.execute(
            "insert into snapshot (id, connection, root_key, outcome, at) values ($1, 'square-main', $1, $2, $3)",
            name, outcome, _ago(days * DAY),
        )  # fmt: skip
    for name, state, days in (
        ("s3", "open", 900),
        ("l1", "replayed", 29),
        ("l2", "superseded", 31),
        ("l3", "discarded", 91),
    ):
        await pool.execute(
            "insert into dead_letter (id, stage, connection, entity, class, reason, fingerprint, topic, partition, "
            "position, headers, state, at, settled_at, value) values "
            "($1, 'transform', 'square-main', $1, 'poison', 'r', 'f', 'raw.square', 0, 1, '[]', $2, $3, $4, 'x')",
            name, state, _ago(days * DAY), None if state == "open" else _ago(days * DAY),
        )  # fmt: skip
    for name, kind, days in (
        ("e1", "sale.completed", 399),
        ("e2", "sale.completed", 401),
        ("e3", "customer.changed", 900),
    ):
        await pool.execute(
            "insert into emitted (account, kind, entity_id, event_id, content_hash, version, at) "
            "values ('square:ML1', $2, $1, $1, '', 1, $3)", name, kind, _ago(days * DAY),
        )  # fmt: skip
    for name, days in (("j1", 399), ("j2", 401)):
        await pool.execute(
            "insert into journey_ref (ref, order_key, event_id, kind, occurred_at, at) "
            "values ($1, $1, $1, 'sale.completed', now(), $2)", name, _ago(days * DAY),
        )  # fmt: skip
    for days in (89, 91):
        await pool.execute(
            "insert into circuit_change (connection, circuit, at) values ($1, 'open', $2)", HUBSPOT, _ago(days * DAY)
        )
    for state in ("running", "done"):
        await pool.execute(
            "insert into backfill_request (connection, feeds, begin_at, end_at, requested_by, at, state) "
            "values ('square-main', '{}', now(), now(), 'ana', $1, $2)", _ago(401 * DAY), state,
        )  # fmt: skip
    assert await pruner.prune() == {
        "delivery": 0, "notification": 1, "snapshot": 2, "emitted": 1, "journey_ref": 1, "circuit_change": 1,
        "backfill_request": 1, "dead_letter": 1,
    }  # fmt: skip

    async def names(query: str) -> set[str]:
        return {row["name"] for row in await pool.fetch(query)}

    assert await names("select delivery_id as name from notification") == {"n1", "n3"}
    assert await names("select id as name from snapshot") == {"s1", "s3"}, "s3 has an open letter"
    assert await names("select event_id as name from emitted") == {"e1", "e3"}
    assert await names("select ref as name from journey_ref") == {"j1"}
    assert await names("select id as name from dead_letter") == {"s3", "l1", "l2"}
    assert await names("select id as name from dead_letter where value is null") == {"l2"}, "bytes go after 30 days"
    assert await names("select state as name from backfill_request") == {"running"}


async def test_the_identity_holds_while_kafka_and_the_ledger_forget(installation: Installation) -> None:
    """One reader all along, as in a process that runs for years: record gone, row pruned, never a difference."""
    kafka, pool = installation.kafka_settings, installation.pool
    accountant = Accountant(kafka, pool, read_configuration(installation.config))
    pruner = Pruner(pool, accountant.topic_ids)

    async def balance() -> Balance:
        (found,) = [each for _, each, _ in await accountant.count() if each.name == HUBSPOT]
        assert (found.mismatch, found.lost, found.unoffered) == (0, 0, 0), found.as_json()
        return found

    old, young, told_again = sale(1), sale(2), sale(3)
    writer = Writer(kafka)
    for event, days in ((old, 401), (told_again, 401), (young, 31)):
        sent = await writer.send(*outgoing(event))
        await enter_delivery(
            pool, HUBSPOT, event, "delivered",
            first_seen=_ago(days * DAY), partition=sent.partition, position=sent.offset,
        )  # fmt: skip
    assert (await balance()).offered == 3
    assert (await pruner.prune())["delivery"] == 0, "their records are there: nothing may go"

    await expire_all(kafka, "retail.sales")
    await writer.send_all([outgoing(told_again)])  # a copy: its first record is gone, its id is not
    found = await balance()
    assert (found.offered, found.aged_out) == (1, 2)
    assert (await pruner.prune())["delivery"] == 1
    left = {row["event_id"] for row in await pool.fetch("select event_id from delivery")}
    assert left == {young.id, told_again.id}, "what stands in the topic again is kept, however old"
    assert (await balance()).aged_out == 1

    await expire_all(kafka, "retail.sales")
    await balance()
    assert (await pruner.prune())["delivery"] == 1
    found = await balance()
    assert (found.offered, found.aged_out, found.terms["delivered"]) == (0, 1, 1)
    await writer.stop()
