"""An order as retail facts: its sale once it is paid, its refunds, and its end.

Whether an order is a sale, Shopify's financial status says; how it was paid, its transactions do. Both come from one
answer. A sale whose sums do not hold is passed on as it is: whoever reads it can check them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from libs.canonical.event import AnyEvent, refund_completed, sale_completed, sale_voided
from libs.canonical.identity import Account
from libs.canonical.moments import micros, settle
from libs.canonical.money import Money
from libs.canonical.sale import Refund, Sale, Tender, TenderType, Voided
from libs.connectors.contract.source import Outcome, Snapshot, SourceSettings
from libs.connectors.shopify.lines import Sold, sold
from libs.connectors.shopify.node import Node
from libs.connectors.shopify.place import Place, place_of, place_without_order
from libs.connectors.shopify.refund import Returned, credit_of, exchange_tender, returned, settled
from libs.connectors.shopify.tenders import Paid, paid

# A till that uploads later than this was offline.
OFFLINE_AFTER = timedelta(minutes=10)

_COMPLETE = {"paid", "partially_refunded", "refunded"}
_OPEN = {"pending", "authorized", "partially_paid", "expired"}


@dataclass(frozen=True)
class _Order:
    """An order read so far."""

    node: Node
    place: Place
    sold: Sold
    paid: Paid
    refunds: Sequence[Returned]
    till: Node

    @property
    def due(self) -> Money:
        """What was to be paid, before cash rounding; returns do not change it (GraphQL, Order.totalPriceSet)."""
        return self.node.need_money("total_price", self.place.currency)

    @property
    def gap(self) -> Money:
        """What the payments leave open."""
        return self.due - self.paid.amount

    @property
    def exchanged(self) -> Money:
        """How much of it goods handed back have paid."""
        credit = credit_of(self.refunds, self.place.currency)
        return Money(minor=max(0, min(self.gap.minor, credit.minor)), currency=self.place.currency)


def order_outcome(snapshot: Snapshot, settings: SourceSettings) -> Outcome:
    """Everything an order's snapshot shows; raises Unmappable."""
    parts = snapshot.parts
    shop = Node.of(parts.get("shop"), "shop")
    if parts.get("order") is None:
        return _out_of_reach(snapshot, shop, settings)
    node = Node.of(parts["order"], "order")
    if node.flag("test"):
        return Outcome(reason="a test order")
    order = _read(node, shop, parts, settings)
    status = node.text("financial_status")
    if status in _OPEN:
        if node.time("cancelled_at"):
            return Outcome(reason="cancelled before it was paid in full: never a sale")
        return Outcome(not_yet=True, reason=f"financial status is {status}")
    if status == "voided" and not order.paid.tenders:
        return Outcome(reason="its payment was voided before it was taken: never a sale")
    if status not in _COMPLETE and status != "voided":
        node.fail("financial_status", "is none that is known")
    if order.gap.minor > order.exchanged.minor and order.paid.under_way:
        return Outcome(not_yet=True, reason="a payment is still under way")
    return Outcome(_events(snapshot.account, order, status))


def _read(node: Node, shop: Node, parts: Mapping[str, Any], settings: SourceSettings) -> _Order:
    place = place_of(node, shop, settings)
    goods = sold(node, _more(parts, "more_line_items"), place)
    _whole(node)
    order_id = node.need_id("id")
    return _Order(
        node=node,
        place=place,
        sold=goods,
        paid=paid(node.nodes("transactions"), goods.tip, place),
        refunds=[_refund(record, parts, order_id, goods, place) for record in node.nodes("refunds")],
        till=Node.of(parts.get("till") or {}, "till"),
    )


def _refund(record: Node, parts: Mapping[str, Any], order_id: str, goods: Sold, place: Place) -> Returned:
    _whole(record)
    more = _more(parts, f"more_refund_line_items:{record.need_id('id')}")
    return returned(record, more, order_id, goods, place)


def _more(parts: Mapping[str, Any], name: str) -> list[Node]:
    return Node(parts, "parts").nodes(name)


def _whole(node: Node) -> None:
    if node.value.get("too_long"):
        node.fail("too_long", "lists more than one page holds of something that is never long")


