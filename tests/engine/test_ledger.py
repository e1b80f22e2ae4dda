"""The ledger on a real database: one claim, fenced by epochs, locks in the order in which events came."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from libs.connectors.contract.target import Ref
from libs.runtime.engine.ledger import Claim, Entry, Fenced, Ledger, Settlement
from libs.runtime.kafka.records import Partition
from tests.system.sales import NOON

HERE = Partition("retail.sales", 0)


@pytest.fixture
async def ledger(pool: Any) -> Ledger:
    """A ledger whose claims last a minute."""
    await pool.execute("insert into connection_state (connection) values ('qbo')")
    return Ledger(pool, "qbo", lease=60)


def entry(name: str, epoch: int, *, key: str = "k", state: str = "claimed", **more: Any) -> Entry:
    """An entry of one partition."""
    defaults: dict[str, Any] = {"version": 1, "offset": 7}
    return Entry(
        event_id=name, kind="sale.completed", order_key=key, entity_id=name, location_id="L1", occurred_at=NOON,
        partition=HERE, epoch=epoch, state=state, **{**defaults, **more},
    )  # fmt: skip


def done(name: str, epoch: int, state: str = "delivered", **more: Any) -> Settlement:
    """A settlement of one partition."""
    return Settlement(name, HERE, epoch, state, **more)


async def test_an_event_is_claimed_once(ledger: Ledger) -> None:
    """The second claim of an event learns of the first, also within one batch."""
    epoch = await ledger.own(HERE, "a")
    first, repeat = await ledger.write([entry("e1", epoch), entry("e1", epoch)])
    assert first == Claim(True, "claimed")
    assert isinstance(repeat, Claim)
    assert not repeat.fresh
    await ledger.settle([done("e1", epoch, remote_id="266")])
    [again] = await ledger.write([entry("e1", epoch)])
    assert isinstance(again, Claim)
    assert (again.fresh, again.state) == (False, "delivered")


async def test_a_former_owner_can_neither_claim_nor_settle_nor_park(ledger: Ledger) -> None:
    """Once another process owns the partition, every write of the former one is refused and changes nothing."""
    old = await ledger.own(HERE, "a")
    await ledger.write([entry("e1", old)])
    new = await ledger.own(HERE, "b")
    assert new > old
    [claim] = await ledger.write([entry("e2", old)])
    assert isinstance(claim, Fenced)
    assert await ledger.settle([done("e1", old)]) != [None]
    with pytest.raises(Fenced):
        await ledger.save_step("e1", HERE, old, {"a": {}}, {})
    await ledger.write([entry("waits", new, key="k2", state="parked", class_="retry", value=b"{}")])
    [waits] = await ledger.due(HERE, new, 10)
    with pytest.raises(Fenced):
        await ledger.take_up(waits, old)
    with pytest.raises(Fenced):
        await ledger.supersede_older(HERE, old, "k2", 99)
    [seen] = await ledger.write([entry("e1", new)])
    assert isinstance(seen, Claim)
    assert seen.state == "claimed"
    assert seen.held_until is not None, "a live claim is respected until its lease ends"


async def test_a_claim_whose_lease_ended_is_taken_over_with_its_doubt(ledger: Ledger, pool: Any) -> None:
    """The new owner gets the steps that were done, and knows that a write may have been sent."""
    old = await ledger.own(HERE, "a")
    await ledger.write([entry("e1", old)])
    await ledger.save_step("e1", HERE, old, {"first": {"id": "9", "refs": []}}, {Ref("sale", "k"): "9"})
    new = await ledger.own(HERE, "b")
    await pool.execute("update delivery set lease_until = now() - interval '1 second'")
    [claim] = await ledger.write([entry("e1", new)])
    assert isinstance(claim, Claim)
    assert claim.row is not None
    assert claim.row.interrupted
    assert claim.row.steps == {"first": {"id": "9", "refs": []}}
    assert await ledger.remote_ids([Ref("sale", "k"), Ref("sale", "other")]) == {Ref("sale", "k"): "9"}


async def test_released_claims_are_taken_over_at_once(ledger: Ledger) -> None:
    """An owner whose work was stopped gives its claims back; their outcome stays open."""
    old = await ledger.own(HERE, "a")
    await ledger.write([entry("e1", old)])
    await ledger.release(HERE, old)
    new = await ledger.own(HERE, "b")
    [claim] = await ledger.write([entry("e1", new)])
    assert isinstance(claim, Claim)
    assert claim.held_until is None
    assert claim.row is not None
    assert claim.row.interrupted


async def test_the_head_of_a_key_comes_first_and_behind_it_in_order(ledger: Ledger) -> None:
    """What waits behind a dead letter is due only when the letter is gone, then one after the other."""
    epoch = await ledger.own(HERE, "a")
    await ledger.write([entry("head", epoch)])
    await ledger.settle([done("head", epoch, "dead", class_="poison", reason="bad", value=b"{}")])
    await ledger.write([entry(f"b{n}", epoch, state="parked", class_="behind", value=b"{}") for n in (1, 2)])
    assert await ledger.locked_keys(HERE) == {"k"}
    assert await ledger.due(HERE, epoch, 10) == [], "a dead head holds its key without a time limit"
    await ledger._pool.execute("update delivery set state = 'discarded' where event_id = 'head'")
    for name in ("b1", "b2"):
        [head] = await ledger.due(HERE, epoch, 10)
        assert head.event_id == name
        assert await ledger.take_up(head, epoch)
        await ledger.settle([done(name, epoch)])
    assert not await ledger.still_locked(HERE, "k")


async def test_a_newer_state_supersedes_what_waits_and_an_older_one_is_superseded(ledger: Ledger) -> None:
    """Of states only the newest counts."""
    epoch = await ledger.own(HERE, "a")
    await ledger.write([entry("v2", epoch, version=2)])
    await ledger.settle([done("v2", epoch, "dead", class_="poison", reason="bad")])
    assert not await ledger.supersede_older(HERE, epoch, "k", 2), "an equal version does not supersede"
    assert await ledger.supersede_older(HERE, epoch, "k", 3)
    await ledger.write([entry("v3", epoch, version=3)])
    await ledger.settle([done("v3", epoch)])
    [late] = await ledger.write([replace(entry("v1", epoch, version=1), newest_only=True)])
    assert late == Claim(True, "superseded")


async def test_a_document_settles_its_members_in_its_own_transaction(ledger: Ledger, pool: Any) -> None:
    """Members wait as `day open`, hold no key, and become delivered with the document; those left out stay."""
    epoch = await ledger.own(HERE, "a")
    members = [entry(f"s{n}", epoch, key=f"k{n}", state="parked", class_="day_open") for n in range(3)]
    await ledger.write(members)
    assert await ledger.locked_keys(HERE) == set()
    assert await ledger.unseen(["s0", "s1", "s9"]) == 1
    await ledger.write([entry("day", epoch, key="day")])
    await ledger.settle(
        [done("day", epoch, document="POS-1", remote_id="77", settles=("s0", "s1"), left_out={"s2": "does not add up"})]
    )
    rows = {r["event_id"]: r for r in await pool.fetch("select * from delivery")}
    assert [rows[n]["state"] for n in ("s0", "s1", "s2")] == ["delivered", "delivered", "parked"]
    assert (rows["s0"]["document"], rows["s0"]["remote_id"]) == ("POS-1", "77")
    assert (rows["s2"]["class"], rows["s2"]["reason"]) == ("left_out", "does not add up")


async def test_bytes_are_kept_only_while_somebody_may_need_them(ledger: Ledger, pool: Any) -> None:
    """A dead letter keeps its bytes, a delivered event keeps none: they hold personal data."""
    epoch = await ledger.own(HERE, "a")
    await ledger.write([entry("e1", epoch)])
    headers = (("ce_id", b"e1"), ("null", None), ("binary", b"\x00\xff"))
    await ledger.settle([done("e1", epoch, "dead", class_="poison", key=b"k", value=b"{}", headers=headers)])
    await pool.execute("update delivery set state = 'parked', class = 'replay', next_attempt_at = now()")
    [row] = await ledger.due(HERE, epoch, 1)
    assert (row.key, row.value, row.headers) == (b"k", b"{}", headers)
    await ledger.settle([done("e1", epoch)])
    assert await pool.fetchval("select num_nonnulls(key, value, headers) from delivery") == 0
