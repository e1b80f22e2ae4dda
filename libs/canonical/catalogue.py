"""What is sold, at what price, and how much of it is there."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from libs.canonical.frozen import Frozen
from libs.canonical.money import Money


class Product(Frozen):
    """One sellable variation."""

    id: str  # the vendor's id of the variation
    product_id: str | None = None  # the vendor's id of the item that groups variations
    sku: str | None = None
    gtin: str | None = None
    name: str
    variation: str | None = None
    category: str | None = None
    description: str | None = None
    active: bool = True
    updated_at: datetime


class Price(Frozen):
    """The selling price of a variation, everywhere or at one location."""

    id: str
    sku: str | None = None
    location_id: str | None = None
    price: Money
    compare_at: Money | None = None
    updated_at: datetime


class StockCount(Frozen):
    """How many are on the shelf of a location, absolute."""

    item_id: str
    sku: str | None = None
    location_id: str
    quantity: Decimal
    counted_at: datetime
