"""`till dlq rebuild`: a database that is older than Kafka knows its dead letters again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from libs.canonical.sale import CustomerRef
from libs.runtime.engine.dead_letters import DeadLetter
from libs.runtime.kafka.records import Partition
from libs.runtime.kafka.writer import Outgoing, Writer
from services.ops.queries import rebuilding
from tests.ops.conftest import AddDelivery
from tests.ops.running import till_aside
from tests.system.installation import Installation
from tests.system.sales import outgoing, refund, sale

HUBSPOT = "hubspot-main"
TOO_LONG = "Ana" * 30_000  # HubSpot takes 65,536 characters
BAD = sale(1, customer=CustomerRef(id="c9", email="ana@example.org", given_name=TOO_LONG))


@pytest.fixture
async def whole(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """An installation at which `till` looks."""
    for name, value in installation.env.items():
        monkeypatch.setenv(name, value)
    return installation


async def _write(whole: Installation, *records: Outgoing) -> None:
    writer = Writer(whole.kafka_settings)
    await writer.send_all(records)
    await writer.stop()


async def _until(whole: Installation, **states: int) -> None:
    async def reached() -> bool:
        return await whole.deliveries(HUBSPOT) == states

    await whole.until(reached, f"deliveries are {states}")


async def _rebuilt(*more: str) -> dict[str, Any]:
    said = await till_aside("dlq", "rebuild", "--json", *more)
    assert said.code == 0, said.err
    return {each["topic"]: each for each in said.json["topics"]}


async def test_a_lost_row_is_dead_again_locks_its_key_and_can_be_healed(whole: Installation) -> None:
    await whole.start("hubspot")
    await _write(whole, outgoing(BAD), *(outgoing(sale(n)) for n in (2, 3)))
    await _until(whole, delivered=2, dead=1)
    before = await whole.pool.fetchrow("select * from delivery where state = 'dead'")
    await asyncio.sleep(1.5)  # until the offsets are committed

    # While its sink is running it is refused: that would not learn that the key is locked.
    await whole.pool.execute("delete from delivery where state = 'dead'")
    refused = await till_aside("dlq", "rebuild", "--connection", HUBSPOT)
    assert (refused.code, await whole.deliveries(HUBSPOT)) == (1, {"delivered": 2})
    assert "running" in refused.err
    assert await whole.stop("hubspot") == 0
    lost = await till_aside("status", "--check")
    assert lost.code == 1, "the identity tells that it is missing"

    dry = (await _rebuilt("--dry-run"))[f"dlq.{HUBSPOT}"]
    assert (dry["letters"], dry["missing"], dry["restored"]) == (1, [BAD.id], 0)
    assert await whole.deliveries(HUBSPOT) == {"delivered": 2}
    assert (await _rebuilt("--connection", HUBSPOT, "--as", "ana"))[f"dlq.{HUBSPOT}"]["restored"] == 1
    row = await whole.pool.fetchrow("select * from delivery where state = 'dead'")
    same = (
        "event_id", "kind", "order_key", "entity_id", "version", "location_id", "occurred_at", "topic", "partition",
        "position", "class", "reason", "attempts", "key", "value", "headers", "in_topic",
    )  # fmt: skip
    assert {name: row[name] for name in same} == {name: before[name] for name in same}
    assert row["sent_at"] is not None, "what its calls did is not known any more: it is looked up first"
    audit = await whole.pool.fetchrow("select * from audit where what = 'dlq.rebuild'")
    assert (audit["who"], audit["detail"]["letters"]) == ("ana", [BAD.id])
    assert (await till_aside("status", "--check")).code == 0
    assert (await _rebuilt())[f"dlq.{HUBSPOT}"]["restored"] == 0, "again changes nothing"

    # Its refund waits behind it, and follows once it is healed.
    await whole.start("hubspot")
    await _write(whole, outgoing(refund(1)))
    await _until(whole, delivered=2, dead=1, parked=1)
    assert (await till_aside("dlq", "edit", BAD.id, "--set", "data.customer.given_name=Ana", "--yes")).code == 0
    assert (await till_aside("dlq", "replay", BAD.id, "--yes")).code == 0
    await _until(whole, delivered=4)
    orders = {o["properties"]["pos_order_id"]: o for o in (await whole.state("hubspot"))["orders"]}
    assert orders[BAD.order_key]["properties"]["pos_refunded_amount"] == "10.80"
    assert (await till_aside("status", "--check")).code == 0

    # Healed is healed: the letter that still stands in its topic brings nothing back.
    await whole.stop("hubspot")
    assert (await _rebuilt())[f"dlq.{HUBSPOT}"]["restored"] == 0
    assert await whole.deliveries(HUBSPOT) == {"delivered": 4}


def _letter(stage: str, connection: str, name: str, *, value: bytes | None = b"{}", attempts: int = 1) -> Outgoing:
    headers = (("ce_type", b"sale.completed"), ("root", b"square:ML1:order:9"), ("odd", b"\xff\x00"))
    letter = DeadLetter(
        stage, connection, name, "poison", "refused", attempts, b"square:ML1:sale:9", value, headers,
        Partition("raw.square" if stage == "transform" else "retail.sales", 2), -1,
    )  # fmt: skip
    return Outgoing(letter.topic, letter.key or b"", letter.value, letter.all_headers())


async def test_letters_of_every_kind_come_back_as_they_were(whole: Installation) -> None:
    """Unreadable ones and ones without content too; the newest copy counts; strangers in the topic are left alone."""
    await _write(
        whole,
        _letter("delivery", HUBSPOT, "unreadable", value=b"nonsense"),
        _letter("delivery", HUBSPOT, "unreadable", value=b"nonsense", attempts=7),
        _letter("delivery", HUBSPOT, "without-content", value=None),
        _letter("delivery", HUBSPOT, "nul\x00nul"),
        Outgoing(f"dlq.{HUBSPOT}", b"k", b"v", [("dl-stage", b"delivery"), ("dl-connection", b"another")]),
        Outgoing(f"dlq.{HUBSPOT}", b"k", None, []),
        _letter("transform", "square-main", "s1"),
        _letter("transform", "square-main", "s2"),
        _letter("ingest", "square-other", "d1"),
        Outgoing(
            "dlq.ingest", b"k", b"v", [("dl-orig-partition", b"x"), ("dl-stage", b"ingest"), ("dl-orig-topic", b"")]
        ),
    )
    settled = DeadLetter("transform", "square-main", "s2", "", "", 0, b"", b"", (), Partition("raw.square", 0), 0).id
    await whole.pool.execute(
        "insert into dead_letter (id, stage, connection, class, reason, fingerprint, topic, partition, position, "
        "headers, state, settled_at) values ($1, 'transform', 'square-main', 'poison', 'r', 'f', 'raw.square', 0, 1, "
        "'[]', 'discarded', $2)", settled, datetime.now(UTC),
    )  # fmt: skip

    only = await _rebuilt("--connection", "square-main")
    assert {topic: each["restored"] for topic, each in only.items()} == {"dlq.ingest": 0, "dlq.transform": 1}
    rest = await _rebuilt()
    assert {topic: each["restored"] for topic, each in rest.items() if each["letters"]} == {
        f"dlq.{HUBSPOT}": 3, "dlq.ingest": 2, "dlq.transform": 0,
    }  # fmt: skip
    rows = {row["event_id"]: row for row in await whole.pool.fetch("select * from delivery")}
    assert set(rows) == {"unreadable", "without-content", "nul\ufffdnul"}
    assert {(row["state"], row["kind"], row["topic"], row["partition"]) for row in rows.values()} == {
        ("dead", "unknown", "retail.sales", 2)
    }
    assert (rows["unreadable"]["attempts"], rows["unreadable"]["value"]) == (7, b"nonsense")
    assert ["odd", "/wA=", "base64"] in rows["unreadable"]["headers"]
    assert rows["without-content"]["value"] is None
    letters = {row["id"]: row for row in await whole.pool.fetch("select * from dead_letter")}
    assert (letters[settled]["state"], len(letters)) == ("discarded", 4)
    assert {row["entity"] for row in letters.values() if row["stage"] == "transform"} == {None, "square:ML1:order:9"}
    unknown = await till_aside("dlq", "rebuild", "--connection", "nobody")
    assert unknown.code == 2
    assert "nobody" in unknown.err


@pytest.mark.parametrize("state", ["claimed", "delivered", "parked", "dead", "discarded"])
async def test_a_row_that_came_meanwhile_is_not_touched(pool: Any, add_delivery: AddDelivery, state: str) -> None:
    """Between looking and putting back somebody may have made the row: whatever it says is newer."""
    await add_delivery(HUBSPOT, sale(1), state, reason="as it was", attempts=3)
    before = await pool.fetchrow("select * from delivery")
    values = dict(before) | {"reason": "from the topic", "attempts": 1, "sent_at": None}
    async with pool.acquire() as database, database.transaction():
        assert await rebuilding.restore_delivery(database, values) is False
    assert await pool.fetchrow("select * from delivery") == before
    await pool.execute("delete from delivery")
    async with pool.acquire() as database, database.transaction():
        assert await rebuilding.restore_delivery(database, values) is True
    assert await pool.fetchval("select state from delivery") == "dead"
