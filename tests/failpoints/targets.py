"""The targets whose effects are counted: a simulator for each connection, and what must be stored in it at the end.

They are served by the process that counts, which never crashes; nothing of it is read from the ledger.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Self

from aiohttp import web

from libs.connectors.contract.connector import connector
from libs.connectors.contract.simulator import Simulator
from services.sandbox.app import build
from tests.failpoints.findings import Findings
from tests.failpoints.stories import CLOSED_UNTIL, Story

_TOLD_IN_NOTE = re.compile(r"\b(?:Sale|Refund) ([a-z]+-\d+)\b")
_TIPS = {"Id": "16", "Name": "Tips", "Type": "Service", "IncomeAccountRef": {"value": "95"}, "Active": False}


class Targets:
    """Simulators by connection id, over HTTP. Use as `async with`; `vendors` maps connection to vendor."""

    def __init__(self, vendors: Mapping[str, str]) -> None:
        self.vendors = vendors
        self.simulators: dict[str, Simulator] = {name: connector(v).simulator() for name, v in vendors.items()}
        for name, simulator in self.simulators.items():
            simulator.configure(_OPTIONS[vendors[name]])
            if vendors[name] == "quickbooks":
                simulator.load({"items": [_TIPS]})

    async def __aenter__(self) -> Self:
        # A life that ended waits for no answer, but what it sent has its effect.
        self._runner = web.AppRunner(build(self.simulators), access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def reopen_periods(self) -> None:
        """The accountant opens the closed months again: what waited for that can go out."""
        for name, simulator in self.simulators.items():
            if self.vendors[name] == "quickbooks":
                simulator.configure({"closed_until": None})

    def check(self, name: str, stories: Sequence[Story], findings: Findings) -> None:
        """Compare what is stored with what was told."""
        _CHECKS[self.vendors[name]](self.simulators[name].state(), stories, findings)

    def journal(self, name: str) -> list[Mapping[str, Any]]:
        """All journal entries of a company."""
        [company] = self.simulators[name].state()["companies"].values()
        return list(company.get("JournalEntry", ()))


_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "quickbooks": {"calls_per_minute": None, "calls_per_second": None, "closed_until": CLOSED_UNTIL.isoformat()},
    "hubspot": {"limits": {"calls": 1_000_000, "daily": 100_000_000}},
}


def _check_quickbooks(state: Mapping[str, Any], stories: Sequence[Story], findings: Findings) -> None:
    [company] = state["companies"].values()
    receipts = _by_note(company.get("SalesReceipt", ()))
    refunds = _by_note(company.get("RefundReceipt", ()))
    for told in stories:
        sold, back = receipts[told.sale_id], refunds[told.refund_id]
        if told.role == "poison":
            findings.in_order(f"refund behind the refused {told.sale_id}", not back)
            findings.once(f"receipt of the refused {told.sale_id}", len(sold), 0)
            continue
        findings.once(f"receipt of {told.sale_id}", len(sold), 0 if told.total is None else 1)
        findings.once(f"receipt of {told.refund_id}", len(back), 0 if told.refunded is None else 1)
        for receipt in sold[:1]:
            # QuickBooks counts the changes of each object.
            findings.once(f"changes of {told.sale_id}", int(receipt["SyncToken"]), told.amendments)
            findings.in_order(f"changes of {told.sale_id}", _cents(receipt["TotalAmt"]) == told.total)
        for receipt in back[:1]:
            findings.same(f"amount of {told.refund_id}", _cents(receipt["TotalAmt"]), told.refunded)
        if sold and back:
            findings.in_order(f"{told.refund_id} after its sale", int(sold[0]["Id"]) < int(back[0]["Id"]))
    items = Counter(item["Sku"] for item in company["Item"] if item.get("Sku"))
    for sku in {told.sku for told in stories if told.total is not None and told.role != "poison"}:
        findings.once(f"item {sku}", items[sku])


def _by_note(receipts: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Receipts by the id at the till that a person reads in their note."""
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for receipt in receipts:
        if match := _TOLD_IN_NOTE.search(receipt["PrivateNote"]):
            found[match[1]].append(receipt)
    return found


def _check_hubspot(state: Mapping[str, Any], stories: Sequence[Story], findings: Findings) -> None:
    orders: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for order in state["orders"]:
        orders[order["properties"]["pos_order_id"].rsplit(":", 1)[-1]].append(order)
    lines = Counter(order for order, _line in state["associations"].get("orders->line_items", ()))
    buyers = Counter(order for order, _contact in state["associations"].get("orders->contacts", ()))
    contacts = defaultdict(list)
    for contact in state["contacts"]:
        contacts[contact["properties"].get("pos_customer_id", "").rsplit(":", 1)[-1]].append(contact["properties"])
    for told in stories:
        found = orders[told.sale_id]
        if told.role in ("poison", "orphan"):
            # A refused sale may have its order, without lines; what comes after it must not be seen.
            early = any("pos_refunded_amount" in order["properties"] for order in found)
            findings.in_order(f"refund behind the refused {told.sale_id}", not early)
            findings.once(f"order of {told.sale_id}", max(0, len(found) - (told.role == "poison")), 0)
            continue
        findings.once(f"order of {told.sale_id}", len(found))
        for order in found[:1]:
            values = order["properties"]
            findings.in_order(f"changes of {told.sale_id}", _cents(values["hs_total_price"]) == told.total)
            refunded = values.get("pos_refunded_amount")
            findings.once(f"refund of {told.sale_id}", int(refunded is not None), int(told.refunded is not None))
            findings.once(f"lines of {told.sale_id}", lines[order["id"]])
            findings.once(f"buyer of {told.sale_id}", buyers[order["id"]], int(told.role == "bought"))
        if told.role == "bought":
            known = contacts[f"c{told.number}"]
            findings.once(f"contact of {told.sale_id}", len(known))
            findings.in_order(f"contact of {told.sale_id}", all(c.get("firstname") == "Ana 2" for c in known))


def _cents(amount: Any) -> int:
    return round(Decimal(str(amount)) * 100)


_CHECKS = {"quickbooks": _check_quickbooks, "hubspot": _check_hubspot}
