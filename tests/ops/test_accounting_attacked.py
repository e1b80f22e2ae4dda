"""Attempts to make the accounting lie: to hide a loss, or to cry wolf."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from libs.runtime.configuration.reading import read_configuration
from libs.runtime.engine.engine import consumer_group
from libs.runtime.kafka.offsets import standing
from libs.runtime.kafka.topics import create_topics, topics
from libs.runtime.kafka.writer import Outgoing, Writer
from services.ops.balance import Accountant, Balance
from tests.ops.conftest import enter_delivery
from tests.ops.expiring import expire_all
from tests.ops.running import till_aside
from tests.system.installation import Installation
from tests.system.sales import customer, outgoing, refund, sale

HUBSPOT, SQUARE = "hubspot-main", "square-main"


@pytest.fixture
async def whole(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """An installation at which `till` looks."""
    for name, value in installation.env.items():
        monkeypatch.setenv(name, value)
    return installation


@pytest.fixture
async def writer(whole: Installation) -> AsyncIterator[Writer]:
    """Writes to its topics."""
    opened = Writer(whole.kafka_settings)
    yield opened
    await opened.stop()


def _accountant(whole: Installation, pool: Any = None) -> Accountant:
    return Accountant(whole.kafka_settings, pool or whole.pool, read_configuration(whole.config))


async def _balances(accountant: Accountant) -> dict[str, Balance]:
    counted = await accountant.count()
    return {balance.name: balance for _, balance, _ in counted}


async def _sound(accountant: Accountant) -> dict[str, Balance]:
    balances = await _balances(accountant)
    assert {name: (b.lost, b.unoffered) for name, b in balances.items() if b.mismatch} == {}
    return balances


async def _commit(whole: Installation, group: str, offsets: dict[TopicPartition, int]) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=whole.kafka, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(list(offsets))
        await consumer.commit(offsets)
    finally:
        await consumer.stop()


async def _commit_all(whole: Installation, group: str, *names: str) -> None:
    stands = await standing(whole.kafka_settings, group, names)
    await _commit(whole, group, {TopicPartition(*partition): stand.end for partition, stand in stands.items()})


async def test_an_event_committed_past_and_forgotten_shows_beside_as_many_strange_rows(
    whole: Installation, writer: Writer
) -> None:
    """Ten lost, ten that nobody offered: by number alone that is nothing at all."""
    await writer.send_all([outgoing(sale(n)) for n in range(10)])
    await _commit_all(whole, consumer_group(HUBSPOT), "retail.sales", "retail.customers", "retail.products")
    for number in range(10, 20):
        await enter_delivery(whole.pool, HUBSPOT, sale(number), "delivered", position=5_000)
    found = (await _balances(_accountant(whole)))[HUBSPOT]
    assert (found.offered, found.terms["delivered"]) == (10, 10)
    assert (found.lost, found.unoffered, found.mismatch) == (10, 10, 10)


async def test_records_without_ids_and_with_odd_ones_are_counted_like_any(whole: Installation, writer: Writer) -> None:
    """No id, an empty one, one of bytes, one with NUL, which PostgreSQL does not take; before and after delivery."""
    odd: list[list[tuple[str, bytes]]] = [
        [], [], [("ce_id", b"")], [("ce_id", b"\xff\xfe")], [("ce_id", b"a\x00b")], [("ce_id", b"a\x00b")],
        [("ce_id", b"first"), ("ce_id", b"second")],
    ]  # fmt: skip
    await writer.send_all([Outgoing("retail.sales", b"k", b"nonsense", headers) for headers in odd])
    await writer.send_all([Outgoing("retail.sales", b"k", None, [("ce_id", b"tombstone")]), outgoing(sale(1))])
    accountant = _accountant(whole)
    assert (await _sound(accountant))[HUBSPOT].terms["waiting"] == 8
    await whole.start("hubspot")
    deadline = asyncio.get_running_loop().time() + 60
    while (found := (await _sound(accountant))[HUBSPOT]).terms["waiting"]:
        assert asyncio.get_running_loop().time() < deadline, found.as_json()
    await asyncio.sleep(1.5)  # until the offsets are committed
    assert (await _sound(_accountant(whole)))[HUBSPOT].offered == 8


async def test_nothing_is_missing_while_owners_are_killed(whole: Installation, writer: Writer) -> None:
    """Two replicas under load, one killed and one stopped: at every look the terms make up what was offered."""
    accountant = _accountant(whole)
    events = [sale(n) for n in range(300)] + [refund(n) for n in range(0, 300, 10)]
    await writer.send_all([outgoing(event) for event in events[:150]])
    await whole.start("hubspot")
    looks = 0

    async def look_until(delivered: int) -> None:
        nonlocal looks
        deadline = asyncio.get_running_loop().time() + 120
        while (found := (await _sound(accountant))[HUBSPOT]).terms["delivered"] < delivered:
            looks += 1
            assert asyncio.get_running_loop().time() < deadline, found.as_json()

    await look_until(20)
    await whole.kill("hubspot")
    await look_until(20)
    await whole.start("hubspot", "hubspot#2")
    await writer.send_all([outgoing(event) for event in events[150:]] + [outgoing(sale(n)) for n in range(50)])
    await look_until(200)
    await whole.stop("hubspot#2")
    await look_until(len(events))
    assert looks >= 3, "too quick to have been looked at"
    assert (await _sound(_accountant(whole)))[HUBSPOT].offered == len(events)


async def test_a_set_back_group_and_a_topic_made_anew_are_read_again(whole: Installation, writer: Writer) -> None:
    """By a reader that knows what they were before."""
    accountant, group = _accountant(whole), consumer_group(HUBSPOT)
    names = ("retail.sales", "retail.customers", "retail.products")
    sent = [await writer.send(*outgoing(sale(n))) for n in range(5)]
    for number in (0, 1, 2):
        await enter_delivery(
            whole.pool, HUBSPOT, sale(number), "delivered",
            partition=sent[number].partition, position=sent[number].offset,
        )  # fmt: skip
    await _commit_all(whole, group, *names)
    assert (await _balances(accountant))[HUBSPOT].lost == 2
    stands = await standing(whole.kafka_settings, group, names)
    await _commit(whole, group, {TopicPartition(*partition): 0 for partition in stands})
    assert (await _sound(accountant))[HUBSPOT].terms["waiting"] == 2, "they are still to be read: nothing is lost"

    admin = AIOKafkaAdminClient(bootstrap_servers=whole.kafka)
    await admin.start()
    await admin.delete_topics(["retail.sales"])
    await admin.close()
    wanted = [topic for topic in topics(read_configuration(whole.config), 4) if topic.name == "retail.sales"]

    async def made_anew() -> bool:
        return bool(await create_topics(whole.kafka_settings, wanted))

    await whole.until(made_anew, "the topic is made anew")
    await writer.stop()  # its offsets are of the old topic
    await writer.send(*outgoing(sale(7)))
    found = (await _balances(accountant))[HUBSPOT]
    assert (found.offered, found.lost) == (1, 0)
    assert found.unoffered == 3, "rows of which no record is left although none can have expired"
    # Rows older than all that the new topic has are of the old one: nobody needs to be woken for them any more.
    await whole.pool.execute("update delivery set first_seen = now() - interval '2 hours', position = 900")
    for number in range(8, 40):  # until each partition has one
        await writer.send(*outgoing(sale(number)))
    for each in (accountant, _accountant(whole)):
        assert (await _sound(each))[HUBSPOT].aged_out == 3


async def test_webhooks_that_cannot_be_read_are_received_too(whole: Installation, writer: Writer) -> None:
    """They have a letter and nothing else; sent twice they are one."""
    await whole.start("webhooks", "fetcher", "journey")
    accountant = _accountant(whole)
    url = f"http://127.0.0.1:{whole.ports['http']}/webhooks/{SQUARE}"
    for body in (b"{", b"{", b'{"a": '):
        async with whole.http.post(url, data=body, headers=whole.square_signature(url, body)) as answer:
            assert answer.status == 200
    headers = [("connection", SQUARE.encode()), ("delivery-id", b"d1"), ("type", b"t")]
    await writer.send("inbox.square", b"k", b"no JSON", headers)

    async def archived() -> bool:
        return await whole.count("select count(*) from dead_letter") == 3

    await whole.until(archived, "all letters are archived")
    found = (await _sound(accountant))[SQUARE]
    assert (found.offered, found.terms["unreadable"]) == (3, 3)

    # A letter may leave its topic days before the record that it is about.
    await expire_all(whole.kafka_settings, "dlq.ingest")
    for each in (accountant, _accountant(whole)):
        found = (await _sound(each))[SQUARE]
        assert (found.offered, found.terms["unreadable"]) == (1, 1)
    # And the other way round.
    await writer.send("inbox.square", b"k", b"no JSON", [(headers[0]), ("delivery-id", b"d2"), headers[2]])
    await whole.until(lambda: _count_is(whole, 4), "its letter is archived")
    await expire_all(whole.kafka_settings, "inbox.square")
    for each in (accountant, _accountant(whole)):
        assert (await _sound(each))[SQUARE].offered == 0

    # Replayed, it is received once more, under the same id.
    letter = await whole.pool.fetchval(
        "select id from dead_letter where topic = 'inbox.square' order by at desc limit 1"
    )
    assert (await till_aside("dlq", "replay", letter, "--yes")).code == 0
    for _ in range(10):
        assert (await _sound(accountant))[SQUARE].offered == 1
        await asyncio.sleep(0.3)


async def test_a_webhook_that_was_not_understood_can_be_read_anew(whole: Installation) -> None:
    """Corrected or understood after an upgrade, it goes through the inbox under the id of its letter, once."""
    await whole.start("webhooks", "fetcher", "journey")
    accountant, url = _accountant(whole), f"http://127.0.0.1:{whole.ports['http']}/webhooks/{SQUARE}"
    for body in (b"{", b'{"merchant_id": "ML1"}'):
        async with whole.http.post(url, data=body, headers=whole.square_signature(url, body)) as answer:
            assert answer.status == 200
    await whole.until(lambda: _count_is(whole, 2), "both are archived")
    hopeless, letter = [
        row["id"] for row in await whole.pool.fetch("select id from dead_letter order by length(value)")
    ]
    said = await till_aside("dlq", "replay", hopeless, "--yes")
    assert said.code == 1
    assert "no JSON" in said.err
    changes = ["event_id=e1", "type=terminal.checkout.created", "created_at=2026-11-20T18:00:00Z", "data={}"]
    edit = await till_aside("dlq", "edit", letter, *(part for change in changes for part in ("--set", change)), "--yes")
    assert edit.code == 0, edit.err
    assert (await till_aside("dlq", "replay", letter, "--yes")).code == 0

    async def read() -> bool:
        return await whole.count("select count(*) from notification where delivery_id = $1", letter) == 1

    await whole.until(read, "it is a notification")
    found = (await _sound(accountant))[SQUARE]
    assert (found.offered, found.terms["unreadable"]) == (2, 1)
    assert await whole.count("select count(*) from dead_letter") == 2


async def _count_is(whole: Installation, number: int) -> bool:
    return await whole.count("select count(*) from dead_letter") == number


async def test_what_was_saved_from_expiry_is_parked_and_told_so(whole: Installation, writer: Writer) -> None:
    """Before and after its record is gone, and whether or not the offset was committed meanwhile."""
    accountant = _accountant(whole)
    sent = [await writer.send(*outgoing(event)) for event in (sale(1), sale(2), customer("c1", 1))]
    for number in (1, 2):
        await enter_delivery(
            whole.pool, HUBSPOT, sale(number), "parked",
            **{"class": "spilled"}, partition=sent[number - 1].partition, position=sent[number - 1].offset,
        )  # fmt: skip
    found = (await _sound(accountant))[HUBSPOT]
    assert (found.terms["parked"], found.terms["waiting"]) == (2, 1)
    await _commit_all(whole, consumer_group(HUBSPOT), "retail.sales")
    await _sound(accountant)
    await expire_all(whole.kafka_settings, "retail.sales")
    found = (await _sound(accountant))[HUBSPOT]
    assert (found.aged_out, found.terms["parked"]) == (2, 2)
    assert "2 saved from expiry" in (await till_aside("status")).out
    trace = await till_aside("trace", sale(1).id)
    assert "kept in the database because Kafka would have deleted it" in trace.out


async def test_a_large_ledger_may_take_its_time(whole: Installation) -> None:
    """Longer than a pool gives a statement: it is waited for, else a large ledger would never be counted."""
    hasty = await asyncpg.create_pool(whole.postgres, min_size=1, max_size=2, command_timeout=3)
    async with whole.pool.acquire() as database, database.transaction():
        await database.execute("lock table delivery in access exclusive mode")
        counting = asyncio.create_task(_balances(_accountant(whole, hasty)))
        await asyncio.sleep(6)
        assert not counting.done()
    assert HUBSPOT in await counting
    await hasty.close()
