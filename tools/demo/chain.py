"""The demo's chain of stores: fifteen on Square, five on Shopify POS, in three time zones."""

from __future__ import annotations

from tools.demo.baskets import Shopping
from tools.demo.till import Store, code

MERCHANT = "MLDEMOCHAIN01"
SHOP = "demo-chain.myshopify.com"
SHOP_ZONE = "America/New_York"

_TOWNS = (
    "Harbour Street", "Mill Lane", "Station Square", "Oak Avenue", "River Road", "Market Hall", "Church Hill",
    "Bridge End", "Old Town", "North Gate", "South Park", "West Field", "East Side", "Lake View", "Hill Top",
    "Garden Court", "King Street", "Orchard Way", "Forge Yard", "Canal Walk",
)  # fmt: skip
_ZONES = ("America/New_York", "America/Chicago", "America/Los_Angeles", "America/Phoenix")

# Percentages by zone; where there are two, both are on the same goods.
_TAXES: dict[str, tuple[tuple[str, str], ...]] = {
    "America/New_York": (("Sales Tax", "8.25"),),
    "America/Chicago": (("State Tax", "6.25"), ("City Tax", "2")),
    "America/Los_Angeles": (("State Tax", "7.25"), ("District Tax", "1.5")),
    "America/Phoenix": (("Sales Tax", "8.6"),),
}
# Which of the ten stores of each way of booking sell by Shopify POS.
_ON_SHOPIFY = {"qbo-journal": (5, 8), "qbo-receipts": (1, 4, 7)}


def stores_of(shopping: Shopping) -> dict[int, Store]:
    """The twenty stores by their number in the data."""
    found: dict[int, Store] = {}
    for books, numbers in (("qbo-journal", shopping.journal_stores), ("qbo-receipts", shopping.receipt_stores)):
        for place, number in enumerate(numbers):
            found[number] = _store(number, len(found), books, shopify=place in _ON_SHOPIFY[books])
    return found


def _store(number: int, index: int, books: str, *, shopify: bool) -> Store:
    zone = _ZONES[index % len(_ZONES)]
    return Store(
        number=number,
        name=_TOWNS[index],
        vendor="shopify" if shopify else "square",
        location=str(70_000_000 + number) if shopify else f"L{code('location', number, length=12)}",
        timezone=zone,
        books="qbo-journal" if books == "qbo-journal" else "qbo-receipts",
        taxes=_TAXES[zone],
    )
