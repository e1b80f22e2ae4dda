"""Stock on the shelf of a location, as counted by Square."""

from __future__ import annotations

from libs.canonical.catalogue import StockCount
from libs.canonical.event import state_changed
from libs.canonical.identity import Account
from libs.canonical.kinds import Kind
from libs.connectors.contract.source import Outcome
from libs.connectors.square.node import Node
from libs.connectors.square.trade import Trade


def read_stock(root_id: str, root: Node, account: Account, trade: Trade) -> Outcome:
    """The count. It has no version: content and `calculated_at` tell one count from another."""
    count = root.child("count")
    quantity = count.number("quantity")
    if quantity is None:
        raise count.wrong("quantity", "is missing")
    state = StockCount(
        item_id=count.need("catalog_object_id"),
        sku=trade.goods(count).sku,
        location_id=count.need("location_id"),
        quantity=quantity,
        counted_at=count.need_moment("calculated_at"),
    )
    return Outcome((state_changed(account, Kind.STOCK_COUNTED, state),))
