"""The independent check passes a faultless run, and fails when one record anywhere is altered, added or removed."""

from __future__ import annotations

import ast
import copy
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.demo.paper_run import PaperRun, over_the_wire, story

ROOT = Path(__file__).parents[2]
CHECK = ROOT / "tools/verify_demo.py"

DAYS_PLAYED = 4

State = dict[str, Any]


def _loaded() -> Any:
    spec = importlib.util.spec_from_file_location("verify_demo", CHECK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["verify_demo"] = module
    spec.loader.exec_module(module)
    return module


verify_demo = _loaded()


@pytest.fixture(scope="module")
def faultless() -> tuple[State, State, State]:
    """States, setup and status after the first three days, on paper."""
    told = story()
    run = PaperRun(told)
    backs = [back for back in told.happenings.give_backs if back.day < DAYS_PLAYED and not back.new]
    wanted = {
        next(back.sale.store.location for back in backs if (back.sale.store.vendor, back.sale.store.books) == kind)
        for kind in (("square", "qbo-receipts"), ("square", "qbo-journal"))
    }
    wanted |= {
        next(store.location for store in told.stores if (store.vendor, store.books) == ("shopify", books))
        for books in ("qbo-receipts", "qbo-journal")
    }
    kept = {sale.id for sale in told.sales if sale.store.location in wanted}
    people = {sale.person.id for sale in told.sales if sale.id in kept and sale.day < DAYS_PLAYED and sale.person}
    kept |= {back.id for back in backs if back.sale.id in kept}
    for day in told.days[:DAYS_PLAYED]:
        run.play(deed for deed in day if deed.tells in kept | people)
    run.close_days()
    states, setup = run.states(), run.setup()
    _leave_out_what_nobody_bought(states)
    taken = verify_demo.read_taken(states, setup)
    sums: dict[tuple[str, str], int] = {}
    for sale in taken.sales.values():
        place = (sale.location, sale.day)
        sums[place] = sums.get(place, 0) + (0 if sale.void else sale.total)
    for refund in taken.refunds.values():
        place = (refund.location, refund.day)
        sums[place] = sums.get(place, 0) - refund.total
    balance = dict.fromkeys(("aged_out", *verify_demo._TERMS), 0) | {"offered": 5, "delivered": 5}
    status = {
        "targets": [{"name": name, "balance": balance} for name in ("qbo-receipts", "qbo-journal", "hubspot-main")],
        "canonical_days": [{"location": place, "day": day, "minor": minor} for (place, day), minor in sums.items()],
    }
    return states, setup, status


def _leave_out_what_nobody_bought(states: State) -> None:
    """Every test copies the states: without the whole chain's catalogue that is quick."""
    square = states["square"]
    bought = {line.get("catalog_object_id") for order in square["orders"] for line in order.get("line_items") or ()}
    square["catalog"] = [each for each in square["catalog"] if each["id"] in bought]
    states["shopify"]["products"] = []


def test_a_faultless_run_is_well(faultless: tuple[State, State, State]) -> None:
    report = verify_demo.verify(*faultless)
    assert report["failures"] == []
    assert report["taken"]["sales"] > 40
    assert report["taken"]["refunds"] > 0
    assert all(target["records_checked"] > 0 for target in report["targets"].values())
    assert {day["result"] for day in report["days"]} == {"balanced"}


def _receipts(states: State) -> list[State]:
    company = states["quickbooks"]["companies"]["9130000000000001"]
    found: list[State] = company["SalesReceipt"]
    return found


def _refund_receipts(states: State) -> list[State]:
    found: list[State] = states["quickbooks"]["companies"]["9130000000000001"]["RefundReceipt"]
    return found


def _journals(states: State) -> list[State]:
    found: list[State] = states["quickbooks"]["companies"]["9130000000000002"]["JournalEntry"]
    return found


LISTS: dict[str, Callable[[State], list[State]]] = {
    "a Square order": lambda states: states["square"]["orders"],
    "a Square payment": lambda states: states["square"]["payments"],
    "a Square customer": lambda states: states["square"]["customers"],
    "a Shopify order": lambda states: states["shopify"]["orders"],
    "a Shopify customer": lambda states: states["shopify"]["customers"],
    "a sales receipt": _receipts,
    "a refund receipt": _refund_receipts,
    "a journal": _journals,
    "an order in HubSpot": lambda states: states["hubspot"]["orders"],
    "a line item in HubSpot": lambda states: states["hubspot"]["line_items"],
    "a contact in HubSpot": lambda states: states["hubspot"]["contacts"],
}


def _worth_money(record: State) -> bool:
    return record.get("total_money", {"amount": 1})["amount"] != 0 and bool(record.get("line_items", True))


@pytest.mark.parametrize("what", LISTS)
def test_a_record_that_is_gone_is_noticed(faultless: tuple[State, State, State], what: str) -> None:
    states, setup, status = copy.deepcopy(faultless)
    records = LISTS[what](states)
    records.remove(next(record for record in records if _worth_money(record)))
    assert verify_demo.verify(states, setup, status)["failures"]


@pytest.mark.parametrize("what", LISTS)
def test_a_record_too_many_is_noticed(faultless: tuple[State, State, State], what: str) -> None:
    """A copy under another id. (A payment that no order names moves nothing, so that one alone is not.)"""
    states, setup, status = copy.deepcopy(faultless)
    records = LISTS[what](states)
    twin = copy.deepcopy(next(record for record in records if _worth_money(record)))
    name = "Id" if "Id" in twin else "id"
    twin[name] = 4711000000001 if isinstance(twin[name], int) else "4711"
    records.append(twin)
    failures = verify_demo.verify(states, setup, status)["failures"]
    assert failures or what == "a Square payment"


def _order(states: State) -> State:
    found: State = states["hubspot"]["orders"][0]["properties"]
    return found


def _taken_earlier(states: State) -> None:
    paid = {tender["payment_id"] for tender in _sale(states)["tenders"]}
    for payment in states["square"]["payments"]:
        if payment["id"] in paid:
            payment["created_at"] = "2026-10-01T12:00:00Z"


def _moved(states: State) -> None:
    orders = states["shopify"]["orders"]
    elsewhere = {order["location_id"] for order in orders} - {orders[0]["location_id"]}
    orders[0]["location_id"] = min(elsewhere)


def _cheaper_cash(states: State) -> None:
    next(found for found in states["shopify"]["transactions"].values() if found)[0]["amount"] = "0.07"


def _account(states: State) -> State:
    found: State = _journals(states)[0]["Line"][0]["JournalEntryLineDetail"]["AccountRef"]
    return found


ALTERED: dict[str, Callable[[State], object]] = {
    "a Square total": lambda s: _sale(s)["total_money"].update(amount=_sale(s)["total_money"]["amount"] + 1),
    "a Square line": lambda s: _sale(s)["line_items"][0]["gross_sales_money"].update(amount=1),
    "a Square payment": lambda s: s["square"]["payments"][0]["total_money"].update(amount=1),
    "a Square time": _taken_earlier,
    "a Square SKU": lambda s: _variation(s).update(sku="ANOTHER"),
    "a Square customer": lambda s: s["square"]["customers"][0].update(email_address="other@example.org"),
    "a Shopify total": lambda s: s["shopify"]["orders"][0].update(total_price="1.01"),
    "a Shopify transaction": _cheaper_cash,
    "a Shopify store": _moved,
    "a receipt's total": lambda s: _receipts(s)[0].update(TotalAmt=0.01),
    "a receipt's line": lambda s: _receipts(s)[0]["Line"][0].update(Amount=999),
    "a receipt's day": lambda s: _receipts(s)[0].update(TxnDate="2026-01-01"),
    "a receipt's store": lambda s: _receipts(s)[0]["DepartmentRef"].update(value="1"),
    "a refund receipt's total": lambda s: _refund_receipts(s)[0].update(TotalAmt=0.01),
    "a journal's line": lambda s: _journals(s)[0]["Line"][0].update(Amount=0.01),
    "a journal's account": lambda s: _account(s).update(value="81"),
    "a journal's day": lambda s: _journals(s)[0].update(TxnDate="2026-01-01"),
    "an order's total": lambda s: _order(s).update(hs_total_price="0.01"),
    "an order's status": lambda s: _order(s).update(hs_external_order_status="lost"),
    "an order's time": lambda s: _order(s).update(hs_processed_date="2026-01-01T00:00:00Z"),
    "a line item's price": lambda s: s["hubspot"]["line_items"][0]["properties"].update(price="99.99"),
    "a line item's order": lambda s: s["hubspot"]["associations"]["line_items->orders"].pop(),
    "an order's buyer": lambda s: s["hubspot"]["associations"]["orders->contacts"].pop(),
    "a contact's address": lambda s: s["hubspot"]["contacts"][0]["properties"].update(email="other@example.org"),
}


def _sale(states: State) -> State:
    found: State = next(o for o in states["square"]["orders"] if o.get("line_items") and o["total_money"]["amount"])
    return found


def _variation(states: State) -> State:
    wanted = _sale(states)["line_items"][0]["catalog_object_id"]
    found: State = next(o for o in states["square"]["catalog"] if o["id"] == wanted)["item_variation_data"]
    return found


@pytest.mark.parametrize("what", ALTERED)
def test_a_record_that_is_altered_is_noticed(faultless: tuple[State, State, State], what: str) -> None:
    states, setup, status = copy.deepcopy(faultless)
    ALTERED[what](states)
    assert verify_demo.verify(states, setup, status)["failures"]


def test_an_identity_that_does_not_add_up_is_noticed(faultless: tuple[State, State, State]) -> None:
    states, setup, status = copy.deepcopy(faultless)
    status["targets"][0]["balance"]["offered"] += 1
    assert any("not accounted for" in text for text in verify_demo.verify(states, setup, status)["failures"])


def test_what_nobody_counted_is_not_balanced(faultless: tuple[State, State, State]) -> None:
    states, setup, status = copy.deepcopy(faultless)
    del status["canonical_days"][0]
    assert any("unverified" in text for text in verify_demo.verify(states, setup, status)["failures"])


def test_the_command_says_so_by_its_exit_status(faultless: tuple[State, State, State], tmp_path: Path) -> None:
    states, setup, status = copy.deepcopy(faultless)
    for name, value in {**states, "setup": setup}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(value, default=str))
    (tmp_path / "status.json").write_text(json.dumps(status))
    command = [sys.executable, str(CHECK), "--state-dir", str(tmp_path), "--status", str(tmp_path / "status.json")]
    command += ["--out", str(tmp_path / "report.json")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    _receipts(states).pop()
    (tmp_path / "quickbooks.json").write_text(json.dumps(states["quickbooks"], default=str))
    failed = subprocess.run(command, capture_output=True, check=False, text=True)
    assert failed.returncode == 1
    assert "qbo-receipts: lost:" in failed.stderr


def test_it_stands_alone() -> None:
    """Standard library only: what it imports of ours is nothing."""
    imported = set()
    for node in ast.walk(ast.parse(CHECK.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert imported <= sys.stdlib_module_names


def test_days_are_of_the_store(faultless: tuple[State, State, State]) -> None:
    """Half past two in the morning still belongs to the day before, by the store's own clock."""
    from datetime import datetime

    clock = verify_demo.Clock(faultless[1])
    place = next(iter(faultless[1]["stores"]))
    zone = verify_demo.ZoneInfo(faultless[1]["stores"][place]["timezone"])
    late = datetime(2026, 11, 8, 2, 30, tzinfo=zone)
    assert clock.day(place, late) == "2026-11-07"
    assert clock.day(place, late + timedelta(minutes=31)) == "2026-11-08"
    assert over_the_wire({"a": 1}) == {"a": 1}
