"""Steps joined into batches, at a real HTTP server: who is to blame when a batch goes wrong, and who is not."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from libs.connectors.contract.manifest import Limits
from libs.connectors.contract.target import Conflict, Done, Invalid, Throttled, UnknownOutcome
from libs.runtime.engine.calls import Call
from libs.runtime.engine.ledger import Fenced
from libs.runtime.limits import Limiter
from tests.engine.plain_target import Vendor, calling, item, perform, serving, shared_item
from tests.system.configuration import SECRETS

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def vendor(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Vendor]:
    """A vendor that answers."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    async with serving(Vendor()) as serves:
        yield serves


@pytest.mark.parametrize(("name", "verdict"), [("bad", Invalid), ("taken", Conflict)])
async def test_one_bad_item_in_a_hundred_is_found_and_the_others_are_done(
    vendor: Vendor, name: str, verdict: type
) -> None:
    """Refused as a whole, for whatever reason that one of them can be to blame for: halved until it stands alone."""
    steps = [item(f"i{n}") for n in range(63)] + [item(name)] + [item(f"i{n}") for n in range(63, 99)]
    async with calling(vendor, None) as caller:
        verdicts = await asyncio.gather(*(perform(caller, step) for step in steps))
    assert [type(v) for v in verdicts] == [verdict if step.name == name else Done for step in steps]
    assert sorted(vendor.made) == sorted(step.name for step in steps if step.name != name)
    assert len(vendor.calls) <= 15


async def test_a_half_that_is_throttled_or_unanswered_says_so_and_the_other_is_done(vendor: Vendor) -> None:
    """After halving, what goes wrong with one part is that part's alone."""
    vendor.throttle, vendor.mute = {2}, {4}
    async with calling(vendor, None) as caller:
        names = ("a", "b", "c", "d", "e", "f", "g", "bad")
        verdicts = await asyncio.gather(*(perform(caller, item(name)) for name in names))
    assert [len(call) for call in vendor.calls] == [8, 4, 4, 2, 2, 1, 1]
    assert [type(v) for v in verdicts] == [Throttled] * 4 + [UnknownOutcome] * 2 + [Done, Invalid]
    assert vendor.made == ["e", "f", "g"]


async def test_results_are_each_items_own(vendor: Vendor) -> None:
    """A refusal inside an answer is of that item."""
    async with calling(vendor, None) as caller:
        verdicts = await asyncio.gather(*(perform(caller, item(name)) for name in ("a", "refused", "b")))
    assert verdicts == [Done("id-a"), Invalid("refused"), Done("id-b")]
    assert len(vendor.calls) == 1


async def test_two_steps_about_one_object_go_one_after_the_other_and_both_go(vendor: Vendor) -> None:
    """Also when the object is one that events share, so that both have the same name in the batch."""
    async with calling(vendor, None) as caller:
        first, second = item("a", target_key="x"), item("b", target_key="x")
        both = (Call(first, "shared"), Call(second, "shared"))
        verdicts = await asyncio.gather(*(caller.perform(call, "key") for call in both))
    assert verdicts == [Done("id-a"), Done("id-b")]
    assert vendor.calls == [["a"], ["b"]]


async def test_who_shares_a_batch_with_what_breaks_the_vendor_goes_alone_next_time(vendor: Vendor) -> None:
    """A 500 for the whole blames nobody; by itself each shows what it is."""
    async with calling(vendor, None) as caller:
        steps = [item(name) for name in ("a", "crash", "b")]
        verdicts = await asyncio.gather(*(perform(caller, step) for step in steps))
        assert all(isinstance(verdict, UnknownOutcome) for verdict in verdicts)
        verdicts = await asyncio.gather(*(perform(caller, step) for step in steps))
    assert [type(v) for v in verdicts] == [Done, UnknownOutcome, Done]


@pytest.mark.parametrize("name", ["unjoinable", "unreadable"])
async def test_a_step_on_which_the_connector_fails_takes_no_other_with_it(vendor: Vendor, name: str) -> None:
    """All are told, and go alone next time."""
    async with calling(vendor, None) as caller:
        steps = [item(n) for n in ("a", name, "b")]
        told = await asyncio.gather(*(perform(caller, step) for step in steps), return_exceptions=True)
        assert all(isinstance(each, KeyError) for each in told)
        told = await asyncio.gather(*(perform(caller, step) for step in steps), return_exceptions=True)
    assert isinstance(told[0], Done)
    assert isinstance(told[2], Done)


async def test_who_gave_up_before_the_call_is_not_sent_for(vendor: Vendor) -> None:
    """A lane that is stopped while its batch waits for leave to call: its event is another replica's by then."""
    limiter = Limiter(Limits(concurrency=1))
    async with calling(vendor, None, limiter=limiter) as caller:
        async with limiter.slot():
            going, staying = (asyncio.create_task(perform(caller, item(name))) for name in ("going", "staying"))
            await asyncio.sleep(0.2)
            going.cancel()
        assert await staying == Done("id-staying")
    assert vendor.calls == [["staying"]]


# Keys over a whole batch --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["none", "whole"])
async def test_who_lost_the_claim_while_waiting_is_not_sent_for(vendor: Vendor, pool: Any, key: str) -> None:
    """Leave to call came late, and one of the batch is another process's by then: the others go without it."""

    async def lost() -> None:
        raise Fenced("in other hands")

    calls = [Call(item(name), f"trace-{name}") for name in "abc"]
    calls[1].cover = lost
    async with calling(vendor, pool, key=key) as caller:
        a, b, c = await asyncio.gather(
            *(caller.perform(call, f"key-{call.trace_id}") for call in calls), return_exceptions=True
        )
    assert isinstance(a, Done)
    assert isinstance(b, Fenced)
    assert isinstance(c, Done)
    assert vendor.made == ["a", "c"]


