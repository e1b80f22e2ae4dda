"""Refunds: money given back, with the goods it was given back for where Square lists them.

Square makes a refund for each payment, and lists the goods in an order of their own (`refund.order_id`) that may serve
several refunds, when a sale paid with two cards is brought back. Such refunds are one refund here, with two tenders.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from itertools import groupby

from libs.canonical.money import Money, total
from libs.canonical.sale import CustomerRef, Refund, RefundLine, Sale, Tender, TenderType
from libs.connectors.square.exchange import exchanged, is_exchange, payouts, returned_value
from libs.connectors.square.lines import Levies, line_kind, line_name, price, service_charge
from libs.connectors.square.node import Node
from libs.connectors.square.sale import TILL, SaleSeen
from libs.connectors.square.tenders import paid_back
from libs.connectors.square.trade import Trade

Sales = Mapping[str, SaleSeen]


@dataclass(frozen=True)
class RefundSeen:
    """A refund, or why there is none (`waits`: it may become one). `recorded_at` is Square's own time of it."""

    refund: Refund | None = None
    recorded_at: datetime | None = None
    refs: tuple[str, ...] = ()
    reason: str | None = None
    waits: bool = False


@dataclass(frozen=True)
class _Facts:
    """What a refund is made of, by whatever way it came about."""

    id: str
    sale: Sale | None
    sale_id: str | None
    location_id: str
    at: datetime
    returned: Node
    tenders: tuple[Tender, ...]
    total: Money
    customer: CustomerRef | None
    staff_id: str | None = None
    reason: str | None = None


def read_refunds(trade: Trade, sales: Sales) -> tuple[RefundSeen, ...]:
    """Every refund of the trade, oldest first, each with what its sale was refunded up to then."""
    seen = [*_by_payment(trade, sales), *_by_exchange(trade, sales)]
    return _to_date(seen)


def _to_date(seen: Iterable[RefundSeen]) -> tuple[RefundSeen, ...]:
    told: list[tuple[Refund, RefundSeen]] = []
    untold = []
    for each in seen:
        if each.refund is None:
            untold.append(each)
        else:
            told.append((each.refund, each))
    sums: dict[str, Money] = {}
    result = []
    for refund, each in sorted(told, key=lambda pair: (pair[0].refunded_at, pair[0].id)):
        if refund.sale_id is not None:
            so_far = sums.get(refund.sale_id, Money.zero(refund.currency)) + refund.total
            sums[refund.sale_id] = so_far
            each = replace(each, refund=refund.model_copy(update={"refunded_to_date": so_far}))
        result.append(each)
    return (*result, *untold)


def _by_payment(trade: Trade, sales: Sales) -> Iterable[RefundSeen]:
    """The refunds of payments, but not those that pay out what an exchange left over."""
    mine = []
    for refund in trade.all("refund"):
        status = refund.text("status")
        if status in ("FAILED", "REJECTED"):
            yield RefundSeen(reason=f"refund {refund.need('id')} moved no money: {status.lower()}")
        elif not is_exchange(trade.find("order", refund.text("order_id"))):
            mine.append((_group_of(refund, trade), refund.need_moment("created_at"), refund.need("id"), refund))
    mine.sort(key=lambda each: each[:3])
    for _, members in groupby(mine, key=lambda each: each[0]):
        yield _one(tuple(refund for *_, refund in members), trade, sales)


def _group_of(refund: Node, trade: Trade) -> tuple[str, str]:
    """Refunds with the same list of returned goods belong together; others stand alone."""
    sale_id = _sale_id(refund, trade)
    order_id = refund.text("order_id")
    if order_id and _itemised(_return_of(order_id, sale_id, trade)):
        return sale_id or "", order_id
    return sale_id or "", f"refund {refund.need('id')}"


def _sale_id(refund: Node, trade: Trade) -> str | None:
    """The order that the refunded payment paid; None when payment or order are not to be had at Square."""
    order_id = trade.find("payment", refund.text("payment_id")).text("order_id")
    return order_id if trade.find("order", order_id) else None


