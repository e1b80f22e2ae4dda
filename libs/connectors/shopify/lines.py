"""What was sold: goods, gift cards, shipping, tips, duties and fees, as lines and charges of a sale.

The price of a line is what it cost before discounts; the truth about discounts is `discount_allocations` (a line's
`total_discount` stays 0.00 for those of the whole order). The taxes of an order are the sums of its lines' taxes, so
only those of the lines are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from libs.canonical.money import Money, times, total
from libs.canonical.sale import Discount, LineKind, SaleLine, ServiceCharge, Tax, additive
from libs.connectors.shopify.node import Node
from libs.connectors.shopify.place import Place


@dataclass(frozen=True)
class Sold:
    """Everything an order sold, lines by their ids. `tip_lines` only carry a tip; they are in no other list."""

    lines: dict[str, SaleLine]
    tip_lines: dict[str, SaleLine]
    shipping: dict[str, SaleLine]
    charges: tuple[ServiceCharge, ...]
    tip: Money


def sold(order: Node, more: list[Node], place: Place) -> Sold:
    """What the order sold; `more` are its lines from further pages."""
    items = order.nodes("line_items") + more
    read = [(item, _line(item, place)) for item in items]
    tips = {line.id: line for item, line in read if _is_tip(item, line)}
    # Shopify tells a tip as `total_tip_received`, and some checkouts as a line besides: never both.
    received = order.money_or_zero("total_tip_received", place.currency)
    return Sold(
        lines={line.id: line for _, line in read if line.id not in tips},
        tip_lines=tips,
        shipping={line.id: line for line in (_shipping(node, place) for node in order.nodes("shipping_lines"))},
        charges=_charges(order, items, place),
        tip=received or total((line.total for line in tips.values()), place.currency),
    )


def _is_tip(item: Node, line: SaleLine) -> bool:
    return line.kind is LineKind.CUSTOM_AMOUNT and item.text("title") == "Tip" and not line.taxes


def _kind(item: Node, sku: str | None) -> LineKind:
    if item.flag("gift_card"):
        return LineKind.GIFT_CARD
    # A product that was deleted since has no ids any more either, but mostly a SKU.
    known = item.id("product_id") or item.id("variant_id") or sku
    return LineKind.PRODUCT if known else LineKind.CUSTOM_AMOUNT


def _line(item: Node, place: Place) -> SaleLine:
    sku = place.settings.sku.apply(item.text("sku"))
    unit = item.need_money("price", place.currency)
    quantity = item.quantity("quantity")
    group = item.text("product_type")
    return _totalled(
        SaleLine(
            id=item.need_id("id"),
            kind=_kind(item, sku),
            name=item.text("name") or item.text("title") or "Item",
            sku=sku,
            item_id=item.id("variant_id"),
            category=place.settings.categories.get(group, group) if group else None,
            quantity=quantity,
            unit_price=unit,
            gross=times(unit, quantity),
            discounts=_discounts(item, place),
            taxes=taxes(item, place),
            total=Money.zero(place.currency),
            staff_id=item.id("staff_id"),
        )
    )


def _shipping(item: Node, place: Place) -> SaleLine:
    price = item.need_money("price", place.currency)
    return _totalled(
        SaleLine(
            id=f"shipping:{item.id('id') or item.path}",
            kind=LineKind.SHIPPING,
            name=item.text("title") or "Shipping",
            quantity=Decimal(1),
            unit_price=price,
            gross=price,
            discounts=_discounts(item, place),
            taxes=taxes(item, place),
            total=Money.zero(place.currency),
        )
    )


def _totalled(line: SaleLine) -> SaleLine:
    """The line with its total; Shopify states none per line."""
    currency = line.gross.currency
    off = total((discount.amount for discount in line.discounts), currency)
    return line.model_copy(update={"total": line.gross - off + additive(line.taxes, currency)})


def taxes(item: Node, place: Place) -> tuple[Tax, ...]:
    """Every tax of a line or charge."""
    return tuple(
        Tax(
            name=tax.text("title") or "Tax",
            rate=_plain(tax.number("rate")),
            amount=tax.need_money("price", place.currency),
            inclusive=place.taxes_included,
        )
        for tax in item.nodes("tax_lines")
    )


def _plain(rate: Decimal | None) -> Decimal | None:
    """The rate in one notation: 0.0500 and 0.05 are one rate, and one money hash."""
    return None if rate is None else Decimal(f"{rate.normalize():f}")


def _discounts(item: Node, place: Place) -> tuple[Discount, ...]:
    return tuple(_discount(allocation, place) for allocation in item.nodes("discount_allocations"))


def _discount(allocation: Node, place: Place) -> Discount:
    applied = allocation.maybe_node("application") or Node({}, allocation.path)
    code = applied.text("code")
    # A discount that is spread over several lines was given on the order.
    spread = applied.text("allocation_method") == "across"
    return Discount(
        name=applied.text("title") or code or "Discount",
        amount=allocation.need_money("amount", place.currency),
        scope="order" if spread else "line",
        code=code,
    )


def _charges(order: Node, items: list[Node], place: Place) -> tuple[ServiceCharge, ...]:
    duties = [(duty, "Duty") for item in items for duty in item.nodes("duties")]
    fees = [(fee, fee.text("name") or "Fee") for fee in order.nodes("additional_fees")]
    return tuple(_charge(node, name, place) for node, name in (*duties, *fees))


def _charge(node: Node, name: str, place: Place) -> ServiceCharge:
    amount = node.need_money("price", place.currency)
    on_it = taxes(node, place)
    return ServiceCharge(name=name, amount=amount, taxes=on_it, total=amount + additive(on_it, place.currency))
