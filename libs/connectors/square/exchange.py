"""Goods handed back in the same order that sells new ones: what they were worth in it.

Such an order has `line_items` and `returns`. The goods' value pays for the new ones (a tender of type exchange on the
sale), and the refund is paid out by the same amount (a tender of type exchange there), so that the books net to zero.
What remains to the buyer is paid out as an ordinary refund whose `order_id` is this order.
"""

from __future__ import annotations

from dataclasses import dataclass

from libs.canonical.money import Money, total
from libs.connectors.square.node import Node
from libs.connectors.square.trade import Trade


@dataclass(frozen=True)
class HandedBack:
    """The goods of one earlier sale: their refund's id, and what they paid of the new one."""

    refund_id: str
    returned: Node
    value: Money
    paid_out: tuple[Node, ...]


def is_exchange(order: Node) -> bool:
    """Whether the order both sells and takes back."""
    return bool(order.children("line_items") and order.children("returns"))


def payouts(order: Node, trade: Trade, source_id: str | None) -> tuple[Node, ...]:
    """The refunds paid out for an order's returns, oldest first; failed and rejected ones moved no money.

    `source_id`: only those of payments of that sale; None: all.
    """
    found = []
    for refund in trade.all("refund"):
        sale_id = trade.find("payment", refund.text("payment_id")).text("order_id")
        mine = refund.text("order_id") == order.text("id") and source_id in (None, sale_id)
        if mine and refund.text("status") in ("PENDING", "COMPLETED"):
            found.append(refund)
    return tuple(sorted(found, key=lambda each: (each.need_moment("created_at"), each.need("id"))))


def returned_value(order: Node, returned: Node, currency: str) -> Money:
    """What the goods of one return were worth (OrderReturn.return_amounts; of a lone one also Order.return_amounts)."""
    stated = returned.child("return_amounts").money("total_money", currency)
    if stated is None and len(order.children("returns")) == 1:
        stated = order.child("return_amounts").money("total_money", currency)
    if stated is not None:
        return stated
    return total((line.amount("total_money", currency) for line in returned.children("return_line_items")), currency)


def exchanged(order: Node, trade: Trade, currency: str, gap: Money) -> tuple[HandedBack, ...]:
    """The returns of an exchange. `gap` is what the tenders leave of the sale: no more than that is paid in goods."""
    if not is_exchange(order):
        return ()
    returns = order.children("returns")
    left, found = max(gap.minor, 0), []
    for index, returned in enumerate(returns):
        source_id = returned.text("source_order_id") if len(returns) > 1 else None
        paid_out = payouts(order, trade, source_id)
        out = total((refund.amount("amount_money", currency) for refund in paid_out), currency)
        worth = returned_value(order, returned, currency) - out
        value = Money(minor=min(left, max(worth.minor, 0)), currency=currency)
        left -= value.minor
        refund_id = f"{order.need('id')}:{returned.text('uid') or index}"
        found.append(HandedBack(refund_id, returned, value, paid_out))
    return tuple(found)