def _return_of(order_id: str | None, sale_id: str | None, trade: Trade) -> Node:
    """The part of a return order that is about this sale."""
    returns = trade.find("order", order_id).children("returns")
    of_sale = [each for each in returns if each.text("source_order_id") == sale_id]
    return (of_sale or list(returns) or [Node(None)])[0]


def _itemised(returned: Node) -> bool:
    return bool(returned.children("return_line_items") or returned.children("return_service_charges"))


def _one(members: Sequence[Node], trade: Trade, sales: Sales) -> RefundSeen:
    first = members[0]
    refund_id, sale_id = first.need("id"), _sale_id(first, trade)
    waiting = [each for each in members if each.text("status") != "COMPLETED"]
    if waiting:
        state = (waiting[0].text("status") or "of unknown state").lower()
        return RefundSeen(reason=f"refund {waiting[0].need('id')} is {state}", waits=True)
    seen = sales.get(sale_id or "")
    if sale_id is not None and (seen is None or seen.sale is None):
        reason = seen.reason if seen else "it sells nothing"
        return RefundSeen(
            reason=f"refund {refund_id}: no sale was completed ({reason})", waits=bool(seen and seen.waits)
        )
    sale = seen.sale if seen else None
    currency = _currency(first)
    order = trade.find("order", first.text("order_id"))
    returned = _return_of(first.text("order_id"), sale_id, trade)
    given = total((each.amount("amount_money", currency) for each in members), currency)
    if _more_to_come(order, returned, given, members, sale):
        return RefundSeen(reason=f"refund {refund_id}: {given} paid out so far of the goods' value", waits=True)
    tips = _tips(returned, currency)
    location_id = first.text("location_id") or (sale.location_id if sale else None) or order.need("location_id")
    payment = trade.find("payment", first.text("payment_id"))
    facts = _Facts(
        id=refund_id,
        sale=sale,
        sale_id=sale_id,
        location_id=location_id,
        at=first.need_moment("created_at"),
        returned=returned,
        tenders=tuple(
            paid_back(each, trade, currency, tips.get(each.text("payment_id"), Money.zero(currency)))
            for each in members
        ),
        total=given,
        customer=sale.customer if sale else trade.buyer((payment.text("customer_id"),), location_id),
        staff_id=first.text("team_member_id"),
        reason=first.text("reason"),
    )
    refs = [ref for each in members for ref in (each.text("id"), each.text("payment_id"), each.text("order_id")) if ref]
    recorded_at = max(each.moment("updated_at") or each.need_moment("created_at") for each in members)
    return RefundSeen(_refund(facts, trade), recorded_at, tuple(refs))


def _currency(refund: Node) -> str:
    amount = refund.money("amount_money")
    if amount is None:
        raise refund.wrong("amount_money", "is missing")
    return amount.currency


def _more_to_come(order: Node, returned: Node, given: Money, members: Sequence[Node], sale: Sale | None) -> bool:
    """Whether further payments of a split sale are still to be refunded for the same goods."""
    if not _itemised(returned) or sale is None or len(members) >= len(sale.tenders):
        return False
    return given.minor < returned_value(order, returned, given.currency).minor


def _by_exchange(trade: Trade, sales: Sales) -> Iterable[RefundSeen]:
    """Goods handed back for new ones: a refund of their own sale, paid out in goods and perhaps in money."""
    for order in trade.all("order"):
        if not is_exchange(order):
            continue
        seen = sales.get(order.need("id"))
        if seen is None or seen.sale is None:
            yield RefundSeen(reason="the exchange is not completed yet", waits=bool(seen and seen.waits))
            continue
        if any(refund.text("status") == "PENDING" for refund in payouts(order, trade, None)):
            yield RefundSeen(reason="what the exchange left over is not paid out yet", waits=True)
            continue
        yield from _exchange_refunds(order, seen.sale, trade, sales)


