"""Products and prices out of what a catalogue search found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from libs.canonical.catalogue import Price, Product
from libs.canonical.event import AnyEvent, state_changed
from libs.canonical.identity import Account
from libs.canonical.kinds import Kind
from libs.connectors.contract.source import Outcome
from libs.connectors.square.assembly import category_of
from libs.connectors.square.node import Node
from libs.connectors.square.trade import Trade

_FIXED = "FIXED_PRICING"


@dataclass(frozen=True)
class _Variation:
    """A variation and the item it belongs to, each in the newest version of the page."""

    node: Node
    item: Node

    @property
    def version(self) -> int | None:
        """The newer of the two versions: a renamed item is a new state of each of its variations.

        Versions count over the whole catalogue, so they compare (Square API reference, CatalogObject.version).
        """
        stated = (self.node.whole("version"), self.item.whole("version"))
        return max((each for each in stated if each is not None), default=None)


def read_catalogue(root_id: str, root: Node, account: Account, trade: Trade) -> Outcome:
    """Every variation that changed, or whose item did, with its price everywhere and where a location has its own."""
    pages = root.children("catalogue")
    found = [each for page in pages for each in page.children("objects")]
    related = [each for page in pages for each in page.children("related_objects")]
    items = _newest(each for each in (*found, *related) if each.text("type") == "ITEM")
    categories = _newest(each for each in related if each.text("type") == "CATEGORY")
    variations = _newest(_variations(found))
    events: list[AnyEvent] = []
    for node in variations.values():
        item = items.get(node.child("item_variation_data").text("item_id") or "", Node(None))
        variation = _Variation(node, item)
        events.append(_product(variation, _category(item, categories, trade), account, trade))
        events += _prices(variation, account, trade)
    return Outcome(tuple(events), reason=None if events else "no variation changed")


def _variations(found: Iterable[Node]) -> Iterator[Node]:
    """Those found by themselves and those inside an item that was."""
    for each in found:
        if each.text("type") == "ITEM_VARIATION":
            yield each
        elif each.text("type") == "ITEM":
            yield from each.child("item_data").children("variations")


def _newest(objects: Iterable[Node]) -> dict[str, Node]:
    newest: dict[str, Node] = {}
    for each in objects:
        known = newest.get(each.need("id"))
        if known is None or (each.whole("version") or 0) >= (known.whole("version") or 0):
            newest[each.need("id")] = each
    return newest


def _category(item: Node, categories: dict[str, Node], trade: Trade) -> str | None:
    category_id = category_of(item.child("item_data").value)
    if category_id is None:
        return None
    name = categories.get(category_id, Node(None)).child("category_data").text("name")
    return trade.settings.categories.get(category_id) or trade.settings.categories.get(name or "") or name


def _product(variation: _Variation, category: str | None, account: Account, trade: Trade) -> AnyEvent:
    data, item = variation.node.child("item_variation_data"), variation.item.child("item_data")
    gone = variation.node.flag("is_deleted") or variation.item.flag("is_deleted") or item.flag("is_archived")
    changes = [node.moment("updated_at") for node in (variation.node, variation.item) if node]
    product = Product(
        id=variation.node.need("id"),
        product_id=data.text("item_id"),
        sku=trade.settings.sku.apply(data.text("sku")),
        gtin=data.text("upc"),
        name=item.text("name") or data.text("name") or variation.node.need("id"),
        variation=data.text("name"),
        category=category,
        description=item.text("description_plaintext") or item.text("description"),
        active=not gone,
        updated_at=max((each for each in changes if each), default=None) or variation.node.need_moment("updated_at"),
    )
    return state_changed(account, Kind.PRODUCT_CHANGED, product, vendor_version=variation.version)


def _prices(variation: _Variation, account: Account, trade: Trade) -> Iterator[AnyEvent]:
    """The fixed price, and that of each location that has its own; a price keyed in at the till is none."""
    node = variation.node
    data = node.child("item_variation_data")
    if node.flag("is_deleted"):
        return
    for holder in (data, *data.children("location_overrides")):
        amount = holder.money("price_money")
        if amount is None or (holder.text("pricing_type") or data.text("pricing_type") or _FIXED) != _FIXED:
            continue
        price = Price(
            id=node.need("id"),
            sku=trade.settings.sku.apply(data.text("sku")),
            location_id=holder.need("location_id") if holder is not data else None,
            price=amount,
            updated_at=node.need_moment("updated_at"),
        )
        yield state_changed(account, Kind.PRICE_CHANGED, price, vendor_version=node.whole("version"))
