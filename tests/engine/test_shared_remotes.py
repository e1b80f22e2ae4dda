"""Objects that many events share (items, contacts): batches that settle at once must not wait for one another."""

from __future__ import annotations

import asyncio
from typing import Any

from libs.connectors.contract.target import Ref
from libs.runtime.engine.ledger import Ledger
from tests.engine.test_ledger import HERE, done, entry, ledger

__all__ = ["ledger"]


async def test_batches_that_learn_the_same_objects_in_another_order_both_settle(ledger: Ledger, pool: Any) -> None:
    """Both have begun to write them when they meet, since somebody else holds the one in the middle."""
    epoch = await ledger.own(HERE, "a")
    first, middle, last = (Ref("item", name) for name in "abc")
    await ledger.write([entry(f"e{n}", epoch, key=f"k{n}") for n in range(3)])
    await ledger.settle([done("e0", epoch, provides=dict.fromkeys((first, middle, last), "1"))])
    async with pool.acquire() as somebody, somebody.transaction():
        await somebody.execute("update remote_object set at = now() where ref_key = 'b'")
        there = asyncio.create_task(
            ledger.settle([done("e1", epoch, provides=dict.fromkeys((first, middle, last), "1"))])
        )
        back = asyncio.create_task(
            ledger.settle([done("e2", epoch, provides=dict.fromkeys((last, middle, first), "1"))])
        )
        await asyncio.sleep(1)
    assert [*await there, *await back] == [None, None]
