"""Refunds: what came back and how it was paid out.

A refund record states its lines, shipping and duties; `order_adjustments` hold what was paid more or less than those
(positive: the shop kept it; GraphQL, Order.refundDiscrepancySet). What the record is worth beyond the money that its
transactions moved is credit: goods handed back for others in the same order. The refund then holds an EXCHANGE tender
of that amount, and so does the sale for what the credit paid, so that both together move only the real money.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from libs.canonical.money import Money, apportion, times, total
from libs.canonical.sale import (
    Discount,
    LineKind,
    Refund,
    RefundLine,
    SaleLine,
    ServiceCharge,
    Tax,
    Tender,
    TenderType,
    additive,
)
from libs.connectors.shopify.lines import Sold
from libs.connectors.shopify.node import Node
from libs.connectors.shopify.place import Place
from libs.connectors.shopify.tenders import paid_back

_RESTOCKED = {"return": True, "cancel": True, "legacy_restock": True, "no_restock": False}


@dataclass(frozen=True)
class Returned:
    """One refund record as read. `credit` is its worth beyond the money moved; negative: more money than worth."""

    record: Node
    refund: Refund
    credit: Money
    under_way: bool  # the money is not paid out yet

    @property
    def moves_money(self) -> bool:
        """Whether money or value went back at all."""
        return bool(self.refund.total) or bool(self.credit) or self.under_way


def returned(record: Node, more: Sequence[Node], sale_id: str, sold: Sold | None, place: Place) -> Returned:
    """A refund record by itself; `sold` is None when its order is out of reach."""
    paid = paid_back(record.nodes("transactions"), place)
    where = next((found for node in record.nodes("transactions") if (found := node.id("location_id"))), None)
    location_id = where or place.location_id
    moment = record.time("processed_at") or record.need_time("created_at")
    lines, tip = _lines([*record.nodes("refund_line_items"), *more], sold, place)
    shipping = [_shipping(node, sold, place) for node in record.nodes("refund_shipping_lines")]
    kept = _kept(record, place)
    charges = tuple(_duty(node, place) for node in record.nodes("duties"))
    worth = total([line.total for line in (*lines, *shipping)] + [charge.total for charge in charges], place.currency)
    refund = Refund(
        id=record.need_id("id"),
        sale_id=sale_id,
        location_id=location_id,
        channel=place.channel,
        staff_id=record.id("user_id"),
        customer=place.customer,
        currency=place.currency,
        refunded_at=moment,
        business_day=place.day(location_id, moment),
        timezone=place.zone(location_id).key,
        lines=(*lines, *shipping),
        service_charges=charges,
        unitemised=-kept,
        tip=tip,
        rounding=paid.rounding,
        tenders=paid.tenders,
        total=paid.amount + paid.rounding,
        reason=record.text("note") or _reason(record),
    )
    return Returned(record, refund, worth + tip - kept - paid.amount, paid.under_way)


def settled(refunds: Sequence[Returned], spent: Money) -> list[Refund]:
    """The refunds that are done, in order, with credit and what was refunded to date.

    `spent` is the credit that paid for other goods of the order. Money paid out beyond a record's worth settles
    credit left over from earlier records; where there is none it stands as unitemised.
    """
    done: list[Refund] = []
    left, to_date = -spent, Money.zero(spent.currency)
    for each in sorted(refunds, key=lambda one: (one.record.need_time("created_at"), int(one.refund.id))):
        if each.under_way:
            continue
        over = max(0, -each.credit.minor)
        from_credit = Money(minor=min(over, max(0, left.minor)), currency=spent.currency)
        credit = each.credit if each.credit.minor > 0 else -from_credit
        left = left + credit
        refund = _with_credit(each.refund, credit, unitemised=Money(minor=over, currency=spent.currency) - from_credit)
        to_date = to_date + refund.total
        done.append(refund.model_copy(update={"refunded_to_date": to_date}))
    return done


def credit_of(refunds: Sequence[Returned], currency: str) -> Money:
    """All credit that refunds gave instead of money."""
    return total((each.credit for each in refunds if each.credit.minor > 0 and not each.under_way), currency)


def exchange_tender(tender_id: str, amount: Money) -> Tender:
    """Goods handed back, as a means of payment."""
    return Tender(id=f"exchange:{tender_id}", type=TenderType.EXCHANGE, amount=amount, tip=Money.zero(amount.currency))


def _with_credit(refund: Refund, credit: Money, unitemised: Money) -> Refund:
    tenders = (*refund.tenders, exchange_tender(refund.id, credit)) if credit else refund.tenders
    return refund.model_copy(
        update={"tenders": tenders, "total": refund.total + credit, "unitemised": refund.unitemised + unitemised}
    )


def _lines(nodes: Sequence[Node], sold: Sold | None, place: Place) -> tuple[tuple[RefundLine, ...], Money]:
    """The goods that came back, and the tip given back (a line that carried a tip is none of the goods)."""
    tips = sold.tip_lines if sold else {}
    tip = Money.zero(place.currency)
    lines = []
    for node in nodes:
        line_id = node.need_id("line_item_id")
        if line_id in tips:
            tip = tip + node.need_money("subtotal", place.currency)
        else:
            lines.append(_line(node, line_id, sold.lines if sold else {}, place))
    return tuple(lines), tip


def _line(node: Node, line_id: str, lines: Mapping[str, SaleLine], place: Place) -> RefundLine:
    line = lines.get(line_id) or _embedded(node, line_id, place)
    return _back(node, node.id("id") or line_id, line, node.quantity("quantity"), place)


def _shipping(node: Node, sold: Sold | None, place: Place) -> RefundLine:
    line_id = f"shipping:{node.id('shipping_line_id')}"
    zero = Money.zero(place.currency)
    unknown = SaleLine(
        id=line_id,
        kind=LineKind.SHIPPING,
        name="Shipping",
        quantity=Decimal(0),
        unit_price=zero,
        gross=zero,
        total=zero,
    )
    line = sold.shipping.get(line_id, unknown) if sold else unknown
    return _back(node, f"shipping:{node.id('id') or node.path}", line, Decimal(1), place)


def _back(node: Node, refund_line_id: str, line: SaleLine, quantity: Decimal, place: Place) -> RefundLine:
    """So many of a sold line, given back for `subtotal` and `total_tax`."""
    subtotal = node.need_money("subtotal", place.currency)
    tax = node.money_or_zero("total_tax", place.currency)
    if place.taxes_included and not _tax_inside(subtotal, tax, quantity, line):
        subtotal = subtotal + tax
    price = times(line.unit_price, quantity)
    # A price that was raised afterwards leaves no discount to show.
    gross = price if price.minor >= subtotal.minor else subtotal
    name = line.discounts[0].name if line.discounts else "Discount"
    taxes = _taxes(tax, line.taxes, inclusive=place.taxes_included)
    return RefundLine(
        id=refund_line_id,
        sale_line_id=line.id,
        kind=line.kind,
        name=line.name,
        sku=line.sku,
        item_id=line.item_id,
        category=line.category,
        quantity=quantity,
        gross=gross,
        discounts=(Discount(name=name, amount=gross - subtotal),) if gross != subtotal else (),
        taxes=taxes,
        total=subtotal + additive(taxes, place.currency),
        restock=_RESTOCKED.get(node.text("restock_type") or ""),
    )


def _embedded(node: Node, line_id: str, place: Place) -> SaleLine:
    """The line sold as far as the refund itself says: webhooks carry it along as `line_item`."""
    item = node.maybe_node("line_item") or Node({}, node.path)
    zero = Money.zero(place.currency)
    sku = place.settings.sku.apply(item.text("sku"))
    product = item.id("variant_id") or item.id("product_id") or sku
    return SaleLine(
        id=line_id,
        kind=LineKind.GIFT_CARD if item.flag("gift_card") else LineKind.PRODUCT if product else LineKind.CUSTOM_AMOUNT,
        name=item.text("name") or item.text("title") or "Item",
        sku=sku,
        item_id=item.id("variant_id"),
        quantity=Decimal(1),
        unit_price=item.money("price", place.currency) or zero,
        gross=zero,
        taxes=tuple(
            Tax(
                name=tax.text("title") or "Tax", rate=tax.number("rate"), amount=tax.need_money("price", place.currency)
            )
            for tax in item.nodes("tax_lines")
        ),
        total=zero,
    )


def _tax_inside(subtotal: Money, tax: Money, quantity: Decimal, line: SaleLine) -> bool:
    """Whether a refunded line's subtotal still holds the tax, where prices include it.

    Shopify's reference does not say; the price at which the goods were sold does: the nearer reading is taken.
    """
    if not line.quantity:
        return True
    sold = line.gross - total((discount.amount for discount in line.discounts), subtotal.currency)
    expected = Decimal(sold.minor) * quantity / line.quantity
    return abs(expected - subtotal.minor) <= abs(expected - (subtotal + tax).minor)


def _taxes(tax: Money, sold: Sequence[Tax], *, inclusive: bool) -> tuple[Tax, ...]:
    """The tax given back (Shopify states one sum), spread over the taxes that were charged."""
    if not tax:
        return ()
    if not sold:
        return (Tax(name="Tax", amount=tax, inclusive=inclusive),)
    shares = apportion(tax, [abs(each.amount.minor) for each in sold])
    return tuple(
        Tax(name=each.name, rate=each.rate, amount=share, inclusive=inclusive)
        for each, share in zip(sold, shares, strict=True)
        if share
    )


def _duty(node: Node, place: Place) -> ServiceCharge:
    amount = node.need_money("amount", place.currency)
    return ServiceCharge(name="Duty", amount=amount, total=amount)


def _kept(record: Node, place: Place) -> Money:
    """What the shop kept back of the lines' worth; negative: what it gave on top."""
    return total(
        (
            node.money_or_zero(key, place.currency)
            for node in record.nodes("order_adjustments")
            for key in ("amount", "tax_amount")
        ),
        place.currency,
    )


def _reason(record: Node) -> str | None:
    return next((reason for node in record.nodes("order_adjustments") if (reason := node.text("reason"))), None)
