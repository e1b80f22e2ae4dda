"""How it was paid, and paid back: Shopify's transactions as tenders.

Counted are successful transactions that move money: `sale` and `capture`, less `change`; `refund` the other way.
An authorization moves none. What a cash payment really was is its amount plus its rounding (changelog of 2025-04-24,
"Cash transaction rounding"): the amount alone pays the order, the rounding is the order's difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from libs.canonical.money import Money, total
from libs.canonical.sale import Tender, TenderType
from libs.connectors.shopify.node import Node
from libs.connectors.shopify.place import Place

_PAYING = {"sale", "capture"}
_UNDER_WAY = {"pending", "awaiting_response", "unknown"}

# Shopify's own ways to pay: the type says it all, no label is needed to tell them apart in the books.
_OWN = {
    "shopify_payments": TenderType.CARD,
    "cash": TenderType.CASH,
    "gift_card": TenderType.GIFT_CARD,
    "shopify_store_credit": TenderType.STORE_CREDIT,
}

# Gateways of others, told apart by their name. From memory; configuration (`tenders`) wins.
_OTHERS = {
    "afterpay": TenderType.BUY_NOW_PAY_LATER,
    "affirm": TenderType.BUY_NOW_PAY_LATER,
    "bank deposit": TenderType.BANK,
    "cash on delivery (cod)": TenderType.CASH,
    "klarna": TenderType.BUY_NOW_PAY_LATER,
    "paypal": TenderType.WALLET,
    "shop_pay_installments": TenderType.BUY_NOW_PAY_LATER,
}


@dataclass(frozen=True)
class Paid:
    """The tenders, the rounding inside them, and whether a payment is still on its way."""

    tenders: tuple[Tender, ...]
    rounding: Money
    under_way: bool

    @property
    def amount(self) -> Money:
        """What was paid, rounding left out."""
        return total((tender.amount for tender in self.tenders), self.rounding.currency) - self.rounding


def _succeeded(transactions: Sequence[Node], kinds: set[str]) -> list[Node]:
    return [node for node in transactions if node.text("status") == "success" and node.text("kind") in kinds]


def _waiting(transactions: Sequence[Node], kinds: set[str]) -> bool:
    return any(node.text("status") in _UNDER_WAY and node.text("kind") in kinds for node in transactions)


def paid(transactions: Sequence[Node], tip: Money, place: Place) -> Paid:
    """How an order was paid; the tip is written to the tender that carried it, as far as can be told."""
    payments = _succeeded(transactions, _PAYING)
    tenders = [_with_cash(_tender(node, place)) for node in payments]
    rounding = _rounding(payments, place)
    for change in _succeeded(transactions, {"change"}):
        tenders = _less_change(tenders, change, place)
        rounding = rounding + change.money_or_zero("amount_rounding", place.currency)
    return Paid(tuple(_with_tip(tenders, tip)), rounding, _waiting(transactions, _PAYING))


def paid_back(transactions: Sequence[Node], place: Place) -> Paid:
    """How a refund was paid out."""
    payouts = _succeeded(transactions, {"refund"})
    return Paid(
        tuple(_tender(node, place) for node in payouts),
        _rounding(payouts, place),
        _waiting(transactions, {"refund"}),
    )


def _rounding(transactions: Sequence[Node], place: Place) -> Money:
    return total((node.money_or_zero("amount_rounding", place.currency) for node in transactions), place.currency)


def _tender(node: Node, place: Place) -> Tender:
    gateway = node.text("gateway")
    brand = node.text("card_brand")
    kind = _type(gateway, is_card=brand is not None, place=place)
    given = node.need_money("amount", place.currency) + node.money_or_zero("amount_rounding", place.currency)
    return Tender(
        id=node.need_id("id"),
        type=kind,
        label=None if gateway is None or _OWN.get(gateway) is kind else gateway,
        amount=given,
        tip=Money.zero(place.currency),
        card_brand=brand,
        card_last4=node.id("card_last4"),
        staff_id=node.id("user_id"),
    )


def _with_cash(tender: Tender) -> Tender:
    """The tender with what was handed over, before any change."""
    return tender.model_copy(update={"cash_given": tender.amount}) if tender.type is TenderType.CASH else tender


def _type(gateway: str | None, *, is_card: bool, place: Place) -> TenderType:
    word = gateway or ""
    known = place.settings.tenders.get(word) or _OWN.get(word) or _OTHERS.get(word.lower())
    return known or (TenderType.CARD if is_card else TenderType.EXTERNAL)


def _less_change(tenders: list[Tender], change: Node, place: Place) -> list[Tender]:
    """The change taken off the cash it was given on: its parent's, else the first cash."""
    # The sign of a change differs by age of the order, its meaning does not.
    stated = change.need_money("amount", place.currency)
    back = stated if stated.minor >= 0 else -stated
    # The rounding of a change adds to what was kept.
    kept = change.money_or_zero("amount_rounding", place.currency) - back
    parent = change.id("parent_id")
    cash = next((tender.id for tender in tenders if tender.type is TenderType.CASH), None)
    on = parent if any(tender.id == parent for tender in tenders) else cash
    return [
        tender.model_copy(update={"amount": tender.amount + kept, "cash_change": -kept}) if tender.id == on else tender
        for tender in tenders
    ]


def _with_tip(tenders: list[Tender], tip: Money) -> list[Tender]:
    """Shopify does not say which payment held the tip: the largest by card, else the largest."""
    if not tip or not tenders:
        return tenders
    bearer = max(tenders, key=lambda tender: (tender.type is TenderType.CARD, tender.amount.minor))
    return [tender.model_copy(update={"tip": tip}) if tender is bearer else tender for tender in tenders]