def _events(account: Account, order: _Order, status: str | None) -> tuple[AnyEvent, ...]:
    node = order.node
    sale = _sale(order)
    updated = node.need_time("updated_at")
    payments = _transactions(sale.tenders)
    receipt = node.text("source_identifier")
    completed = sale_completed(
        account,
        sale,
        recorded_at=updated,
        version=micros(updated),
        refs=[*([receipt] if receipt else []), *payments],
    )
    cancelled = node.time("cancelled_at")
    # A cancelled order that stays paid keeps its money until a refund returns it, which may be made moments later: a
    # void as well would take the money back twice.
    undone = status == "voided" or (cancelled is not None and not order.due)
    if undone and not any(each.moves_money for each in order.refunds):
        void = Voided(
            sale_id=sale.id,
            location_id=sale.location_id,
            currency=sale.currency,
            voided_at=cancelled or updated,
            business_day=order.place.day(sale.location_id, cancelled or updated),
            timezone=sale.timezone,
            reason=node.text("cancel_reason"),
        )
        return completed, sale_voided(account, void, recorded_at=updated, version=micros(updated))
    records = {each.refund.id: each.record for each in order.refunds}
    refunds = settled(order.refunds, order.exchanged)
    return completed, *(_refund_event(account, refund, records[refund.id]) for refund in refunds)


def _transactions(tenders: Sequence[Tender]) -> list[str]:
    """The ids under which Shopify keeps the payments; an exchange has none."""
    return [tender.id for tender in tenders if tender.type is not TenderType.EXCHANGE]


def _refund_event(account: Account, refund: Refund, record: Node) -> AnyEvent:
    created = record.need_time("created_at")
    return refund_completed(
        account, refund, recorded_at=created, version=micros(created), refs=_transactions(refund.tenders)
    )


def _sale(order: _Order) -> Sale:
    node, place = order.node, order.place
    created = node.need_time("created_at")
    occurred = node.time("processed_at") or created
    closed, suspect = settle(occurred, created)
    order_id = node.need_id("id")
    exchanged = order.exchanged
    tenders = (*order.paid.tenders, exchange_tender(order_id, exchanged)) if exchanged else order.paid.tenders
    credited = [each.refund.id for each in order.refunds if each.credit.minor > 0 and not each.under_way]
    return Sale(
        id=order_id,
        number=node.text("name"),
        location_id=place.location_id,
        channel=place.channel,
        register_id=node.id("device_id") or order.till.id("device_id") or _device(node),
        staff_id=node.id("user_id") or order.till.id("user_id"),
        customer=place.customer,
        currency=place.currency,
        closed_at=closed,
        business_day=place.day(place.location_id, closed),
        timezone=place.zone(place.location_id).key,
        lines=(*order.sold.lines.values(), *order.sold.shipping.values()),
        service_charges=order.sold.charges,
        tip=order.sold.tip,
        rounding=order.paid.rounding,
        tenders=tenders,
        total=order.due + order.paid.rounding,
        presentment_total=_presentment(node, place),
        offline=place.channel == "pos" and created - occurred > OFFLINE_AFTER,
        clock_suspect=suspect,
        exchange_refund_id=credited[-1] if exchanged and credited else None,
        note=node.text("note"),
    )


def _device(node: Node) -> str | None:
    return next((found for each in node.nodes("transactions") if (found := each.id("device_id"))), None)


def _presentment(node: Node, place: Place) -> Money | None:
    """What the buyer saw, when that was in another currency than the books are kept in."""
    bag = node.maybe_node("total_price_set")
    shown = bag.maybe_node("presentment_money") if bag else None
    currency = shown.currency("currency_code") if shown else place.currency
    return shown.money("amount", currency) if shown and currency != place.currency else None


def _out_of_reach(snapshot: Snapshot, shop: Node, settings: SourceSettings) -> Outcome:
    """An order that Shopify does not show: deleted, or older than the 60 days that `read_orders` reaches back.

    The refund that a webhook brought along is read without it.
    """
    record = Node(snapshot.parts, "parts").maybe_node("refund")
    if record is None:
        return Outcome(reason="Shopify does not show the order: deleted, or older than read_orders reaches")
    transactions = record.nodes("transactions")
    where = next((found for node in transactions if (found := node.id("location_id"))), None)
    place = place_without_order(shop, where, settings)
    for node in transactions:
        if node.text("currency") not in (None, place.currency):
            node.fail("currency", "is not the shop's currency, and the order that tells the rate is out of reach")
    read = returned(record, (), snapshot.root_id, None, place)
    if read.under_way:
        return Outcome(not_yet=True, reason="the refund's payment is still under way")
    refund = settled([read], Money.zero(place.currency))[0]
    # Nothing is known of earlier refunds of that order.
    refund = refund.model_copy(update={"refunded_to_date": None})
    return Outcome((_refund_event(snapshot.account, refund, record),))
