"""Stock: how many of an item are available at a location, absolute."""

from __future__ import annotations

from libs.canonical.catalogue import StockCount
from libs.canonical.event import state_changed
from libs.canonical.kinds import Kind
from libs.connectors.contract.source import Outcome, Snapshot, SourceSettings
from libs.connectors.shopify.node import Node


def stock_outcome(snapshot: Snapshot, settings: SourceSettings) -> Outcome:
    """What a stock level's snapshot shows; raises Unmappable."""
    level = Node(snapshot.parts, "parts").maybe_node("stock")
    if level is None:
        return Outcome(reason="the item is not (any more) kept at that location")
    item_id = level.need_id("inventory_item_id")
    available = level.number("available")
    if available is None:
        return Outcome(reason="Shopify does not count the item's stock")
    count = StockCount(
        # Sales, products and prices name the variant; inventory items are Shopify's own bookkeeping.
        item_id=level.id("variant_id") or item_id,
        sku=settings.sku.apply(level.text("sku")),
        location_id=snapshot.root_id.partition("@")[2],
        quantity=available,  # below zero when more was sold than was there
        counted_at=level.need_time("updated_at"),
    )
    return Outcome((state_changed(snapshot.account, Kind.STOCK_COUNTED, count, refs=(item_id,)),))
