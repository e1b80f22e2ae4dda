"""Everything offered is accounted for, by two counts that share nothing; what is lost or counted twice shows."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from libs.runtime.kafka.writer import Outgoing, Writer
from tests.ops.running import Said, till_aside
from tests.system.installation import SERVICES, Installation
from tests.system.sales import customer, outgoing, refund, sale

HUBSPOT = "hubspot-main"


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


async def _status(*more: str) -> tuple[Said, dict[str, Any]]:
    said = await till_aside("status", "--json", "--check", *more)
    return said, {each["name"]: each for part in ("targets", "sources", "snapshots") for each in said.json[part]}


async def test_the_identity_holds_before_during_and_after_delivery(whole: Installation) -> None:
    events = [sale(n) for n in range(30)] + [refund(3)]
    await _write(whole, *(outgoing(event) for event in events), *(outgoing(sale(n)) for n in range(5)))
    # A record of nothing readable is offered too, under the name of its place.
    await _write(whole, Outgoing("retail.sales", b"k", b"nonsense", [("ce_type", b"x")]))
    said, found = await _status()
    assert said.code == 0, said.err
    balance = found[HUBSPOT]["balance"]
    assert (balance["offered"], balance["waiting"], balance["delivered"]) == (32, 32, 0)
    assert found[HUBSPOT]["circuit"] == "never ran"
    assert found[HUBSPOT]["waiting_in_kafka"] == 37

    await whole.start("hubspot")
    deadline = asyncio.get_running_loop().time() + 40
    while True:  # all along, while events are being delivered
        said, found = await _status()
        assert said.code == 0, said.err
        if found[HUBSPOT]["balance"]["delivered"] == 31:
            break
        assert asyncio.get_running_loop().time() < deadline, found[HUBSPOT]
    balance = found[HUBSPOT]["balance"]
    assert (balance["offered"], balance["dead"], balance["waiting"], balance["mismatch"]) == (32, 1, 0, 0)
    assert found["qbo-receipts"]["balance"]["waiting"] == 32
    text = await till_aside("status")
    assert text.code == 0
    for column in ("offered", "= delivered", "+ in flight", "difference", "running"):
        assert column in text.out


async def test_a_lost_row_a_phantom_and_an_expired_record_are_told_apart(whole: Installation) -> None:
    await _write(whole, *(outgoing(sale(n)) for n in range(6)), outgoing(customer("c1", 1, email="a@example.org")))
    await whole.start("hubspot")

    async def delivered() -> bool:
        return (await whole.deliveries(HUBSPOT)).get("delivered", 0) == 7

    await whole.until(delivered, "everything is delivered")
    await asyncio.sleep(1.5)  # until the offsets are committed: only then a missing row is a lost one
    assert (await _status())[0].code == 0

    lost = await whole.pool.fetchval("delete from delivery where event_id = $1 returning event_id", sale(2).id)
    assert lost
    said, found = await _status()
    assert said.code == 1
    assert HUBSPOT in said.err
    assert found[HUBSPOT]["balance"]["mismatch"] == 1

    # A row that nobody offered hides nothing: it is not there to make up for the lost one, unless Kafka had it once.
    copy = "insert into delivery (connection, event_id, kind, order_key, entity_id, version, occurred_at, topic, partition, position, state, epoch) values ($1, $2, 'sale.completed', 'k', 'e', 1, now(), 'retail.sales', 0, $3, 'delivered', 1)"  # noqa: E501
    await whole.pool.execute(copy, HUBSPOT, "expired", -1)
    _, found = await _status()
    assert (found[HUBSPOT]["balance"]["aged_out"], found[HUBSPOT]["balance"]["mismatch"]) == (1, 1)
    # By number alone this one would make up for the lost one, and all would look well.
    await whole.pool.execute(copy, HUBSPOT, "phantom-1", 1_000_000)
    said, found = await _status()
    balance = found[HUBSPOT]["balance"]
    assert (said.code, balance["lost"], balance["unoffered"], balance["mismatch"]) == (1, 1, 1, 1)
    await whole.pool.execute(copy, HUBSPOT, "phantom-2", 1_000_000)
    await whole.pool.execute("delete from delivery where event_id = 'expired'")
    await whole.pool.execute(
        "insert into delivery select (jsonb_populate_record(d, jsonb_build_object('event_id', $1::text))).* "
        "from delivery d where event_id = $2", sale(2).id, sale(1).id,
    )  # fmt: skip
    said, found = await _status()
    balance = found[HUBSPOT]["balance"]
    assert (said.code, balance["lost"], balance["unoffered"], balance["mismatch"]) == (1, 0, 2, -2)


async def test_upstream_is_accounted_for_and_exported(whole: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    def inbox(connection: str, delivery: str) -> Outgoing:
        headers = [("connection", connection.encode()), ("delivery-id", delivery.encode())]
        return Outgoing("inbox.square", delivery.encode(), b"{}", headers)

    def raw(snapshot: str) -> Outgoing:
        return Outgoing("raw.square", snapshot.encode(), b"{}", [("snapshot-id", snapshot.encode())])

    letter = [("dl-connection", b"square-main"), ("dl-class", b"poison"), ("delivery-id", b"d4")]
    await _write(whole, *(inbox("square-main", f"d{n}") for n in (1, 2, 3, 4, 1)), raw("s1"), raw("s2"), raw("s2"))
    await _write(whole, Outgoing("dlq.ingest", b"d4", b"{}", letter))
    rows = [("d1", "object"), ("d2", "waiting")]
    await whole.pool.executemany(
        "insert into notification (connection, delivery_id, type, via, outcome, received_at) "
        "values ('square-main', $1, 't', 'webhook', $2, now())",
        rows,
    )
    await whole.pool.execute(
        "insert into snapshot (id, connection, root_key, outcome) values ('s1', 'square-main', 'k', 'not_yet')"
    )
    said, found = await _status()
    assert said.code == 0, said.err
    received, snapshots = found["square-main"]["balance"], found["raw.square"]["balance"]
    assert received == {
        "offered": 4, "aged_out": 0, "object": 1, "no_effect": 0, "rejected": 0, "waiting": 1, "unreadable": 1,
        "unread": 1, "lost": 0, "unoffered": 0, "mismatch": 0,
    }  # fmt: skip
    assert (snapshots["offered"], snapshots["not_yet"], snapshots["unread"], snapshots["mismatch"]) == (2, 1, 1, 0)

    monkeypatch.setitem(SERVICES, "accounting", ("services.ops", "accounting"))
    await whole.start("accounting")
    address = f"http://127.0.0.1:{whole.ports['metrics.accounting']}/metrics"
    async with aiohttp.ClientSession() as http, http.get(address) as answer:
        lines = (await answer.text()).splitlines()
    assert 'tillstream_offered_events{connection="square-main"} 4.0' in lines
    assert 'tillstream_accounted_events{connection="square-main",outcome="unread"} 1.0' in lines
    assert 'tillstream_accounting_mismatch{connection="square-main"} 0.0' in lines
    assert 'tillstream_accounted_events{connection="raw.square",outcome="not_yet"} 1.0' in lines
    assert f'tillstream_dead_letters_open{{connection="{HUBSPOT}"}} 0.0' in lines
    assert await whole.stop("accounting") == 0


async def test_topics_are_planned_created_and_checked(whole: Installation) -> None:
    assert "all" in (await till_aside("topics", "plan")).out
    content = whole.config.read_text().replace("hubspot-main", "hubspot-other")
    whole.config.write_text(content)
    planned = (await till_aside("topics", "plan", "--json")).json
    assert [row["topic"] for row in planned if not row["exists"]] == ["dlq.hubspot-other"]
    missing = await till_aside("check")
    assert missing.code == 1
    assert "dlq.hubspot-other" in missing.out
    assert (await till_aside("topics", "apply", "--json")).json == {"created": ["dlq.hubspot-other"]}
    assert (await till_aside("topics", "apply", "--json")).json == {"created": []}
    assert (await till_aside("check")).code == 0
