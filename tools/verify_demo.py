"""Does everything that the tills took stand in the books and in the CRM, once, to the cent?

    python tools/verify_demo.py --sandbox URL --setup setup.json --status status.json --out report.json
    python tools/verify_demo.py --state-dir state --status status.json --out report.json

An independent check: the standard library only, nothing of libs/ or services/. It reads what the vendors' simulators
hold, works out from the tills' side alone what must be in the books and in the CRM, and compares record by record.
`--setup` says which store goes to which books and what the account and item ids mean; `--status` is what `till status`
counted (the identity of each connection) and what the books hold per day. `--save DIR` keeps what was read, and
`--state-dir DIR` checks that instead of asking. Exits 0 when all is well, 1 when something is not, 2 when used wrongly.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

VENDORS = ("square", "shopify", "quickbooks", "hubspot")
JSON = dict[str, Any]

_TERMS = ("delivered", "superseded", "filtered", "shadowed", "discarded", "parked", "dead", "claimed", "waiting")
_OPEN_TERMS = ("parked", "dead", "claimed", "waiting")


# What the tills took -------------------------------------------------------------------------------------------------


@dataclass
class Line:
    """A line sold or brought back; cents."""

    key: str
    name: str
    sku: str | None
    quantity: Decimal
    gross: int
    off: int
    tax: int

    @property
    def net(self) -> int:
        return self.gross - self.off


@dataclass
class Sale:
    """A sale as the till's vendor holds it. `stray`: cents of the total that no part of it explains."""

    key: str
    location: str
    day: str
    at: datetime
    total: int
    tip: int
    lines: list[Line]
    tenders: Counter[str]
    customer: str | None
    void: bool = False
    refunded: int = 0

    @property
    def tax(self) -> int:
        return sum(line.tax for line in self.lines)

    @property
    def stray(self) -> int:
        return self.total - self.tip - sum(line.net + line.tax for line in self.lines)


@dataclass
class Refund:
    """Money or goods given back; cents, positive."""

    key: str
    sale: str
    location: str
    day: str
    total: int
    lines: list[Line]
    tenders: Counter[str]

    @property
    def tax(self) -> int:
        return sum(line.tax for line in self.lines)


