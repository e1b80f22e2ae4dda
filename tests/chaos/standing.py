"""What stands at the targets, read from their simulators' stores: one shape for both vendors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any


@dataclass(frozen=True)
class Effect:
    """One object at a target.

    `thing` and `value` as in `told.Told`. `made` grows in the order in which objects were made. `changes`: how often it
    was changed afterwards; None where the target's writes may be repeated and are not counted. `refunded`: the cents
    that it says were given back, where a sale says so; `refund_shown`: whether its status says so too. `parts`: how
    many lines it has, where they are objects of their own.
    """

    thing: str
    value: str
    made: int
    changes: int | None = None
    refunded: str | None = None
    refund_shown: bool = False
    parts: int | None = None


@dataclass(frozen=True)
class Standing:
    """All effects at one target. `upserts`: it keeps the newest of each thing, and refunds as a sum on their sale."""

    name: str
    upserts: bool
    effects: tuple[Effect, ...]
    # Lines that stand there more often than once.
    repeated_parts: int = field(default=0)


def _cents(amount: object) -> str:
    return str(round(Decimal(str(amount)) * 100))


def quickbooks(state: Mapping[str, Any], realm: str, name: str) -> Standing:
    """The receipts of one company. The first line of a document's note names what it is of."""
    company = state["companies"].get(realm, {})
    effects = [
        Effect(
            thing=":".join(document["PrivateNote"].partition("\n")[0].split(":")[:4]),
            value=_cents(document["TotalAmt"]),
            made=int(document["Id"]),
            changes=int(document["SyncToken"]),
        )
        for entity in ("SalesReceipt", "RefundReceipt")
        for document in company.get(entity, ())
    ]
    return Standing(name, False, tuple(effects))


def card_clearing(state: Mapping[str, Any], realm: str, account: str = "91") -> int:
    """The cents on a company's account for card money, as its journal entries have it."""
    return sum(
        round(Decimal(str(line["Amount"])) * 100)
        * (1 if line["JournalEntryLineDetail"]["PostingType"] == "Debit" else -1)
        for entry in state["companies"].get(realm, {}).get("JournalEntry", ())
        for line in entry["Line"]
        if line["JournalEntryLineDetail"]["AccountRef"]["value"] == account
    )


def hubspot(state: Mapping[str, Any], name: str) -> Standing:
    """The orders with their lines, and the contacts."""
    lines = Counter(order for order, _ in state["associations"].get("orders->line_items", ()))
    orders = [
        Effect(
            thing=one["properties"]["pos_order_id"],
            value=_cents(one["properties"]["hs_total_price"]),
            made=int(one["id"]),
            refunded=_cents(one["properties"].get("pos_refunded_amount") or 0),
            refund_shown=one["properties"].get("hs_external_order_status") == "has_refund",
            parts=lines[one["id"]],
        )
        for one in state["orders"]
        if not one["archived"]
    ]
    contacts = [
        Effect(one["properties"]["pos_customer_id"], one["properties"].get("firstname", ""), int(one["id"]))
        for one in state["contacts"]
        if not one["archived"]
    ]
    names = Counter(one["properties"].get("pos_line_id") for one in state["line_items"] if not one["archived"])
    return Standing(name, True, (*orders, *contacts), sum(count - 1 for count in names.values()))