def _exchange_refunds(order: Node, new: Sale, trade: Trade, sales: Sales) -> Iterable[RefundSeen]:
    currency = new.currency
    money = total((each.amount for each in new.tenders if each.type is not TenderType.EXCHANGE), currency)
    for back in exchanged(order, trade, currency, new.total - money):
        source_id = back.returned.text("source_order_id")
        seen = sales.get(source_id or "")
        in_goods = Tender(id=new.id, type=TenderType.EXCHANGE, amount=back.value, tip=Money.zero(currency))
        in_money = tuple(paid_back(each, trade, currency, Money.zero(currency)) for each in back.paid_out)
        facts = _Facts(
            id=back.refund_id,
            sale=seen.sale if seen else None,
            sale_id=source_id if seen and seen.sale else None,
            location_id=new.location_id,
            at=new.closed_at,
            returned=back.returned,
            tenders=((in_goods,) if back.value else ()) + in_money,
            total=returned_value(order, back.returned, currency),
            customer=new.customer,
            staff_id=new.staff_id,
            reason="exchange",
        )
        recorded_at = order.moment("updated_at") or new.closed_at
        refs = (new.id, *(each.need("id") for each in back.paid_out))
        yield RefundSeen(_refund(facts, trade), recorded_at, refs)


def _refund(facts: _Facts, trade: Trade) -> Refund:
    currency, returned = facts.total.currency, facts.returned
    levies = Levies.of_return(returned, currency)
    day = trade.day(facts.location_id, facts.at)
    sold = {each.text("uid"): each for each in trade.find("order", facts.sale_id).children("service_charges")}
    charges = tuple(
        service_charge(each, levies, sold=sold.get(each.text("source_service_charge_uid")))
        for each in returned.children("return_service_charges")
    )
    tip = _tip(returned, currency)
    rounding = returned.child("rounding_adjustment").amount("amount_money", currency)
    named = total([*(each.total for each in charges), tip, rounding], currency)
    return Refund(
        id=facts.id,
        sale_id=facts.sale_id,
        location_id=facts.location_id,
        channel=facts.sale.channel if facts.sale else TILL,
        staff_id=facts.staff_id,
        customer=facts.customer,
        currency=currency,
        refunded_at=facts.at,
        business_day=day.date,
        timezone=day.zone.key,
        lines=tuple(_line(each, trade, levies, at) for at, each in enumerate(returned.children("return_line_items"))),
        service_charges=charges,
        unitemised=Money.zero(currency) if _itemised(returned) else facts.total - named,
        tip=tip,
        rounding=rounding,
        tenders=facts.tenders,
        total=facts.total,
        reason=facts.reason,
    )


def _line(line: Node, trade: Trade, levies: Levies, index: int) -> RefundLine:
    goods = trade.goods(line)
    priced = price(line, levies, modifiers="return_modifiers", gross="gross_return_money")
    return RefundLine(
        id=line.text("uid") or str(index),
        sale_line_id=line.text("source_line_item_uid"),
        kind=line_kind(line, goods),
        name=line_name(line),
        sku=goods.sku,
        item_id=line.text("catalog_object_id"),
        category=goods.category,
        quantity=abs(priced.quantity) if priced.quantity else Decimal(0),
        gross=priced.gross,
        discounts=priced.discounts,
        taxes=priced.taxes,
        total=priced.total,
    )


def _tips(returned: Node, currency: str) -> dict[str | None, Money]:
    """The tips given back, by the tender they came with (OrderReturnTip.source_tender_id)."""
    sums: dict[str | None, Money] = {}
    for tip in returned.children("return_tips"):
        tender_id = tip.text("source_tender_id")
        sums[tender_id] = sums.get(tender_id, Money.zero(currency)) + tip.amount("applied_money", currency)
    return sums


def _tip(returned: Node, currency: str) -> Money:
    listed = _tips(returned, currency)
    if listed:
        return total(listed.values(), currency)
    return returned.child("return_amounts").amount("tip_money", currency)
