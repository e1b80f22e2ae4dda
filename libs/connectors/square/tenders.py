"""How an order was paid: its tenders joined with their payments, and what a refund was paid out with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from libs.canonical.moments import settle
from libs.canonical.money import Money
from libs.canonical.sale import Tender, TenderType
from libs.connectors.square.node import Node
from libs.connectors.square.trade import Trade

# Tender.type and Payment.source_type (Square API reference, TenderType). SQUARE_ACCOUNT is a house account.
_TYPES = {
    "CARD": TenderType.CARD,
    "CASH": TenderType.CASH,
    "THIRD_PARTY_CARD": TenderType.CARD,
    "SQUARE_GIFT_CARD": TenderType.GIFT_CARD,
    "BANK_ACCOUNT": TenderType.BANK,
    "WALLET": TenderType.WALLET,
    "BUY_NOW_PAY_LATER": TenderType.BUY_NOW_PAY_LATER,
    "SQUARE_ACCOUNT": TenderType.HOUSE_ACCOUNT,
    "EXTERNAL": TenderType.EXTERNAL,
    "OTHER": TenderType.OTHER,
}
# ExternalPaymentDetails.type: payments that another system took.
_EXTERNAL_TYPES = {
    "BANK_TRANSFER": TenderType.BANK,
    "CARD": TenderType.CARD,
    "CRYPTO": TenderType.WALLET,
    "EMONEY": TenderType.WALLET,
    "EXTERNAL": TenderType.EXTERNAL,
    "OTHER_GIFT_CARD": TenderType.GIFT_CARD,
    "SOCIAL": TenderType.WALLET,
    "SQUARE_CASH": TenderType.WALLET,
    "STORED_BALANCE": TenderType.STORE_CREDIT,
}
_OF_CARD_STATUS = {"AUTHORIZED": "APPROVED", "CAPTURED": "COMPLETED", "VOIDED": "CANCELED", "FAILED": "FAILED"}
_WORTHLESS = ("CANCELED", "FAILED")


@dataclass(frozen=True)
class Paid:
    """A tender and the state of its money. `at` is when the till took it."""

    tender: Tender
    payment: Node
    status: str | None
    at: datetime | None
    clock_suspect: bool

    @property
    def alive(self) -> bool:
        """Whether it was not cancelled and did not fail."""
        return self.status not in _WORTHLESS

    @property
    def completed(self) -> bool:
        """Whether its money was taken."""
        return self.status == "COMPLETED"

    @property
    def captured(self) -> bool:
        """Whether its money had been taken at some time, even if it was given back since."""
        return self.completed or self._timeline.moment("captured_at") is not None

    @property
    def voided_at(self) -> datetime | None:
        """When a card payment was voided."""
        return self._timeline.moment("voided_at")

    @property
    def _timeline(self) -> Node:
        return self.payment.child("card_details").child("card_payment_timeline")

    @property
    def product(self) -> str | None:
        """Which of Square's products took it (ApplicationDetails.square_product)."""
        return self.payment.child("application_details").text("square_product")


def staff_of(payment: Node) -> str | None:
    """Who took the payment; `employee_id` is the older name of the same id."""
    return payment.text("team_member_id") or payment.text("employee_id")


def paid_tenders(order: Node, trade: Trade, currency: str) -> tuple[Paid, ...]:
    """The order's tenders. NO_SALE is the drawer opened for nothing, and no tender."""
    return tuple(
        _paid(tender, trade, currency) for tender in order.children("tenders") if tender.text("type") != "NO_SALE"
    )


def _paid(tender: Node, trade: Trade, currency: str) -> Paid:
    payment_id = tender.text("payment_id")
    payment = trade.find("payment", payment_id)
    at, suspect = _taken(tender, payment)
    cash = tender.child("cash_details")
    kind, label = _type_and_label(tender.text("type") or "OTHER", tender, payment, trade)
    card = _card(tender) or _card(payment)
    read = Tender(
        id=tender.text("id") or tender.need("payment_id"),
        type=kind,
        label=label,
        amount=tender.amount("amount_money", currency),
        tip=tender.amount("tip_money", currency),
        card_brand=card.text("card_brand"),
        card_last4=card.text("last_4"),
        cash_given=cash.money("buyer_tendered_money", currency),
        cash_change=cash.money("change_back_money", currency),
        staff_id=staff_of(payment),
    )
    return Paid(read, payment, _status(tender, payment_id, payment), at, suspect)


def _card(node: Node) -> Node:
    return node.child("card_details").child("card")


def _status(tender: Node, payment_id: str | None, payment: Node) -> str | None:
    """As Payment.status. A tender without a payment is final, unless its card details say otherwise."""
    if payment:
        return payment.text("status")
    card = tender.child("card_details").text("status")
    return _OF_CARD_STATUS.get(card or "") or (None if payment_id else "COMPLETED")


def _taken(tender: Node, payment: Node) -> tuple[datetime | None, bool]:
    """When the till took the money: of an offline payment the till's own clock says so, unless it runs ahead."""
    recorded = payment.moment("created_at") or tender.moment("created_at")
    by_till = payment.child("offline_payment_details").moment("client_created_at")
    return settle(by_till, recorded) if by_till is not None else (recorded, False)


def _type_and_label(word: str, tender: Node, payment: Node, trade: Trade) -> tuple[TenderType, str | None]:
    """Our type and the vendor's own word. Configuration decides by the most particular word it knows."""
    external = payment.child("external_details")
    external_type, source = external.text("type"), external.text("source")
    brand = payment.child("wallet_details").text("brand") or payment.child("buy_now_pay_later_details").text("brand")
    kind = _EXTERNAL_TYPES.get(external_type or "") or _TYPES.get(word, TenderType.OTHER)
    if "SQUARE_GIFT_CARD" in (_card(tender).text("card_brand"), _card(payment).text("card_brand")):
        kind = TenderType.GIFT_CARD
    label = source or external_type or brand or (word if word not in _SPEAK_FOR_THEMSELVES else None)
    configured = (trade.settings.tenders.get(each) for each in (source, external_type, brand, word) if each)
    return next((each for each in configured if each), kind), label


_SPEAK_FOR_THEMSELVES = ("CARD", "CASH", "SQUARE_GIFT_CARD", "BANK_ACCOUNT", "SQUARE_ACCOUNT", "EXTERNAL", "OTHER")


def paid_back(refund: Node, trade: Trade, currency: str, tip: Money) -> Tender:
    """What a refund was paid out with: as its payment was taken, unless Square names another destination."""
    payment = trade.find("payment", refund.text("payment_id"))
    source = payment.text("source_type")
    destination = refund.text("destination_type") or source or "OTHER"
    details = refund.child("destination_details")
    same_way = destination == source
    card = _card(details) or (_card(payment) if same_way else Node(None))
    paying = payment if same_way else Node({"external_details": details.child("external_details").value})
    kind, label = _type_and_label(destination, details, paying, trade)
    return Tender(
        id=refund.need("id"),
        type=kind,
        label=label,
        amount=refund.amount("amount_money", currency),
        tip=tip,
        card_brand=card.text("card_brand"),
        card_last4=card.text("last_4"),
        staff_id=refund.text("team_member_id"),
    )
