"""`till dlq`: dead letters of all stages are found, understood, handed back, changed and given up; all is audited."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from libs.canonical.event import decode
from libs.canonical.kinds import Kind
from libs.runtime.engine.dead_letters import DeadLetter
from libs.runtime.engine.ledger import Ledger
from libs.runtime.kafka.offsets import read_whole
from libs.runtime.kafka.records import Partition
from libs.runtime.kafka.topics import create_topics, topics
from libs.runtime.settings import read_settings
from services.ops.environment import configuration
from tests.ops.conftest import AddDelivery
from tests.ops.running import till_aside
from tests.system.sales import customer, sale

pytestmark = pytest.mark.usefixtures("at_work")

HUBSPOT, QUICKBOOKS = "hubspot-main", "qbo-receipts"


async def _row(pool: Any, connection: str, event_id: str) -> Any:
    return await pool.fetchrow("select * from delivery where connection = $1 and event_id = $2", connection, event_id)


async def _dead(add: AddDelivery, number: int, connection: str = HUBSPOT, **more: Any) -> str:
    defaults = {"class": "poison", "reason": f"create: SKU {number} is unknown", "attempts": 1}
    return await add(connection, sale(number), "dead", **(defaults | more))


async def test_groups_put_one_cause_together(add_delivery: AddDelivery, add_letter: AddDelivery) -> None:
    for number in (1, 2, 3):
        await _dead(add_delivery, number)
    await _dead(add_delivery, 4, reason="create: no such stage")
    await _dead(add_delivery, 1, QUICKBOOKS)
    await add_letter("letter-1", "transform", entity="square:ML1:order:9")
    found = (await till_aside("dlq", "groups", "--json")).json
    assert sorted((g["connection"], g["n"]) for g in found) == [
        (HUBSPOT, 1), (HUBSPOT, 3), (QUICKBOOKS, 1), ("square-main", 1),
    ]  # fmt: skip
    assert found[0]["n"] == 3
    text = await till_aside("dlq", "groups", "--connection", HUBSPOT)
    assert "no such stage" in text.out
    assert QUICKBOOKS not in text.out


async def test_filters_choose(add_delivery: AddDelivery) -> None:
    first = await _dead(add_delivery, 1, dead_at=datetime(2026, 11, 1, tzinfo=UTC))
    second = await _dead(add_delivery, 2, **{"class": "conflict"})

    async def chosen(*filters: str) -> set[str]:
        return {row["id"] for row in (await till_aside("dlq", "list", "--json", *filters)).json}

    assert await chosen() == {first, second}
    assert await chosen("--until", "2026-11-02") == {first}
    assert await chosen("--since", "2h") == {second}
    assert await chosen("--class", "conflict") == {second}
    assert await chosen("--reason", "sku 1 IS") == {first}
    assert await chosen("--entity", "order-2") == {second}
    assert await chosen("--entity", "square:ML1:sale:order-1") == {first}
    assert await chosen("--entity", "rder-1") == set()
    assert await chosen("--connection", QUICKBOOKS) == set()
    assert len((await till_aside("dlq", "list", "--json", "--limit", "1")).json) == 1


async def test_show_hides_personal_data_unless_asked(add_delivery: AddDelivery) -> None:
    name = await add_delivery(
        HUBSPOT, customer("c1", 1, email="ana@example.org"), "dead", **{"class": "poison", "reason": "refused"}
    )
    hidden = await till_aside("dlq", "show", name)
    assert hidden.code == 0
    assert "ana@example.org" not in hidden.out
    assert "Ruiz" not in hidden.out
    assert "refused" in hidden.out
    revealed = (await till_aside("dlq", "show", name, "--reveal", "--json")).json
    assert revealed["value"]["data"]["email"] == "ana@example.org"


async def test_an_id_dead_at_two_targets_needs_the_connection(add_delivery: AddDelivery) -> None:
    name = await _dead(add_delivery, 1)
    await _dead(add_delivery, 1, QUICKBOOKS)
    said = await till_aside("dlq", "show", name)
    assert said.code == 2
    assert HUBSPOT in said.err
    assert (await till_aside("dlq", "show", name, "--connection", QUICKBOOKS)).code == 0
    assert (await till_aside("dlq", "show", "nothing")).code == 1


async def test_the_id_of_the_letter_in_its_topic_finds_it_too(add_delivery: AddDelivery, pool: Any) -> None:
    name = await _dead(add_delivery, 1)
    letter = DeadLetter("delivery", HUBSPOT, name, "poison", "r", 1, b"", b"", (), Partition("retail.sales", 0), 0)
    assert name in (await till_aside("dlq", "show", letter.id)).out
    assert (await till_aside("dlq", "replay", letter.id, "--yes")).code == 0
    assert (await _row(pool, HUBSPOT, name))["state"] == "parked"


async def test_replay_shows_first_and_acts_only_when_told(add_delivery: AddDelivery, pool: Any) -> None:
    name = await _dead(add_delivery, 1)
    said = await till_aside("dlq", "replay", name)
    assert said.code == 0
    assert "1 would be handed back" in said.out
    assert (await _row(pool, HUBSPOT, name))["state"] == "dead"
    assert (await till_aside("dlq", "replay", name, "--yes", "--dry-run")).code == 0
    assert (await _row(pool, HUBSPOT, name))["state"] == "dead"
    assert (await till_aside("dlq", "replay", "--yes")).code == 2


async def test_replayed_deliveries_are_due_for_their_own_engine_only(add_delivery: AddDelivery, pool: Any) -> None:
    refused = await _dead(add_delivery, 1)
    unknown = await _dead(add_delivery, 2, sent_at=datetime.now(UTC))
    elsewhere = await _dead(add_delivery, 1, QUICKBOOKS)
    said = await till_aside(
        "dlq", "replay", "--connection", HUBSPOT, "--rate", "1000", "--yes", "--as", "ana", "--json"
    )
    assert said.json["done"] == 2
    row = await _row(pool, HUBSPOT, refused)
    assert (row["state"], row["class"], row["attempts"], row["generation"], row["dead_at"]) == (
        "parked",
        "replay",
        0,
        1,
        None,
    )
    # After an unknown outcome the key of the call must stay, so that the target recognises it.
    assert (await _row(pool, HUBSPOT, unknown))["generation"] == 0
    assert (await _row(pool, QUICKBOOKS, elsewhere))["state"] == "dead"
    due = await Ledger(pool, HUBSPOT, lease=30).due(Partition("retail.sales", 0), 1, 10)
    assert {each.event_id for each in due} == {refused, unknown}
    audit = await pool.fetchrow("select * from audit where what = 'dlq.replay'")
    assert (audit["who"], audit["object"]) == ("ana", HUBSPOT)
    assert set(audit["detail"]["events"]) == {refused, unknown}


async def test_the_rate_is_kept_by_when_each_is_due(add_delivery: AddDelivery, pool: Any) -> None:
    for number in range(5):
        await _dead(add_delivery, number)
    await till_aside("dlq", "replay", "--all", "--rate", "0.5", "--yes")
    rows = await pool.fetch("select next_attempt_at as at from delivery order by next_attempt_at")
    waits = [(later["at"] - earlier["at"]).total_seconds() for earlier, later in pairwise(rows)]
    assert waits == [2.0] * 4


async def test_a_letter_whose_bytes_are_gone_is_not_replayed(add_delivery: AddDelivery, pool: Any) -> None:
    name = await _dead(add_delivery, 1, value=None)
    said = await till_aside("dlq", "replay", name, "--yes")
    assert said.code == 1
    assert "no bytes left" in said.err
    assert (await _row(pool, HUBSPOT, name))["state"] == "dead"


async def test_discarding_deletes_the_content_and_frees_what_waits(add_delivery: AddDelivery, pool: Any) -> None:
    name = await _dead(add_delivery, 1)
    behind = await add_delivery(
        HUBSPOT, customer("c", 1).model_copy(update={"order_key": sale(1).order_key}), "parked",
        **{"class": "behind", "next_attempt_at": datetime.now(UTC)},
    )  # fmt: skip
    ledger, place = Ledger(pool, HUBSPOT, lease=30), Partition("retail.sales", 0)
    await pool.execute("update delivery set topic = 'retail.sales'")
    assert await ledger.due(place, 1, 10) == []
    assert (await till_aside("dlq", "discard", name, "--reason", "a test sale")).code == 0
    assert (await _row(pool, HUBSPOT, name))["state"] == "dead"
    assert (await till_aside("dlq", "discard", name, "--reason", "a test sale", "--yes")).code == 0
    row = await _row(pool, HUBSPOT, name)
    assert (row["state"], row["class"], row["value"], row["key"], row["headers"]) == (
        "discarded",
        None,
        None,
        None,
        None,
    )
    assert "a test sale" in row["reason"]
    assert [each.event_id for each in await ledger.due(place, 1, 10)] == [behind]
    assert (await till_aside("dlq", "discard", "--all", "--yes")).code == 2  # without a reason


async def test_edit_changes_the_content_under_the_same_id(add_delivery: AddDelivery, pool: Any) -> None:
    name = await _dead(add_delivery, 1)
    before = await _row(pool, HUBSPOT, name)
    change = ("dlq", "edit", name, "--set", "data.lines[0].sku=ABC-1", "--set", 'data.lines.0.quantity="2"')
    dry = await till_aside(*change)
    assert dry.code == 0
    assert "nothing was changed" in dry.out
    assert (await _row(pool, HUBSPOT, name))["value"] == before["value"]
    assert (await till_aside(*change, "--yes", "--as", "ana")).code == 0
    row = await _row(pool, HUBSPOT, name)
    event = decode(Kind.SALE_COMPLETED, row["value"])
    assert event.data.lines[0].sku == "ABC-1"  # type: ignore[attr-defined]
    assert str(event.data.lines[0].quantity) == "2"  # type: ignore[attr-defined]
    assert (event.id, row["event_id"], row["key"], row["state"]) == (name, name, before["key"], "dead")
    assert row["generation"] == before["generation"] + 1
    detail = (await pool.fetchrow("select * from audit where what = 'dlq.edit'"))["detail"]
    assert detail["parent_sha256"] != detail["sha256"]
    assert "ABC-1" not in json.dumps(detail)


@pytest.mark.parametrize(
    ("assigned", "code", "text"),
    [
        ("data.total=oops", 3, "no canonical event"),
        ("id=other", 2, "only fields below data"),
        ("data.nothing.here=1", 2, "there is no data.nothing"),
        ("data.lines.7.sku=A", 2, "has 1 entries"),
        ("data.currency.x=A", 2, "no object and no list"),
        ("nonsense", 2, "path.to.field=value"),
    ],
)
async def test_edits_that_cannot_be(add_delivery: AddDelivery, pool: Any, assigned: str, code: int, text: str) -> None:
    name = await _dead(add_delivery, 1)
    said = await till_aside("dlq", "edit", name, "--set", assigned, "--yes")
    assert said.code == code
    assert text in said.err
    assert (await _row(pool, HUBSPOT, name))["generation"] == 0
    assert await pool.fetchval("select count(*) from audit") == 0


async def test_an_edit_hides_personal_data(add_delivery: AddDelivery) -> None:
    name = await add_delivery(HUBSPOT, customer("c1", 1, email="ana@example.org"), "dead", **{"class": "poison"})
    said = await till_aside("dlq", "edit", name, "--set", "data.email=eva@example.org")
    assert said.code == 0
    assert "example.org" not in said.out


async def test_letters_of_transform_go_back_to_their_topic(add_letter: AddDelivery, pool: Any, at_work: Path) -> None:
    here = read_settings()
    await create_topics(here.kafka, topics(configuration(), 4))
    name = await add_letter("letter-7", "transform")
    assert (await till_aside("dlq", "replay", name)).code == 0
    assert await pool.fetchval("select state from dead_letter") == "open"
    said = await till_aside("dlq", "replay", name, "--yes", "--as", "ana")
    assert said.code == 0, said.err
    records = [r async for r in read_whole(here.kafka, ["raw.square"]) if r.text.get("replayed-from") == name]
    (record,) = records
    assert (record.key, record.value) == (b"k", b'{"root_kind": "order"}')
    assert dict(record.text) == {"connection": "square-main", "snapshot-id": "s1", "replayed-from": name}
    row = await pool.fetchrow("select * from dead_letter")
    assert (row["state"], row["settled_by"]) == ("replayed", "ana")
    again = await till_aside("dlq", "replay", name, "--yes")
    assert again.code == 1


async def test_an_object_the_vendor_denied_is_asked_for_again(add_letter: AddDelivery, pool: Any) -> None:
    content = json.dumps({"root": ["order", "Ord9"], "type": "order.updated"}).encode()
    name = await add_letter(
        "letter-8", "ingest", topic="inbox.square", value=content, headers=[["dl-class", "dependency"]],
        **{"class": "dependency"},
    )  # fmt: skip
    said = await till_aside("dlq", "replay", name, "--yes")
    assert said.code == 0, said.err
    work = await pool.fetchrow("select * from fetch_work")
    assert (work["connection"], work["root_kind"], work["root_id"], work["account_id"]) == (
        "square-main",
        "order",
        "Ord9",
        "ML1",
    )


async def test_letters_of_intake_can_be_discarded(add_letter: AddDelivery, pool: Any) -> None:
    await add_letter("letter-9", "ingest")
    assert (await till_aside("dlq", "discard", "--class", "poison", "--reason", "noise", "--yes")).code == 0
    row = await pool.fetchrow("select * from dead_letter")
    assert (row["state"], row["value"]) == ("discarded", None)
    assert await pool.fetchval("select count(*) from audit where what = 'dlq.discard'") == 1
