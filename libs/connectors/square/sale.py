"""An order read as a sale: whether it is one yet, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from libs.canonical.money import Money, total
from libs.canonical.sale import Sale, SaleLine, Tender, TenderType, Voided
from libs.connectors.square.exchange import exchanged
from libs.connectors.square.lines import Levies, line_kind, line_name, price, service_charge
from libs.connectors.square.node import Node
from libs.connectors.square.tenders import Paid, paid_tenders, staff_of
from libs.connectors.square.trade import Trade

# ApplicationDetails.square_product (Square API reference, ExternalSquareProduct); every other one is a till.
_CHANNELS = {
    "ECOMMERCE_API": "online",
    "ONLINE_STORE": "online",
    "INVOICES": "invoice",
    "VIRTUAL_TERMINAL": "phone",
}
TILL = "pos"


@dataclass(frozen=True)
class SaleSeen:
    """What an order shows: a sale, perhaps voided, or why it is none (`waits`: it may become one)."""

    sale: Sale | None = None
    void: Voided | None = None
    reason: str | None = None
    waits: bool = False
    refs: tuple[str, ...] = ()


def is_sale(order: Node) -> bool:
    """Whether the order sells something. One that only lists goods brought back is told by its refunds."""
    return bool(order.children("line_items") or order.children("service_charges") or order.children("tenders"))


def currency_of(order: Node, trade: Trade) -> str:
    """The order's currency; raises Unmappable when neither its total nor its location says."""
    stated = order.money("total_money")
    if stated is not None:
        return stated.currency
    location = trade.find("location", order.text("location_id"))
    currency = location.text("currency")
    if currency is None:
        raise order.wrong("total_money", "is missing, and no currency is known")
    return Money.zero(currency).currency


def read_sale(order: Node, trade: Trade) -> SaleSeen:
    """What the order shows as of now. Raises Unmappable when it cannot be read."""
    order_id, currency = order.need("id"), currency_of(order, trade)
    paid = paid_tenders(order, trade, currency)
    alive = _alive(order, paid)
    due = _due(order, trade, currency)
    refusal = _not_a_sale(order, paid, alive, due)
    if refusal:
        return refusal
    refs = _refs(order, paid)
    if paid and not alive:
        sale = _sale(order, order_id, trade, currency, paid)
        return SaleSeen(sale=sale, void=_void(order, sale, trade, paid), refs=refs)
    return SaleSeen(sale=_sale(order, order_id, trade, currency, alive), refs=refs)


def _alive(order: Node, paid: tuple[Paid, ...]) -> tuple[Paid, ...]:
    """Tenders whose money stands. Of one without a payment only the order can say that it was cancelled."""
    cancelled = order.text("state") == "CANCELED"
    return tuple(each for each in paid if each.alive and (each.payment or not cancelled))


def _due(order: Node, trade: Trade, currency: str) -> Money:
    """What the buyer had to pay: the total less goods handed back, and never less than nothing."""
    net = order.child("net_amounts").money("total_money", currency) if order.children("returns") else None
    due = net if net is not None else order.amount("total_money", currency)
    return due if due.minor > 0 else Money.zero(currency)


def _sum(paid: tuple[Paid, ...], currency: str) -> Money:
    return total((each.tender.amount for each in paid), currency)


def _not_a_sale(order: Node, paid: tuple[Paid, ...], alive: tuple[Paid, ...], due: Money) -> SaleSeen | None:
    """Why the order is no sale; None when it is one.

    Till orders may stay OPEN for ever (Square: they carry no version and are not updated by others), so it is the
    money that decides: every payment completed, and together they make what was due.
    """
    state = order.text("state")
    if order.children("tenders") and not paid:
        return SaleSeen(reason="the drawer was opened without a sale")
    whole = bool(paid) and _sum(paid, due.currency) == due
    if paid and not alive and whole and (state == "COMPLETED" or any(_was_taken(each) for each in paid)):
        return None
    if state == "CANCELED":
        settled = bool(alive) and _sum(alive, due.currency) == due and all(each.completed for each in alive)
        return None if settled else SaleSeen(reason="cancelled before it was paid")
    if state == "COMPLETED" and (alive or not paid):
        return None
    if state == "DRAFT":
        return SaleSeen(reason="a draft is not a sale yet", waits=True)
    if not alive:
        return SaleSeen(reason="not paid yet", waits=True)
    if not all(each.completed for each in alive):
        return SaleSeen(reason="a payment is not completed yet", waits=True)
    taken = _sum(alive, due.currency)
    return None if taken == due else SaleSeen(reason=f"{taken} of {due} paid so far", waits=True)


