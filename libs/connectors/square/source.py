"""Square as a source: the functions of the contract, put together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from libs.canonical.event import AnyEvent, refund_completed, sale_completed, sale_voided
from libs.canonical.identity import Account
from libs.canonical.moments import TimeError, micros
from libs.canonical.money import MoneyError
from libs.connectors.contract.manifest import load_manifest
from libs.connectors.contract.source import Outcome, Snapshot, Source, SourceSettings, Unmappable
from libs.connectors.square.assembly import assemble
from libs.connectors.square.catalogue import read_catalogue
from libs.connectors.square.customer import read_customer
from libs.connectors.square.node import Node
from libs.connectors.square.notification import identify
from libs.connectors.square.pull import pull
from libs.connectors.square.refund import RefundSeen, read_refunds
from libs.connectors.square.sale import SaleSeen, is_sale, read_sale
from libs.connectors.square.signature import verify
from libs.connectors.square.stock import read_stock
from libs.connectors.square.trade import Trade

MANIFEST = load_manifest(Path(__file__).parent)


def to_canonical(snapshot: Snapshot, settings: SourceSettings) -> Outcome:
    """Everything the snapshot shows. Raises Unmappable, and nothing else, when it cannot be read."""
    read = _READERS.get(snapshot.root_kind)
    if read is None:
        raise Unmappable(f"Square has no root called {snapshot.root_kind[:40]!r}", "root_kind")
    try:
        return read(snapshot.root_id, Node(snapshot.parts), snapshot.account, Trade(snapshot.parts, settings))
    except ValidationError as error:
        # Its own message would repeat the value.
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Unmappable(f"is not acceptable: {first['type']}", f"{error.title}.{where}") from None
    except (MoneyError, TimeError) as error:
        raise Unmappable(str(error)) from None


def _read_trade(root_id: str, root: Node, account: Account, trade: Trade) -> Outcome:
    """Every sale and refund that hangs together with the root, whichever of them was notified.

    A sale stands before its refunds, so that nobody who reads in order meets a refund without its sale.
    """
    orders = sorted(
        (order for order in trade.all("order") if is_sale(order)),
        key=lambda order: (order.text("created_at") or "", order.need("id")),
    )
    sales = {order.need("id"): read_sale(order, trade) for order in orders}
    refunds = read_refunds(trade, sales)
    events = [event for order in orders for event in _sale_events(order, sales[order.need("id")], account)]
    events += [event for seen in refunds for event in _refund_events(seen, account)]
    told: tuple[SaleSeen | RefundSeen, ...] = (*sales.values(), *refunds)
    untold = [seen for seen in told if seen.reason]
    reason = "; ".join(dict.fromkeys(seen.reason for seen in untold if seen.reason))
    waits = any(seen.waits for seen in untold)
    if not events and not reason:
        reason = "goods brought back only: their refund tells it"
    return Outcome(tuple(events), not_yet=waits, reason=reason or None)


def _sale_events(order: Node, seen: SaleSeen, account: Account) -> list[AnyEvent]:
    """The order's `updated_at` is the version of its sale: till orders have no `version` (Order.version), and all
    money is read from the order."""
    if seen.sale is None:
        return []
    recorded_at = order.moment("updated_at") or seen.sale.closed_at
    version = micros(recorded_at)
    events: list[AnyEvent] = [
        sale_completed(account, seen.sale, recorded_at=recorded_at, version=version, refs=seen.refs)
    ]
    if seen.void is not None:
        events.append(sale_voided(account, seen.void, recorded_at=recorded_at, version=version))
    return events


def _refund_events(seen: RefundSeen, account: Account) -> list[AnyEvent]:
    """The refund's `updated_at` is its version."""
    if seen.refund is None:
        return []
    version = micros(seen.recorded_at or seen.refund.refunded_at)
    return [refund_completed(account, seen.refund, recorded_at=seen.recorded_at, version=version, refs=seen.refs)]


_READERS: dict[str, Callable[[str, Node, Account, Trade], Outcome]] = {
    "order": _read_trade,
    "refund": _read_trade,
    "customer": read_customer,
    "stock": read_stock,
    "catalogue": read_catalogue,
}

source = Source(
    manifest=MANIFEST,
    verify=verify,
    identify=identify,
    assemble=assemble,
    to_canonical=to_canonical,
    pull=pull,
)
