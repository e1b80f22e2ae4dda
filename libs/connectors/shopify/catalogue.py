"""Products and prices: every variant is a product of its own, and has one price in the shop's currency."""

from __future__ import annotations

import re
from collections.abc import Iterator

from libs.canonical.catalogue import Price, Product
from libs.canonical.event import AnyEvent, state_changed
from libs.canonical.identity import Account
from libs.canonical.kinds import Kind
from libs.connectors.contract.source import Outcome, Snapshot, SourceSettings
from libs.connectors.shopify.node import Node

# GTIN-8, -12, -13, -14; anything else in `barcode` is the shop's own.
_GTIN = re.compile(r"[0-9]{8}|[0-9]{12,14}")
_FOR_SALE = {"active", "unlisted"}
# What Shopify calls the only variant of a product without options.
_NO_VARIATION = "Default Title"


def product_outcome(snapshot: Snapshot, settings: SourceSettings) -> Outcome:
    """What a product's snapshot shows; raises Unmappable."""
    parts = Node(snapshot.parts, "parts")
    product = parts.maybe_node("product")
    if product is None:
        return Outcome(reason="Shopify does not show the product (any more)")
    currency = parts.node("shop").currency("currency")
    variants = [*product.nodes("variants"), *parts.nodes("more_variants")]
    if not variants:
        return Outcome(reason="a product without variants")
    return Outcome(
        tuple(
            event
            for variant in variants
            for event in _events(snapshot.account, product, variant, currency=currency, settings=settings)
        )
    )


def _events(
    account: Account, product: Node, variant: Node, *, currency: str, settings: SourceSettings
) -> Iterator[AnyEvent]:
    variant_id = variant.need_id("id")
    sku = settings.sku.apply(variant.text("sku"))
    changed = variant.need_time("updated_at")
    group = product.text("product_type")
    barcode = variant.text("barcode")
    variation = variant.text("title")
    yield state_changed(
        account,
        Kind.PRODUCT_CHANGED,
        Product(
            id=variant_id,
            product_id=product.need_id("id"),
            sku=sku,
            gtin=barcode if barcode and _GTIN.fullmatch(barcode) else None,
            name=product.text("title") or "Product",
            variation=None if variation == _NO_VARIATION else variation,
            category=settings.categories.get(group, group) if group else None,
            description=product.text("description"),
            active=product.text("status") in _FOR_SALE,
            # Title and status belong to the product, the rest to the variant.
            updated_at=max(changed, product.need_time("updated_at")),
        ),
        refs=_refs(variant),
    )
    before = variant.money("compare_at_price", currency)
    price = Price(
        id=variant_id,
        sku=sku,
        price=variant.need_money("price", currency),
        compare_at=before or None,
        updated_at=changed,
    )
    yield state_changed(account, Kind.PRICE_CHANGED, price)


def _refs(variant: Node) -> tuple[str, ...]:
    stock_item = variant.id("inventory_item_id")
    return (stock_item,) if stock_item else ()