async def test_an_unanswered_batch_is_sent_again_as_it_was_before_any_of_it_goes_elsewhere(
    vendor: Vendor, pool: Any
) -> None:
    """The same items under the same key, whoever asks first and with whomever; nothing is made twice."""
    async with calling(vendor, pool, key="whole") as caller:
        vendor.mute = {1}
        verdicts = await asyncio.gather(*(perform(caller, item(name)) for name in ("a", "b", "c")))
        assert all(isinstance(verdict, UnknownOutcome) for verdict in verdicts)
        verdicts = await asyncio.gather(*(perform(caller, item(name)) for name in ("b", "new")))
        assert verdicts == [Done("id-b"), Done("id-new")]
        assert await perform(caller, item("a")) == Done("id-a")
    assert vendor.calls == [["a", "b", "c"], ["a", "b", "c"], ["new"]]
    assert sorted(vendor.made) == ["a", "b", "c", "new"]
    assert not vendor.key_misused


async def test_another_process_takes_up_the_batch_of_one_that_crashed(vendor: Vendor, pool: Any) -> None:
    """It knows one of the events only; the others' results wait for them."""
    vendor.slow = 0.3
    async with calling(vendor, pool, key="whole") as crashing:
        lost = [asyncio.create_task(perform(crashing, item(name))) for name in ("a", "b")]
        await asyncio.sleep(0.15)
        assert len(vendor.calls) == 1, "it is under way"
    await asyncio.gather(*lost, return_exceptions=True)
    await asyncio.sleep(0.4)
    async with calling(vendor, pool, key="whole") as second:
        assert await perform(second, item("b")) == Done("id-b")
    async with calling(vendor, pool, key="whole") as third:
        assert await perform(third, item("a")) == Done("id-a")
    assert vendor.calls == [["a", "b"], ["a", "b"]]
    assert sorted(vendor.made) == ["a", "b"]
    assert not vendor.key_misused


async def test_a_changed_composition_has_another_key(vendor: Vendor, pool: Any) -> None:
    """Halves of a refused batch, and what comes after an answer, each have their own; a refused item may come again."""
    async with calling(vendor, pool, key="whole") as caller:
        names = ("a", "bad", "refused", "b")
        verdicts = await asyncio.gather(*(perform(caller, item(name)) for name in names))
        assert [type(v) for v in verdicts] == [Done, Invalid, Invalid, Done]
        assert isinstance(await perform(caller, item("refused")), Invalid)
    assert vendor.calls == [["a", "bad", "refused", "b"], ["a", "bad"], ["a"], ["bad"], ["refused", "b"], ["refused"]]
    assert not vendor.key_misused
    assert sorted(vendor.made) == ["a", "b"]
    left = await pool.fetchval("select count(*) from batch_composition where answer is null")
    assert left == 0, "nothing is in doubt"


async def test_a_key_that_the_vendor_forgot_is_not_relied_on(vendor: Vendor, pool: Any) -> None:
    """Beyond the horizon the composition is let go; that it may be sent was found out otherwise, before."""
    async with calling(vendor, pool, key="whole", horizon=1) as caller:
        vendor.mute = {1}
        await asyncio.gather(*(perform(caller, item(name)) for name in ("a", "b")))
        await asyncio.sleep(1.1)
        assert await perform(caller, item("b")) == Done("id-b")
    assert vendor.calls == [["a", "b"], ["b"]]


# Objects that several events need -----------------------------------------------------------------------------------


async def test_two_processes_make_a_shared_object_once(vendor: Vendor, pool: Any, database: str) -> None:
    """Both have sales of the same new items at the same moment, at a vendor that knows no keys."""
    vendor.slow = 0.05
    names = [f"sku-{n}" for n in range(12)]
    command = [sys.executable, "-m", "tests.engine.making_caller", database, vendor.url, *names]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    both = [
        await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment, stdin=PIPE, stdout=PIPE)
        for _ in range(2)
    ]
    for process in both:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    await asyncio.gather(*(process.communicate(b"go\n") for process in both))
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(vendor.made) == sorted(names)
    assert await pool.fetchval("select count(*) from creation_lease") == 0


async def test_two_events_of_one_process_make_a_shared_object_once(vendor: Vendor, pool: Any) -> None:
    """The second asks after the first has made it."""
    vendor.slow = 0.05
    async with calling(vendor, pool) as caller:
        verdicts = await asyncio.gather(*(perform(caller, shared_item("sku"), event) for event in ("sale-1", "sale-2")))
    assert vendor.made == ["sku"]
    assert sorted(v.already for v in verdicts if isinstance(v, Done)) == [False, True]


async def test_a_question_that_is_throttled_holds_back_the_next_call(vendor: Vendor) -> None:
    """Look-ups are calls too: what the vendor says to them is heeded."""
    vendor.throttle = {1}
    async with calling(vendor, None) as caller:
        assert isinstance(await perform(caller, shared_item("sku")), Throttled)
        begun = time.monotonic()
        assert isinstance(await perform(caller, shared_item("sku")), Done)
        assert time.monotonic() - begun >= 0.3
    assert vendor.made == ["sku"]
