"""The money of a line, sold or returned, and of service charges: price, discounts, taxes."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from libs.canonical.money import Money, times, total
from libs.canonical.sale import Discount, LineKind, Modifier, ServiceCharge, Tax, additive, inclusive
from libs.connectors.square.node import Node
from libs.connectors.square.trade import Goods

_KINDS = {"CUSTOM_AMOUNT": LineKind.CUSTOM_AMOUNT, "GIFT_CARD": LineKind.GIFT_CARD}
_PERCENT = Decimal(100)


class Levies:
    """The taxes and discounts of an order or of a return, which its lines refer to by uid."""

    def __init__(self, currency: str, taxes: tuple[Node, ...], discounts: tuple[Node, ...]) -> None:
        self.currency = currency
        self._taxes = {tax.text("uid"): tax for tax in taxes}
        self._discounts = {discount.text("uid"): discount for discount in discounts}

    @classmethod
    def of_order(cls, order: Node, currency: str) -> Levies:
        """Those of goods sold."""
        return cls(currency, order.children("taxes"), order.children("discounts"))

    @classmethod
    def of_return(cls, returned: Node, currency: str) -> Levies:
        """Those of goods brought back."""
        return cls(currency, returned.children("return_taxes"), returned.children("return_discounts"))

    def taxes_on(self, line: Node) -> tuple[Tax, ...]:
        """Every tax on a line or charge; one sum without a name where Square names none."""
        applied = line.children("applied_taxes")
        if applied:
            return tuple(self._tax(each) for each in applied)
        amount = line.amount("total_tax_money", self.currency)
        return (Tax(name="Tax", amount=amount),) if amount else ()

    def _tax(self, applied: Node) -> Tax:
        tax = self._taxes.get(applied.text("tax_uid"), Node(None))
        percentage = tax.number("percentage")
        return Tax(
            name=tax.text("name") or "Tax",
            rate=percentage / _PERCENT if percentage is not None else None,
            amount=applied.amount("applied_money", self.currency),
            inclusive=tax.text("type") == "INCLUSIVE",
        )

    def discounts_on(self, line: Node) -> tuple[Discount, ...]:
        """Every discount on a line. Square has spread those of the whole order over its lines already."""
        applied = line.children("applied_discounts")
        if applied:
            return tuple(self._discount(each) for each in applied)
        amount = line.amount("total_discount_money", self.currency)
        return (Discount(name="Discount", amount=amount),) if amount else ()

    def _discount(self, applied: Node) -> Discount:
        discount = self._discounts.get(applied.text("discount_uid"), Node(None))
        return Discount(
            name=discount.text("name") or "Discount",
            amount=applied.amount("applied_money", self.currency),
            scope="order" if discount.text("scope") == "ORDER" else "line",
        )


@dataclass(frozen=True)
class Priced:
    """What a line costs, as the canonical line wants it."""

    quantity: Decimal
    unit_price: Money
    modifiers: tuple[Modifier, ...]
    gross: Money
    discounts: tuple[Discount, ...]
    taxes: tuple[Tax, ...]
    total: Money


def price(line: Node, levies: Levies, *, modifiers: str, gross: str) -> Priced:
    """The line's money. `modifiers` and `gross` name the two fields that differ between sold and returned lines.

    Apportioned service charges are in Square's line total (OrderLineItem.total_service_charge_money); here they stand
    on their own. Raises Unmappable when the line has neither a price nor a total.
    """
    currency = levies.currency
    quantity = line.number("quantity")
    if quantity is None:
        raise line.wrong("quantity", "is missing")
    taxes, discounts = levies.taxes_on(line), levies.discounts_on(line)
    extras = tuple(_modifier(each, currency) for each in line.children(modifiers))
    off = total((discount.amount for discount in discounts), currency)
    added = additive(taxes, currency)
    stated = line.money("total_money", currency)
    charged = line.amount("total_service_charge_money", currency)
    collected = stated - charged if stated is not None else None
    candidates = _gross_candidates(line, currency, quantity, extras, line.money(gross, currency), taxes)
    if collected is not None:
        fitting = (each for each in candidates if each - off + added == collected)
        gross_money = next(fitting, candidates[0] if candidates else collected + off - added)
    elif candidates:
        gross_money = candidates[0]
    else:
        raise line.wrong("total_money", "is missing, and so is any price")
    return Priced(
        quantity=quantity,
        unit_price=line.money("base_price_money", currency) or _unit(gross_money, quantity),
        modifiers=extras,
        gross=gross_money,
        discounts=discounts,
        taxes=taxes,
        total=collected if collected is not None else gross_money - off + added,
    )


def _gross_candidates(
    line: Node,
    currency: str,
    quantity: Decimal,
    extras: tuple[Modifier, ...],
    stated: Money | None,
    taxes: tuple[Tax, ...],
) -> list[Money]:
    """The line's price before discounts with inclusive tax inside, by each way it can be known, best first.

    Square takes inclusive tax out of `gross_sales_money` in the US, Canada and Japan and leaves it in elsewhere
    (Square API reference, OrderLineItem.gross_sales_money), so the unit price comes first and that field last.
    """
    extra = total((each.amount for each in extras), currency)
    variation, unit = (line.money(key, currency) for key in ("variation_total_price_money", "base_price_money"))
    found = [variation + extra] if variation is not None else []
    found += [times(unit, quantity) + extra] if unit is not None else []
    found += [stated, stated + inclusive(taxes, currency)] if stated is not None else []
    return found


def _unit(gross: Money, quantity: Decimal) -> Money:
    return times(gross, 1 / quantity) if quantity else gross


def _modifier(modifier: Node, currency: str) -> Modifier:
    quantity = modifier.number("quantity")
    return Modifier(
        name=modifier.text("name") or "Modifier",
        quantity=Decimal(1) if quantity is None else quantity,
        amount=modifier.amount("total_price_money", currency),
    )


def service_charge(charge: Node, levies: Levies, *, sold: Node | None = None) -> ServiceCharge:
    """A charge on top. One that Square spread over the lines was taken out of them, its taxes stayed with them.

    `sold`: of a charge given back, the one that was sold, since only that says whether it was a gratuity
    (OrderReturnServiceCharge has no type).
    """
    currency = levies.currency
    amount = charge.money("applied_money", currency) or charge.amount("amount_money", currency)
    apportioned = charge.text("treatment_type") == "APPORTIONED_TREATMENT"
    taxes = () if apportioned else levies.taxes_on(charge)
    stated = None if apportioned else charge.money("total_money", currency)
    return ServiceCharge(
        name=charge.text("name") or "Service charge",
        amount=amount,
        taxes=taxes,
        total=stated if stated is not None else amount + additive(taxes, currency),
        paid_to_staff=(sold or charge).text("type") == "AUTO_GRATUITY",
    )


def line_kind(line: Node, goods: Goods) -> LineKind:
    """What the line sells (OrderLineItemItemType; a donation is an item of that product type)."""
    if goods.donation:
        return LineKind.DONATION
    return _KINDS.get(line.text("item_type") or "ITEM", LineKind.PRODUCT)


def line_name(line: Node) -> str:
    """The name printed on the receipt; custom amounts may have none."""
    fallback = "Custom amount" if line.text("item_type") == "CUSTOM_AMOUNT" else "Item"
    return line.text("name") or line.text("variation_name") or fallback
