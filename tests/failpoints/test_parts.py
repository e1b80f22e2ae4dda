"""The parts of the trial by themselves: how a process dies, and that everything amiss at a target is counted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from libs.runtime.failpoints import EXIT_CODE, arm
from tests.failpoints.findings import Findings
from tests.failpoints.stories import Story, story
from tests.failpoints.targets import Targets

_PASSING = "from libs.runtime.failpoints import failpoint\nfor n in range(9): print(n, flush=True); failpoint('here')"


def _process(order: str, mark: Path | None = None) -> subprocess.Popen[str]:
    env = {**os.environ, "TILLSTREAM_FAILPOINT": order, "TILLSTREAM_FAILPOINT_MARK": str(mark or "")}
    return subprocess.Popen([sys.executable, "-c", _PASSING], env=env, stdout=subprocess.PIPE, text=True)


def test_a_process_ends_at_the_passing_that_was_named() -> None:
    """The third time, without another line."""
    process = _process("here:3")
    told, _ = process.communicate(timeout=60)
    assert (told.split(), process.returncode) == (["0", "1", "2"], EXIT_CODE)


def test_another_place_is_passed() -> None:
    """Only the named place is deadly."""
    process = _process("elsewhere:1")
    told, _ = process.communicate(timeout=60)
    assert (len(told.split()), process.returncode) == (9, 0)


def test_a_held_process_stands_still_until_it_is_killed(tmp_path: Path) -> None:
    """Its mark tells when; nothing goes on meanwhile."""
    mark = tmp_path / "held"
    process = _process("here:2:hold", mark)
    while not mark.exists():
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.2)
    assert process.poll() is None
    process.kill()
    told, _ = process.communicate(timeout=60)
    assert (told.split(), process.returncode) == (["0", "1"], -signal.SIGKILL)


@pytest.mark.parametrize(("order", "mark"), [("", None), ("here:1:hold", None), ("here:1:stop", None), ("here:1", "m")])
def test_an_order_without_sense_is_refused(order: str, mark: str | None) -> None:
    """Rather than a test that kills nothing."""
    with pytest.raises(ValueError, match="failpoint"):
        arm(order, mark)


def test_a_story_is_always_the_same() -> None:
    """A seed repeats a run; another seed has other amounts."""
    assert [story(n, 1) for n in range(40)] == [story(n, 1) for n in range(40)]
    assert [story(n, 1).total for n in range(40)] != [story(n, 2).total for n in range(40)]
    roles = [story(n, 1).role for n in range(20)]
    assert {"plain", "amended", "refunded", "closed", "poison", "orphan", "bought"} == set(roles)


AMENDED, REFUNDED = story(1, 1), story(3, 1)


def _company() -> dict[str, Any]:
    """QuickBooks as it must be after an amended and a refunded sale."""
    assert AMENDED.total is not None
    assert REFUNDED.total is not None
    receipts = [
        _receipt(1, AMENDED, "Sale", AMENDED.sale_id, AMENDED.total, changes=AMENDED.amendments),
        _receipt(2, REFUNDED, "Sale", REFUNDED.sale_id, REFUNDED.total),
    ]
    back = [_receipt(3, REFUNDED, "Refund", REFUNDED.refund_id, REFUNDED.total)]
    items = [{"Id": "9", "Sku": sku} for sku in (AMENDED.sku, REFUNDED.sku)]
    return {"companies": {"1": {"SalesReceipt": receipts, "RefundReceipt": back, "Item": items}}}


def _receipt(number: int, told: Story, what: str, name: str, cents: int, changes: int = 0) -> dict[str, Any]:
    return {
        "Id": str(number), "SyncToken": str(changes), "TotalAmt": cents / 100,
        "PrivateNote": f"{told.sale_id} {what} {name}, location L1.",
    }  # fmt: skip


def _counted(change: Callable[[dict[str, Any]], Any]) -> tuple[int, int, int, int]:
    state = deepcopy(_company())
    change(state["companies"]["1"])
    targets = Targets({"books": "quickbooks"})
    targets.simulators["books"].state = lambda: state  # type: ignore[method-assign]
    findings = Findings()
    targets.check("books", [AMENDED, REFUNDED], findings)
    return findings.lost, findings.doubled, findings.out_of_order, findings.mismatch


def test_what_is_as_it_must_be_is_no_finding() -> None:
    """Both sales, the change and the refund are there once."""
    assert _counted(lambda company: None) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("change", "counted"),
    [
        (lambda c: c["RefundReceipt"].clear(), (1, 0, 0, 0)),
        (lambda c: c["SalesReceipt"].pop(1), (1, 0, 0, 0)),
        (lambda c: c["SalesReceipt"].append({**c["SalesReceipt"][1], "Id": "4"}), (0, 1, 0, 0)),
        (lambda c: c["SalesReceipt"][0].update(SyncToken=str(AMENDED.amendments + 1)), (0, 1, 0, 0)),
        (lambda c: c["SalesReceipt"][0].update(TotalAmt=0.01), (0, 0, 1, 0)),
        (lambda c: c["SalesReceipt"][1].update(Id="5"), (0, 0, 1, 0)),
        (lambda c: c["RefundReceipt"][0].update(TotalAmt=0.01), (0, 0, 0, 1)),
        (lambda c: c["Item"].append(c["Item"][0]), (0, 1, 0, 0)),
    ],
    ids=[
        "refund lost",
        "sale lost",
        "receipt twice",
        "change twice",
        "older change last",
        "refund first",
        "cents",
        "item twice",
    ],
)
def test_whatever_is_amiss_is_counted(
    change: Callable[[dict[str, Any]], Any], counted: tuple[int, int, int, int]
) -> None:
    """Each kind of damage has its column."""
    assert _counted(change) == counted
