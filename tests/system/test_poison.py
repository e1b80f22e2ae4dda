"""A bad event becomes a dead letter, what depends on it waits, and both follow once it is healed."""

from __future__ import annotations

import asyncio

from libs.canonical.sale import CustomerRef
from libs.runtime.kafka.offsets import read_whole
from libs.runtime.kafka.topics import dead_letters
from libs.runtime.kafka.writer import Outgoing, Writer
from tests.system.installation import Installation
from tests.system.sales import customer, outgoing, refund, sale

TOO_LONG = "Ana" * 30_000  # HubSpot takes 65,536 characters


async def _states(installation: Installation, connection: str) -> dict[str, int]:
    return await installation.deliveries(connection)


async def test_poison_waits_for_a_person_and_its_key_waits_with_it(installation: Installation) -> None:
    """HubSpot refuses the buyer's name: the sale is dead, its refund waits behind it, all others are delivered."""
    await installation.start("hubspot")
    writer = Writer(installation.kafka_settings)
    bad = sale(1, customer=CustomerRef(id="c9", email="ana@example.org", given_name=TOO_LONG))
    records = [outgoing(sale(n)) for n in (2, 3, 4, 5)]
    await writer.send_all([*records, outgoing(bad), outgoing(refund(1)), outgoing(refund(2))])

    async def settled() -> bool:
        return await _states(installation, "hubspot-main") == {"delivered": 5, "dead": 1, "parked": 1}

    await installation.until(settled, "one is dead, one waits, five are delivered")
    row = await installation.pool.fetchrow("select * from delivery where state = 'dead'")
    assert row["class"] == "poison"
    assert "firstname" in row["reason"]
    assert TOO_LONG not in row["reason"], "a reason holds no personal data"
    behind = await installation.pool.fetchrow("select * from delivery where state = 'parked'")
    assert (behind["class"], behind["kind"]) == ("behind", "refund.completed")
    letters = [r async for r in read_whole(installation.kafka_settings, [dead_letters("hubspot-main")])]
    assert [letter.text["dl-event-id"] for letter in letters] == [bad.id]
    assert letters[0].value == outgoing(bad).value, "a dead letter keeps the original bytes"

    # Healed by an operator: the sale goes out, then what waited behind it, in order.
    healed = bad.model_dump_json().replace(TOO_LONG, "Ana").encode()
    await installation.pool.execute(
        "update delivery set value = $1, state = 'parked', class = 'replay', next_attempt_at = now(), "
        "generation = generation + 1 where state = 'dead'",
        healed,
    )

    async def all_there() -> bool:
        return await _states(installation, "hubspot-main") == {"delivered": 7}

    await installation.until(all_there, "the healed sale and its refund are delivered")
    orders = {o["properties"]["pos_order_id"]: o for o in (await installation.state("hubspot"))["orders"]}
    assert orders[bad.order_key]["properties"]["pos_refunded_amount"] == "10.80"
    # The key is free again: a later event of it goes straight through.
    await writer.stop()


async def test_a_newer_state_supersedes_a_dead_one(installation: Installation) -> None:
    """A customer refused once is superseded by its next version; an older version that comes late changes nothing."""
    await installation.start("hubspot")
    writer = Writer(installation.kafka_settings)
    await writer.send_all([outgoing(sale(n)) for n in (2, 3, 4)])
    await writer.send_all([outgoing(customer("c1", 2, given_name=TOO_LONG))])

    async def dead() -> bool:
        return (await _states(installation, "hubspot-main")).get("dead") == 1

    await installation.until(dead, "the bad version is dead")
    await writer.send_all([outgoing(customer("c1", 3, email="ana@example.org", given_name="Anita"))])

    async def healed() -> bool:
        states = await _states(installation, "hubspot-main")
        return states == {"delivered": 4, "superseded": 1}

    await installation.until(healed, "the newer version is delivered, the dead one superseded")
    await writer.send_all([outgoing(customer("c1", 1, email="old@example.org"))])

    async def stale() -> bool:
        return (await _states(installation, "hubspot-main")).get("superseded") == 2

    await installation.until(stale, "the late old version is superseded")
    contacts = (await installation.state("hubspot"))["contacts"]
    assert [c["properties"]["firstname"] for c in contacts] == ["Anita"]
    await writer.stop()


async def test_a_flood_of_poison_pauses_instead_of_emptying_the_stream(installation: Installation) -> None:
    """When everything is refused from the start, the third refusal pauses the connection; a resume goes on."""
    await installation.start("hubspot")
    writer = Writer(installation.kafka_settings)
    events = [sale(n, customer=CustomerRef(id=f"c{n}", given_name=TOO_LONG)) for n in range(20)]
    await writer.send_all([outgoing(event) for event in events])

    async def paused() -> bool:
        by = await installation.pool.fetchval(
            "select paused_by from connection_state where connection = 'hubspot-main'"
        )
        return str(by) == "tillstream"

    await installation.until(paused, "the brake pauses the connection")

    async def two_letters() -> bool:
        return (await _states(installation, "hubspot-main")).get("dead") == 2

    await installation.until(two_letters, "the first two are dead letters")
    await asyncio.sleep(3)
    states = await _states(installation, "hubspot-main")
    # The rest is in hand or still in Kafka.
    assert states.pop("dead") == 2
    assert set(states) == {"claimed"}
    await writer.stop()


async def test_records_that_nobody_can_read_are_accounted_for(installation: Installation) -> None:
    """Tombstones, null, binary and repeated headers, unknown kinds and later schema versions: each has its place."""
    await installation.start("hubspot")
    writer = Writer(installation.kafka_settings)
    good = outgoing(sale(1))
    kind = dict(good.headers)["ce_type"]
    unreadable = [
        Outgoing("retail.sales", b"k1", None, [("ce_id", b"tombstone"), ("ce_type", kind)]),
        Outgoing("retail.sales", b"k2", b"not json", [("ce_id", b"garbage"), ("ce_type", kind)]),
        Outgoing("retail.sales", b"k3", good.value, [("ce_id", b"later"), ("ce_type", kind.replace(b"v1", b"v2"))]),
        Outgoing(
            "retail.sales", b"k4", good.value, [("ce_id", b"unknown"), ("ce_type", b"tillstream.alien.landed.v1")]
        ),
        Outgoing("retail.sales", b"k5", good.value, [("ce_type", b"\xff\xfe"), ("other", b"\x00\x80")]),
    ]
    repeated = Outgoing(good.topic, good.key, good.value, [("ce_type", b"tillstream.x.v1"), *good.headers])
    delivered_first = [outgoing(sale(n)) for n in (7, 8, 9)]
    await writer.send_all([*delivered_first])
    await installation.until(lambda: _three(installation), "three are delivered")
    await writer.send_all([*unreadable, repeated])

    async def accounted() -> bool:
        states = await _states(installation, "hubspot-main")
        return states == {"delivered": 4, "dead": 3, "parked": 1, "filtered": 1}

    await installation.until(accounted, "every record has its place")
    await writer.stop()


async def _three(installation: Installation) -> bool:
    return (await _states(installation, "hubspot-main")).get("delivered") == 3
