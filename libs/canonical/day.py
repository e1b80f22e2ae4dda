"""A business day's books: what was paid for equals how it was paid.

Every figure is signed from the seller's view: a sale adds, a refund takes away. `Component.TENDER` lines are how it
was paid; the sum of all other lines is what was paid for; the two sums are equal when everything adds up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime
from enum import StrEnum

from libs.canonical.frozen import Frozen
from libs.canonical.money import Currency, Money, total
from libs.canonical.sale import LineKind, Refund, Sale, ServiceCharge, Tax, Tender, inclusive


class Component(StrEnum):
    """The parts of a day's books. Inclusive tax is taken out of sales and returns and stands under TAX."""

    GROSS_SALES = "gross_sales"
    DISCOUNTS = "discounts"
    RETURNS = "returns"
    SHIPPING = "shipping"
    SERVICE_CHARGES = "service_charges"
    TAX = "tax"
    TIPS = "tips"
    GIFT_CARDS_SOLD = "gift_cards_sold"
    DONATIONS = "donations"
    ROUNDING = "rounding"
    TENDER = "tender"


class DayLine(Frozen):
    """One figure. `group` is the category of sales and returns, `name @ rate` of a tax, type and label of a tender."""

    component: Component
    group: str = ""
    amount: Money


class FlaggedMember(Frozen):
    """A sale or refund whose sums do not hold, kept apart with its own lines.

    `difference` is how it was paid minus what was paid for.
    """

    event_id: str
    entity_id: str
    lines: tuple[DayLine, ...]
    difference: Money
    reason: str


class DayClosed(Frozen):
    """Revision 1 has all that was known at close; every later revision has only what came after."""

    location_id: str
    business_day: date
    currency: Currency
    timezone: str
    revision: int
    sales: int
    refunds: int
    lines: tuple[DayLine, ...]
    members: tuple[str, ...]  # ids of the events whose figures are in `lines`
    flagged: tuple[FlaggedMember, ...] = ()
    closed_at: datetime
    closed_by: str = "clock"  # "clock", "shift", "operator"


_COMPONENT_OF_LINE = {
    LineKind.GIFT_CARD: Component.GIFT_CARDS_SOLD,
    LineKind.SHIPPING: Component.SHIPPING,
    LineKind.DONATION: Component.DONATIONS,
}


def tender_group(tender: Tender) -> str:
    """How a tender is named in the books: `card`, `external:DoorDash`. A card's brand is not part of it."""
    return f"{tender.type}:{tender.label}" if tender.label else str(tender.type)


def tax_group(tax: Tax) -> str:
    """How a tax is named in the books: `Sales Tax @ 0.0825`, or its bare name when the rate is unknown."""
    return f"{tax.name} @ {tax.rate.normalize():f}" if tax.rate is not None else tax.name


def _taxes(taxes: Iterable[Tax], sign: int) -> list[DayLine]:
    return [DayLine(component=Component.TAX, group=tax_group(tax), amount=_signed(tax.amount, sign)) for tax in taxes]


def _signed(amount: Money, sign: int) -> Money:
    return amount if sign > 0 else -amount


def _charges(charges: tuple[ServiceCharge, ...], currency: str, sign: int) -> list[DayLine]:
    lines = []
    for charge in charges:
        net = charge.amount - inclusive(charge.taxes, currency)
        component = Component.TIPS if charge.paid_to_staff else Component.SERVICE_CHARGES
        lines.append(DayLine(component=component, group=charge.name, amount=_signed(net, sign)))
        lines += _taxes(charge.taxes, sign)
    return lines


def _rest(tip: Money, rounding: Money, tenders: tuple[Tender, ...], sign: int) -> list[DayLine]:
    lines = [
        DayLine(component=Component.TIPS, amount=_signed(tip, sign)),
        DayLine(component=Component.ROUNDING, amount=_signed(rounding, sign)),
    ]
    return lines + [
        DayLine(component=Component.TENDER, group=tender_group(t), amount=_signed(t.amount, sign)) for t in tenders
    ]


def lines_of_sale(sale: Sale) -> tuple[DayLine, ...]:
    """The sale's figures in the books."""
    lines: list[DayLine] = []
    for line in sale.lines:
        component = _COMPONENT_OF_LINE.get(line.kind, Component.GROSS_SALES)
        group = (line.category or "") if component is Component.GROSS_SALES else ""
        net = line.gross - inclusive(line.taxes, sale.currency)
        lines.append(DayLine(component=component, group=group, amount=net))
        lines += [DayLine(component=Component.DISCOUNTS, group=d.name, amount=-d.amount) for d in line.discounts]
        lines += _taxes(line.taxes, 1)
    lines += _charges(sale.service_charges, sale.currency, 1)
    lines += _rest(sale.tip, sale.rounding, sale.tenders, 1)
    return merge(lines)


def lines_of_refund(refund: Refund) -> tuple[DayLine, ...]:
    """The refund's figures in the books: each part reverses on its own line, all with the opposite sign.

    Goods come back net of the discount they were sold with: a refund shows what was really returned.
    """
    lines: list[DayLine] = []
    for line in refund.lines:
        off = total((discount.amount for discount in line.discounts), refund.currency)
        net = line.gross - off - inclusive(line.taxes, refund.currency)
        component = _COMPONENT_OF_LINE.get(line.kind, Component.RETURNS)
        group = (line.category or "") if component is Component.RETURNS else ""
        lines.append(DayLine(component=component, group=group, amount=-net))
        lines += _taxes(line.taxes, -1)
    lines.append(DayLine(component=Component.RETURNS, amount=-refund.unitemised))
    lines += _charges(refund.service_charges, refund.currency, -1)
    lines += _rest(refund.tip, refund.rounding, refund.tenders, -1)
    return merge(lines)


def reverse(lines: Iterable[DayLine]) -> tuple[DayLine, ...]:
    """The same figures with the opposite sign."""
    return tuple(line.model_copy(update={"amount": -line.amount}) for line in lines)


def merge(lines: Iterable[DayLine]) -> tuple[DayLine, ...]:
    """Equal lines added up, zeros dropped, in a stable order."""
    sums: dict[tuple[Component, str, str], int] = defaultdict(int)
    for line in lines:
        sums[line.component, line.group, line.amount.currency] += line.amount.minor
    order = list(Component)
    return tuple(
        DayLine(component=component, group=group, amount=Money(minor=minor, currency=currency))
        for (component, group, currency), minor in sorted(
            sums.items(), key=lambda item: (order.index(item[0][0]), item[0][1:])
        )
        if minor
    )


def paid_for(lines: Iterable[DayLine], currency: str) -> Money:
    """The sum of everything that was paid for."""
    return total((line.amount for line in lines if line.component is not Component.TENDER), currency)


def paid_with(lines: Iterable[DayLine], currency: str) -> Money:
    """The sum of how it was paid."""
    return total((line.amount for line in lines if line.component is Component.TENDER), currency)