@dataclass
class Taken:
    """Everything that the tills took and gave back, and who their customers are."""

    sales: dict[str, Sale] = field(default_factory=dict)
    refunds: dict[str, Refund] = field(default_factory=dict)
    customers: dict[str, dict[str, str | None]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def cents(amount: Any) -> int:
    """Whole cents of an amount in dollars; raises ValueError when there are fractions of one."""
    exact = Decimal(str(amount)) * 100
    if exact != exact.to_integral_value():
        raise ValueError(f"{amount} is no whole number of cents")
    return int(exact)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


class Clock:
    """Which business day a moment belongs to, by the store's zone and the chain's cut-off."""

    def __init__(self, setup: JSON) -> None:
        self._zones = {place: ZoneInfo(store["timezone"]) for place, store in setup["stores"].items()}
        self._cut_off = time.fromisoformat(setup["cut_off"])

    def day(self, location: str, at: datetime) -> str:
        local = at.astimezone(self._zones[location])
        early = local.time() < self._cut_off
        return (local.date() - timedelta(days=1) if early else local.date()).isoformat()


def read_square(state: JSON, setup: JSON, taken: Taken) -> None:
    """Square's orders, payments, refunds and customers."""
    account, clock = f"square:{setup['accounts']['square']}", Clock(setup)
    payments = {each["id"]: each for each in state["payments"]}
    orders = {each["id"]: each for each in state["orders"]}
    skus = {each["id"]: (each.get("item_variation_data") or {}).get("sku") for each in state["catalog"]}
    for order in orders.values():
        if order.get("line_items"):
            sale = _square_sale(order, payments, skus, account, clock, taken)
            taken.sales[sale.key] = sale
            for returned in order.get("returns") or ():
                refund = _square_exchange(order, returned, skus, account, sale)
                taken.refunds[refund.key] = refund
    groups: dict[tuple[str, str], list[JSON]] = defaultdict(list)
    for refund in state["refunds"]:
        if refund["status"] == "COMPLETED":
            payment = payments.get(refund["payment_id"])
            if payment is None:
                taken.faults.append(f"square: refund {refund['id']} is of payment {refund['payment_id']}, not there")
                continue
            groups[payment["order_id"], refund["order_id"]].append(refund)
    for (sale_id, order_id), members in groups.items():
        found = _square_refund(members, orders.get(order_id), payments, skus, account, sale_id, clock, taken)
        taken.refunds[found.key] = found
    for each in state["customers"]:
        taken.customers[f"{account}:customer:{each['id']}"] = {
            "email": each.get("email_address"), "firstname": each.get("given_name"),
            "lastname": each.get("family_name"), "phone": each.get("phone_number"),
        }  # fmt: skip


def _square_way(card: JSON | None, source: str) -> str:
    if (card or {}).get("card_brand") == "SQUARE_GIFT_CARD":
        return "gift_card"
    return {"CARD": "card", "CASH": "cash"}[source]


def _square_sale(order: JSON, payments: JSON, skus: JSON, account: str, clock: Clock, taken: Taken) -> Sale:
    tenders: Counter[str] = Counter()
    moments = []
    for tender in order.get("tenders") or ():
        payment = payments.get(tender["payment_id"])
        if payment is None:
            taken.faults.append(f"square: order {order['id']} is paid by {tender['payment_id']}, which is not there")
            continue
        if payment["total_money"] != tender["amount_money"] or payment["status"] != "COMPLETED":
            taken.faults.append(f"square: order {order['id']} and its payment {payment['id']} disagree")
        way = _square_way((payment.get("card_details") or {}).get("card"), payment["source_type"])
        tenders[way] += tender["amount_money"]["amount"]
        offline = (payment.get("offline_payment_details") or {}).get("client_created_at")
        moments.append(_moment(offline or payment["created_at"]))
    at = max(moments) if moments else _moment(order["closed_at"])
    total = order["total_money"]["amount"]
    if order.get("returns"):
        tenders["exchange"] += total - sum(tenders.values())
    customer = order.get("customer_id")
    return Sale(
        key=f"{account}:sale:{order['id']}", location=order["location_id"],
        day=clock.day(order["location_id"], at), at=at, total=total, tip=order["total_tip_money"]["amount"],
        lines=[_square_line(line, skus, "gross_sales_money") for line in order["line_items"]], tenders=tenders,
        customer=f"{account}:customer:{customer}" if customer else None,
    )  # fmt: skip


def _square_line(line: JSON, skus: JSON, gross: str) -> Line:
    return Line(
        key=line["uid"], name=line["name"], sku=skus.get(line.get("catalog_object_id") or ""),
        quantity=Decimal(line["quantity"]), gross=line[gross]["amount"],
        off=sum(each["applied_money"]["amount"] for each in line["applied_discounts"]),
        tax=sum(each["applied_money"]["amount"] for each in line["applied_taxes"]),
    )  # fmt: skip


def _square_exchange(order: JSON, returned: JSON, skus: JSON, account: str, sale: Sale) -> Refund:
    total = returned["return_amounts"]["total_money"]["amount"]
    return Refund(
        key=f"{account}:refund:{order['id']}:{returned['uid']}",
        sale=f"{account}:sale:{returned['source_order_id']}", location=sale.location, day=sale.day, total=total,
        lines=[_square_line(line, skus, "gross_return_money") for line in returned["return_line_items"]],
        tenders=Counter({"exchange": total}),
    )  # fmt: skip


def _square_refund(
    members: list[JSON], order: JSON | None, payments: JSON, skus: JSON, account: str, sale_id: str, clock: Clock,
    taken: Taken,
) -> Refund:  # fmt: skip
    members = sorted(members, key=lambda each: (each["created_at"], each["id"]))
    first, tenders = members[0], Counter[str]()
    for each in members:
        payment = payments[each["payment_id"]]
        way = _square_way((payment.get("card_details") or {}).get("card"), payment["source_type"])
        tenders[way] += each["amount_money"]["amount"]
        if each["id"] not in (payment.get("refund_ids") or ()):
            taken.faults.append(f"square: payment {payment['id']} does not list its refund {each['id']}")
    if order is None:
        taken.faults.append(f"square: refund {first['id']} names order {first['order_id']}, which is not there")
    lines = [line for returned in (order or {}).get("returns") or () for line in returned["return_line_items"]]
    return Refund(
        key=f"{account}:refund:{first['id']}", sale=f"{account}:sale:{sale_id}", location=first["location_id"],
        day=clock.day(first["location_id"], _moment(first["created_at"])), total=sum(tenders.values()),
        lines=[_square_line(line, skus, "gross_return_money") for line in lines], tenders=tenders,
    )  # fmt: skip


_GATEWAYS = {"shopify_payments": "card", "cash": "cash", "gift_card": "gift_card"}


def read_shopify(state: JSON, setup: JSON, taken: Taken) -> None:
    """Shopify's orders with their transactions and refunds, and its customers."""
    account, clock = f"shopify:{setup['accounts']['shopify']}", Clock(setup)
    for order in state["orders"]:
        sale = _shopify_sale(order, state["transactions"].get(str(order["id"])) or [], account, clock)
        taken.sales[sale.key] = sale
        for record in order["refunds"]:
            refund = _shopify_refund(record, order, account, sale, clock)
            taken.refunds[refund.key] = refund
    for each in state["customers"]:
        taken.customers[f"{account}:customer:{each['id']}"] = {
            "email": each.get("email"), "firstname": each.get("first_name"), "lastname": each.get("last_name"),
            "phone": each.get("phone"),
        }  # fmt: skip


def _shopify_sale(order: JSON, transactions: list[JSON], account: str, clock: Clock) -> Sale:
    tenders: Counter[str] = Counter()
    for each in transactions:
        sign = {"sale": 1, "capture": 1, "change": -1}.get(each["kind"], 0) if each["status"] == "success" else 0
        if sign:
            tenders[_GATEWAYS[each["gateway"]]] += sign * cents(each["amount"])
    location, at = str(order["location_id"]), _moment(order["processed_at"])
    customer = (order.get("customer") or {}).get("id")
    return Sale(
        key=f"{account}:sale:{order['id']}", location=location, day=clock.day(location, at), at=at,
        total=cents(order["total_price"]), tip=cents(order["total_tip_received"]),
        lines=[_shopify_line(line) for line in order["line_items"]], tenders=tenders,
        customer=f"{account}:customer:{customer}" if customer else None,
        void=bool(order["cancelled_at"]) and not order["refunds"],
    )  # fmt: skip


def _shopify_line(line: JSON) -> Line:
    quantity = Decimal(line["quantity"])
    return Line(
        key=str(line["id"]), name=line["name"], sku=line["sku"], quantity=quantity,
        gross=int((cents(line["price"]) * quantity).to_integral_value(ROUND_HALF_EVEN)),
        off=sum(cents(each["amount"]) for each in line["discount_allocations"]),
        tax=sum(cents(each["price"]) for each in line["tax_lines"]),
    )  # fmt: skip


def _shopify_refund(record: JSON, order: JSON, account: str, sale: Sale, clock: Clock) -> Refund:
    sold = {str(line["id"]): line for line in order["line_items"]}
    lines = []
    for each in record["refund_line_items"]:
        line, net = sold[str(each["line_item_id"])], cents(each["subtotal"])
        lines.append(
            Line(
                str(each["id"]), line["name"], line["sku"], Decimal(each["quantity"]), net, 0, cents(each["total_tax"])
            )
        )
    tenders: Counter[str] = Counter()
    for each in record["transactions"]:
        if each["kind"] == "refund" and each["status"] == "success":
            tenders[_GATEWAYS[each["gateway"]]] += cents(each["amount"])
    return Refund(
        key=f"{account}:refund:{record['id']}", sale=sale.key, location=sale.location,
        day=clock.day(sale.location, _moment(record["processed_at"])), total=sum(tenders.values()), lines=lines,
        tenders=tenders,
    )  # fmt: skip


def read_taken(states: JSON, setup: JSON) -> Taken:
    """The tills' side, with what does not fit together already there."""
    taken = Taken()
    read_square(states["square"], setup, taken)
    read_shopify(states["shopify"], setup, taken)
    for refund in taken.refunds.values():
        sale = taken.sales.get(refund.sale)
        if sale is None:
            taken.faults.append(f"refund {refund.key} is of a sale that is not there: {refund.sale}")
        else:
            sale.refunded += refund.total
        if sum(line.net + line.tax for line in refund.lines) != refund.total:
            taken.faults.append(f"refund {refund.key}: its goods are not worth what was paid out")
    for sale in taken.sales.values():
        if sum(sale.tenders.values()) != sale.total:
            taken.faults.append(f"sale {sale.key}: {sum(sale.tenders.values())} cents paid of {sale.total}")
    return taken


# What a target holds -------------------------------------------------------------------------------------------------


@dataclass
class Findings:
    """What was found at one target. `wrong` names the record and the first figure that is not as it must be."""

    checked: int = 0
    lost: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def expect(self, what: str, figure: str, found: Any, due: Any) -> bool:
        """Note a difference; True when there is none."""
        if found == due:
            return True
        self.wrong.append(f"{what}: {figure} is {found}, must be {due}")
        return False


def _first_line(note: Any) -> str:
    return str(note or "").partition("\n")[0]


def _one_each(found: Iterable[tuple[str, JSON]], due: Mapping[str, Any], findings: Findings) -> dict[str, JSON]:
    """The one record of each key that is due; the others are duplicates or strangers, the absent ones lost."""
    kept: dict[str, JSON] = {}
    for key, record in found:
        if key not in due or key in kept:
            findings.duplicates.append(f"{'a second record of' if key in kept else 'a record of nothing known:'} {key}")
        else:
            kept[key] = record
    findings.lost += [key for key in due if key not in kept]
    findings.checked += len(kept)
    return kept


def _main_tender(tenders: Mapping[str, int]) -> int:
    """What a receipt deposits: its largest tender of money. A gift card is no money but a promise redeemed."""
    return max((amount for way, amount in tenders.items() if way != "gift_card"), default=0)


def check_receipts(company: JSON, taken: Taken, setup: JSON, books: str) -> tuple[Findings, dict[tuple[str, str], int]]:
    """One sales receipt for each sale that moved money, one refund receipt for each refund; and each day's sum."""
    findings = Findings()
    mine = {place for place, store in setup["stores"].items() if store["books"] == books}
    moved = {
        key: sale for key, sale in taken.sales.items()
        if sale.location in mine and (sale.total or any(line.net or line.tax for line in sale.lines))
    }  # fmt: skip
    refunds = {key: refund for key, refund in taken.refunds.items() if refund.location in mine}
    receipts = _one_each(_by_sale(company.get("SalesReceipt") or (), moved), moved, findings)
    paid_out = _one_each(
        ((_first_line(each.get("PrivateNote")), each) for each in company.get("RefundReceipt") or ()), refunds, findings
    )
    findings.duplicates += [f"journal {each['Id']} in {books}" for each in company.get("JournalEntry") or ()]
    days: dict[tuple[str, str], int] = defaultdict(int)
    for key, receipt in receipts.items():
        sale = moved[key]
        figures = _receipt_figures(receipt, setup)
        days[sale.location, sale.day] += figures.pop("worth")
        due = _sale_figures(sale)
        _compare_receipt(findings, key, receipt, figures, due, sale.day, sale.location, setup)
    for key, receipt in paid_out.items():
        refund = refunds[key]
        figures = _receipt_figures(receipt, setup)
        days[refund.location, refund.day] -= figures.pop("worth")
        due = _refund_figures(refund)
        _compare_receipt(findings, key, receipt, figures, due, refund.day, refund.location, setup)
    numbers = Counter(each.get("DocNumber") for each in [*receipts.values(), *paid_out.values()])
    findings.wrong += [f"document number {number} is used {n} times" for number, n in numbers.items() if n > 1]
    return findings, days


def _by_sale(receipts: Iterable[JSON], due: Mapping[str, Any]) -> Iterator[tuple[str, JSON]]:
    """A receipt that was changed names, behind the sale, the event that changed it."""
    for each in receipts:
        note = _first_line(each.get("PrivateNote"))
        yield (note if note in due else note.rpartition(":")[0] if note.rpartition(":")[0] in due else note), each


def _sale_figures(sale: Sale) -> dict[str, int]:
    if sale.void:
        return dict.fromkeys(("total", "goods", "tax", "tips", "difference", "other tenders"), 0)
    return {
        "total": _main_tender(sale.tenders),
        "goods": sum(line.net for line in sale.lines),
        "tax": sale.tax,
        "tips": sale.tip,
        "difference": sale.stray,
        "other tenders": _main_tender(sale.tenders) - sale.total,
    }


def _refund_figures(refund: Refund) -> dict[str, int]:
    deposit = _main_tender(refund.tenders)
    goods = sum(line.net for line in refund.lines)
    return {
        "total": deposit, "goods": goods, "tax": refund.tax, "tips": 0,
        "difference": refund.total - goods - refund.tax, "other tenders": deposit - refund.total,
    }  # fmt: skip


def _receipt_figures(receipt: JSON, setup: JSON) -> dict[str, int]:
    """The receipt's lines summed by what their items stand for; `worth` is what was sold, however it was paid."""
    items = setup["receipt_items"]
    meaning = dict.fromkeys(items["tenders"], "other tenders")
    meaning |= {item: name for name in ("goods", "tax", "tips", "difference") for item in items[name]}
    figures = dict.fromkeys(("goods", "tax", "tips", "difference", "other tenders"), 0)
    for line in receipt["Line"]:
        if line["DetailType"] == "SalesItemLineDetail":
            figures[meaning[line["SalesItemLineDetail"]["ItemRef"]["value"]]] += cents(line["Amount"])
    worth = sum(amount for name, amount in figures.items() if name != "other tenders")
    return {"total": cents(receipt["TotalAmt"]), **figures, "worth": worth}


def _compare_receipt(
    findings: Findings, key: str, receipt: JSON, figures: JSON, due: JSON, day: str, location: str, setup: JSON
) -> None:
    fits = [
        findings.expect(key, "the date", receipt["TxnDate"], day),
        findings.expect(key, "the store", receipt["DepartmentRef"]["value"], setup["stores"][location]["department"]),
    ]
    fits += [findings.expect(key, name, figures[name], amount) for name, amount in due.items() if all(fits)]


def check_journal(company: JSON, taken: Taken, setup: JSON, books: str) -> tuple[Findings, dict[tuple[str, str], int]]:
    """For each store and day the journals' revisions add up to the day's figures; each day's sum of tenders."""
    findings = Findings()
    due = _days_due(taken, setup, books)
    names = {_day_key(setup, *place): place for place in due}
    revisions: dict[tuple[str, str], dict[int, JSON]] = defaultdict(dict)
    for entry in company.get("JournalEntry") or ():
        name, _, revision = _first_line(entry.get("PrivateNote")).rpartition(":v")
        place = names.get(name)
        if place is None or not revision.isdecimal() or int(revision) in revisions[place]:
            findings.duplicates.append(f"journal {entry.get('DocNumber')} of {name or 'nothing known'}")
            continue
        revisions[place][int(revision)] = entry
    strangers = [*(company.get("SalesReceipt") or ()), *(company.get("RefundReceipt") or ())]
    findings.duplicates += [f"receipt {each['Id']} in {books}" for each in strangers]
    days: dict[tuple[str, str], int] = {}
    for place, figures in sorted(due.items()):
        location, day = place
        what = f"{setup['stores'][location]['name']} on {day}"
        entries = revisions.get(place) or {}
        if not entries:
            if any(figures.values()):
                findings.lost.append(f"{what}: no journal")
            continue
        findings.checked += len(entries)
        findings.expect(what, "the revisions", sorted(entries), list(range(1, len(entries) + 1)))
        found: Counter[str] = Counter()
        for entry in entries.values():
            findings.expect(f"{what} ({entry['DocNumber']})", "the date", entry["TxnDate"], day)
            found.update(_journal_figures(entry, what, location, setup, findings))
        days[place] = sum(amount for name, amount in found.items() if name.startswith("paid by "))
        for name in sorted({*figures, *found}):
            findings.expect(what, name, found[name], figures[name])
    numbers = Counter(each.get("DocNumber") for each in company.get("JournalEntry") or ())
    findings.wrong += [f"journal number {number} is used {n} times" for number, n in numbers.items() if n > 1]
    return findings, days


def _day_key(setup: JSON, location: str, day: str) -> str:
    vendor = setup["stores"][location]["vendor"]
    return f"{vendor}:{setup['accounts'][vendor]}:day:{location}:{day}:{setup['currency']}"


def _days_due(taken: Taken, setup: JSON, books: str) -> dict[tuple[str, str], Counter[str]]:
    days: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    mine = {place for place, store in setup["stores"].items() if store["books"] == books}
    for sale in taken.sales.values():
        if sale.location in mine:
            day = days[sale.location, sale.day]
            if not sale.void:
                day["sales"] += sum(line.gross for line in sale.lines)
                day["discounts"] -= sum(line.off for line in sale.lines)
                day["tax"] += sale.tax
                day["tips"] += sale.tip
                day["difference"] += sale.stray
                day.update({f"paid by {way}": amount for way, amount in sale.tenders.items()})
    for refund in taken.refunds.values():
        if refund.location in mine:
            day = days[refund.location, refund.day]
            day["returns"] -= sum(line.net for line in refund.lines)
            day["tax"] -= refund.tax
            day.subtract({f"paid by {way}": amount for way, amount in refund.tenders.items()})
    return days


def _journal_figures(entry: JSON, what: str, location: str, setup: JSON, findings: Findings) -> Counter[str]:
    accounts = setup["journal_accounts"]
    meaning = {account: f"paid by {way}" for account, way in accounts["tenders"].items()}
    meaning |= {
        account: name
        for name in ("sales", "discounts", "returns", "tax", "tips", "difference")
        for account in accounts[name]
    }
    figures: Counter[str] = Counter()
    balance = 0
    for line in entry["Line"]:
        detail = line["JournalEntryLineDetail"]
        amount = cents(line["Amount"]) * (1 if detail["PostingType"] == "Credit" else -1)
        balance += amount
        name = meaning.get(detail["AccountRef"]["value"], f"account {detail['AccountRef']['value']}")
        figures[name] += -amount if name.startswith("paid by ") else amount
        findings.expect(what, "the store", detail["DepartmentRef"]["value"], setup["stores"][location]["department"])
    findings.expect(f"{what} ({entry['DocNumber']})", "debits less credits", -balance, 0)
    debits = sum(
        cents(line["Amount"]) for line in entry["Line"] if line["JournalEntryLineDetail"]["PostingType"] == "Debit"
    )
    findings.expect(f"{what} ({entry['DocNumber']})", "the total", cents(entry["TotalAmt"]), debits)
    return figures


def check_hubspot(state: JSON, taken: Taken, setup: JSON) -> Findings:
    """One order for each sale with its lines, refunds and buyer; one contact for each customer."""
    findings = Findings()
    living = {
        kind: [each for each in state[kind] if not each["archived"]] for kind in ("orders", "line_items", "contacts")
    }
    orders = _one_each(_keyed(living["orders"], "pos_order_id"), taken.sales, findings)
    due_lines = {f"{sale.key}:line:{line.key}": (sale, line) for sale in taken.sales.values() for line in sale.lines}
    lines = _one_each(_keyed(living["line_items"], "pos_line_id"), due_lines, findings)
    contacts = _one_each(_keyed(living["contacts"], "pos_customer_id"), taken.customers, findings)
    order_of = _pairs(state, "line_items->orders")
    buyers = _pairs(state, "orders->contacts")
    for key, order in orders.items():
        _compare_order(findings, key, order["properties"], taken.sales[key], setup)
        customer = taken.sales[key].customer
        due = {contacts[customer]["id"]} if customer in contacts else set()
        findings.expect(key, "the buyer", buyers.get(order["id"], set()), due)
    for key, item in lines.items():
        sale, line = due_lines[key]
        _compare_line(findings, key, item["properties"], line)
        due = {orders[sale.key]["id"]} if sale.key in orders else set()
        findings.expect(key, "its order", order_of.get(item["id"], set()), due)
    for key, contact in contacts.items():
        for name, value in taken.customers[key].items():
            findings.expect(key, name, contact["properties"].get(name), value)
    return findings


def _keyed(records: Iterable[JSON], name: str) -> Iterator[tuple[str, JSON]]:
    for each in records:
        yield each["properties"].get(name) or f"record {each['id']} without {name}", each


def _pairs(state: JSON, name: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for one, other in state["associations"].get(name) or ():
        found[one].add(other)
    return found


def _compare_order(findings: Findings, key: str, properties: JSON, sale: Sale, setup: JSON) -> None:
    status = "voided" if sale.void else "has_refund" if sale.refunded else "completed"
    due = {
        "hs_total_price": sale.total, "hs_tax": sale.tax, "hs_order_discount": sum(line.off for line in sale.lines),
        "hs_subtotal_price": sum(line.gross for line in sale.lines), "pos_refunded_amount": sale.refunded,
    }  # fmt: skip
    for name, amount in due.items():
        findings.expect(key, name, cents(properties.get(name, "0")), amount)
    findings.expect(key, "the store", properties.get("hs_source_store"), setup["stores"][sale.location]["name"])
    findings.expect(key, "the currency", properties.get("hs_currency_code"), setup["currency"])
    findings.expect(key, "the status", properties.get("hs_external_order_status"), status)
    findings.expect(key, "the time", _moment(properties["hs_processed_date"]), sale.at.astimezone(UTC))


def _compare_line(findings: Findings, key: str, properties: JSON, line: Line) -> None:
    quantity = Decimal(properties["quantity"])
    each = Decimal(properties.get("price", "0")) - Decimal(properties.get("discount", "0"))
    # HubSpot keeps six decimals of a unit price: of 14.973 gallons the product may end at half a cent.
    exact = quantity * each * 100
    near = abs(exact - line.net) <= Decimal("0.51")
    findings.expect(key, "its amount", line.net if near else exact, line.net)
    findings.expect(key, "its name", properties.get("name"), line.name)
    findings.expect(key, "its SKU", properties.get("hs_sku"), line.sku)
    if line.gross >= 0:
        findings.expect(key, "its quantity", quantity, line.quantity)


# The report ----------------------------------------------------------------------------------------------------------


def verify(states: JSON, setup: JSON, status: JSON) -> JSON:
    """The report; its `failures` are empty when all is well."""
    taken = read_taken(states, setup)
    companies = states["quickbooks"]["companies"]
    findings: dict[str, Findings] = {}
    delivered: dict[tuple[str, str], int] = {}
    checks: tuple[tuple[str, Callable[..., tuple[Findings, dict[tuple[str, str], int]]]], ...] = (
        ("qbo-receipts", check_receipts),
        ("qbo-journal", check_journal),
    )
    for books, check in checks:
        findings[books], sums = check(companies.get(setup["realms"][books]) or {}, taken, setup, books)
        delivered |= sums
    findings[setup["hubspot"]] = check_hubspot(states["hubspot"], taken, setup)
    days = _days(taken, setup, delivered, status.get("canonical_days") or [])
    targets = {name: _target(name, found, status) for name, found in findings.items()}
    failures = [*taken.faults, *_failures(findings, targets, days)]
    return {
        "ok": not failures,
        "failures": failures,
        "taken": {
            "sales": len(taken.sales),
            "refunds": len(taken.refunds),
            "customers": len(taken.customers),
            "stores": len({sale.location for sale in taken.sales.values()}),
            "minor": sum(s.total for s in taken.sales.values() if not s.void)
            - sum(r.total for r in taken.refunds.values()),
            "currency": setup["currency"],
        },
        "targets": targets,
        "days": days,
    }


def _target(name: str, found: Findings, status: JSON) -> JSON:
    balances = {each["name"]: each["balance"] for each in status.get("targets") or ()}
    balance: JSON = balances.get(name, {})
    return {
        **{term: balance.get(term) for term in ("offered", "aged_out", *_TERMS)},
        "difference": _mismatch(balance) if balance else None,
        "records_checked": found.checked,
        "lost": len(found.lost),
        "duplicates_at_target": len(found.duplicates),
        "wrong": len(found.wrong),
    }


def _mismatch(balance: JSON) -> int:
    """The identity: what was offered less every term of what became of it."""
    return int(balance["offered"] + balance["aged_out"] - sum(balance[term] for term in _TERMS))


def _days(taken: Taken, setup: JSON, delivered: Mapping[tuple[str, str], int], canonical: Iterable[JSON]) -> list[JSON]:
    """Every store and day that had trade: what the till took, what the events say, what the books hold."""
    source: dict[tuple[str, str], int] = defaultdict(int)
    for sale in taken.sales.values():
        source[sale.location, sale.day] += 0 if sale.void else sale.total
    for refund in taken.refunds.values():
        source[refund.location, refund.day] -= refund.total
    told = {(each["location"], each["day"]): each["minor"] for each in canonical}
    rows = []
    for location, day in sorted({*source, *delivered, *told}, key=lambda place: (place[1], place[0])):
        place = (location, day)
        figures = [source.get(place, 0), told.get(place), delivered.get(place, 0)]
        known = [figure for figure in figures if figure is not None]
        difference = max(known) - min(known)
        result = "unverified" if figures[1] is None else "balanced" if not difference else "discrepancy"
        rows.append(
            {
                "location": location, "store": setup["stores"][location]["name"],
                "books": setup["stores"][location]["books"], "day": day, "currency": setup["currency"],
                "source": figures[0], "canonical": figures[1], "delivered": figures[2], "difference": difference,
                "result": result,
            }
        )  # fmt: skip
    return rows


def _failures(findings: Mapping[str, Findings], targets: JSON, days: Iterable[JSON]) -> Iterator[str]:
    for name, found in findings.items():
        yield from (f"{name}: lost: {each}" for each in found.lost)
        yield from (f"{name}: too much: {each}" for each in found.duplicates)
        yield from (f"{name}: wrong: {each}" for each in found.wrong)
        target = targets[name]
        if target["difference"] is None:
            yield f"{name}: nobody counted what was offered to it"
        elif target["difference"]:
            yield f"{name}: {target['difference']} of {target['offered']} offered events are not accounted for"
        for term in _OPEN_TERMS:
            if target[term]:
                yield f"{name}: {target[term]} events are still {term}"
    for row in days:
        if row["result"] != "balanced":
            yield (
                f"{row['store']} on {row['day']} is {row['result']}: till {row['source']}, events {row['canonical']}, "
                f"books {row['delivered']} (minor units)"
            )


# Reading and writing -------------------------------------------------------------------------------------------------


def _ask(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.loads(answer.read(), parse_float=Decimal)


def _read(path: Path) -> Any:
    return json.loads(path.read_bytes(), parse_float=Decimal)


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, default=str, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> int:
    """The command; gives the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--sandbox", help="base URL of the simulators")
    parser.add_argument("--state-dir", type=Path, help="check what was saved there instead")
    parser.add_argument("--setup", type=Path, help="which store goes to which books (saved with the state)")
    parser.add_argument("--status", type=Path, required=True, help="what till status --json said, with canonical_days")
    parser.add_argument("--save", type=Path, help="keep what the simulators said in this folder")
    parser.add_argument("--out", type=Path, required=True, help="the report")
    asked = parser.parse_args()
    if bool(asked.sandbox) == bool(asked.state_dir) or (asked.sandbox and not asked.setup):
        parser.error("either --sandbox with --setup, or --state-dir")
    if asked.state_dir:
        states = {vendor: _read(asked.state_dir / f"{vendor}.json") for vendor in VENDORS}
        setup = _read(asked.setup or asked.state_dir / "setup.json")
        limits = _read(asked.state_dir / "limits.json") if (asked.state_dir / "limits.json").exists() else {}
    else:
        base = asked.sandbox.rstrip("/")
        states = {vendor: _ask(f"{base}/_sandbox/{vendor}/state") for vendor in VENDORS}
        limits = {vendor: _ask(f"{base}/_sandbox/{vendor}/limits") for vendor in VENDORS}
        setup = _read(asked.setup)
    if asked.save:
        for name, value in {**states, "setup": setup, "limits": limits}.items():
            _write(asked.save / f"{name}.json", value)
    report = {
        "checked_at": datetime.now(UTC).isoformat(),
        **verify(states, setup, _read(asked.status)),
        "limits": limits,
    }
    _write(asked.out, report)
    for failure in report["failures"][:20]:
        print(failure, file=sys.stderr)
    print(f"{len(report['failures'])} failures" if report["failures"] else "All is well.")
    return 0 if report["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
