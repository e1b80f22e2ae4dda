"""Shopify as a source: the functions of its parts put together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from libs.connectors.contract.manifest import load_manifest
from libs.connectors.contract.source import Outcome, Snapshot, Source, SourceSettings, Unmappable
from libs.connectors.shopify.answers import judge
from libs.connectors.shopify.assembly import assemble
from libs.connectors.shopify.catalogue import product_outcome
from libs.connectors.shopify.customer import customer_outcome
from libs.connectors.shopify.notification import identify
from libs.connectors.shopify.order import order_outcome
from libs.connectors.shopify.pull import pull
from libs.connectors.shopify.signature import verify
from libs.connectors.shopify.stock import stock_outcome

MAPPINGS: dict[str, Callable[[Snapshot, SourceSettings], Outcome]] = {
    "order": order_outcome,
    "customer": customer_outcome,
    "product": product_outcome,
    "stock": stock_outcome,
}


def to_canonical(snapshot: Snapshot, settings: SourceSettings) -> Outcome:
    """Everything that a snapshot shows; raises Unmappable."""
    mapping = MAPPINGS.get(snapshot.root_kind)
    if mapping is None:
        raise Unmappable("is no kind of root that is known", "root_kind")
    return mapping(snapshot, settings)


manifest = load_manifest(Path(__file__).parent)

source = Source(
    manifest=manifest,
    verify=verify,
    identify=identify,
    assemble=assemble,
    to_canonical=to_canonical,
    pull=pull,
    judge=judge,
)