def _was_taken(paid: Paid) -> bool:
    return paid.captured or not paid.payment


def _closed_at(order: Node, paid: tuple[Paid, ...]) -> tuple[datetime, bool]:
    """When the sale happened: when the till took the last payment, and whether a till clock was not believed.

    Not `closed_at` of the order: an order that is paid may be closed days later (a pick-up), or stay open.
    """
    taken = [each.at for each in paid if each.at is not None]
    suspect = any(each.clock_suspect for each in paid)
    moment = max(taken) if taken else order.moment("closed_at") or order.need_moment("created_at")
    return moment, suspect


def _sale(order: Node, order_id: str, trade: Trade, currency: str, paid: tuple[Paid, ...]) -> Sale:
    location_id = order.need("location_id")
    closed_at, suspect = _closed_at(order, paid)
    day = trade.day(location_id, closed_at)
    first = paid[0].payment if paid else Node(None)
    tenders = tuple(each.tender for each in paid)
    stated = order.amount("total_money", currency)
    handed_back = exchanged(order, trade, currency, stated - _sum(paid, currency))
    tip = order.money("total_tip_money", currency)
    device = first.child("device_details")
    buyers = (order.text("customer_id"), *(each.payment.text("customer_id") for each in paid))
    return Sale(
        id=order_id,
        number=first.text("receipt_number"),
        location_id=location_id,
        channel=channel_of(paid),
        register_id=device.text("device_id") or device.text("device_name"),
        staff_id=staff_of(first),
        customer=trade.buyer(buyers, location_id),
        currency=currency,
        opened_at=order.moment("created_at"),
        closed_at=closed_at,
        business_day=day.date,
        timezone=day.zone.key,
        lines=_lines(order, trade, currency),
        service_charges=tuple(
            service_charge(each, Levies.of_order(order, currency)) for each in order.children("service_charges")
        ),
        tip=tip if tip is not None else total((each.tip for each in tenders), currency),
        rounding=order.child("rounding_adjustment").amount("amount_money", currency),
        tenders=tenders + tuple(_exchange_tender(each.refund_id, each.value) for each in handed_back if each.value),
        total=stated,
        offline=any(each.payment.flag("is_offline_payment") for each in paid),
        clock_suspect=suspect,
        exchange_refund_id=handed_back[0].refund_id if handed_back else None,
    )


def _exchange_tender(refund_id: str, value: Money) -> Tender:
    return Tender(id=refund_id, type=TenderType.EXCHANGE, amount=value, tip=Money.zero(value.currency))


def _lines(order: Node, trade: Trade, currency: str) -> tuple[SaleLine, ...]:
    levies = Levies.of_order(order, currency)
    return tuple(_line(line, trade, levies, index) for index, line in enumerate(order.children("line_items")))


def _line(line: Node, trade: Trade, levies: Levies, index: int) -> SaleLine:
    goods = trade.goods(line)
    priced = price(line, levies, modifiers="modifiers", gross="gross_sales_money")
    return SaleLine(
        id=line.text("uid") or str(index),
        kind=line_kind(line, goods),
        name=line_name(line),
        sku=goods.sku,
        item_id=line.text("catalog_object_id"),
        category=goods.category,
        quantity=priced.quantity,
        unit_price=priced.unit_price,
        modifiers=priced.modifiers,
        gross=priced.gross,
        discounts=priced.discounts,
        taxes=priced.taxes,
        total=priced.total,
        note=line.text("note"),
    )


def channel_of(paid: tuple[Paid, ...]) -> str:
    """Where it was sold, by the product that took the first payment."""
    return _CHANNELS.get((paid[0].product if paid else None) or "", TILL)


def _void(order: Node, sale: Sale, trade: Trade, paid: tuple[Paid, ...]) -> Voided:
    """The cancellation, at the time the cards were voided or the order reached its end."""
    moments = [moment for each in paid if (moment := each.voided_at) is not None]
    voided_at = max(moments) if moments else order.moment("closed_at") or order.need_moment("updated_at")
    day = trade.day(sale.location_id, voided_at)
    return Voided(
        sale_id=sale.id,
        location_id=sale.location_id,
        currency=sale.currency,
        voided_at=voided_at,
        business_day=day.date,
        timezone=sale.timezone,
        reason="every payment was cancelled",
    )


def _refs(order: Node, paid: tuple[Paid, ...]) -> tuple[str, ...]:
    """What people look for beside the order's id: payments, receipt numbers, the id in another system."""
    candidates = [order.text("reference_id")]
    for each in paid:
        candidates += [each.payment.text("id") or each.tender.id, each.payment.text("receipt_number")]
    return tuple(ref for ref in candidates if ref)
