"""Every kind of event, in one table: fact or state, its topic, how it is ordered, how long it is of use."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from pydantic import BaseModel

from libs.canonical.catalogue import Price, Product, StockCount
from libs.canonical.customer import Customer, CustomerErased
from libs.canonical.day import DayClosed
from libs.canonical.sale import Amendment, Refund, Sale, Voided


class Nature(StrEnum):
    """A fact happened once; a state is replaced by a newer one."""

    FACT = "fact"
    STATE = "state"


class Kind(StrEnum):
    """The kinds that are written today."""

    SALE_COMPLETED = "sale.completed"
    SALE_AMENDED = "sale.amended"
    SALE_VOIDED = "sale.voided"
    REFUND_COMPLETED = "refund.completed"
    CUSTOMER_CHANGED = "customer.changed"
    CUSTOMER_ERASED = "customer.erased"
    PRODUCT_CHANGED = "product.changed"
    PRICE_CHANGED = "price.changed"
    STOCK_COUNTED = "stock.counted"
    DAY_CLOSED = "day.closed"


# Names that are taken: no connector may use them for anything else.
RESERVED = frozenset(
    (
        "order.placed",
        "order.updated",
        "order.fulfilled",
        "order.cancelled",
        "stock.adjusted",
        "stock.transferred",
    )
    + ("reservation.changed", "payout.settled", "shift.closed", "giftcard.activated", "giftcard.redeemed")
    + ("loyalty.changed", "profile.changed", "stock.low", "staff.day", "discrepancy.found")
)


@dataclass(frozen=True)
class KindSpec:
    """What the whole system must know of a kind.

    `entity` names the root whose key orders the events: a refund is ordered with its sale. `useful_for`: after that
    long it is superseded instead of delivered; None: for ever.
    """

    kind: Kind
    nature: Nature
    topic: str
    entity: str
    model: type[BaseModel]
    useful_for: timedelta | None = None


def _table(*specs: KindSpec) -> dict[Kind, KindSpec]:
    return {spec.kind: spec for spec in specs}


KINDS = _table(
    KindSpec(Kind.SALE_COMPLETED, Nature.FACT, "retail.sales", "sale", Sale),
    KindSpec(Kind.SALE_AMENDED, Nature.FACT, "retail.sales", "sale", Amendment),
    KindSpec(Kind.SALE_VOIDED, Nature.FACT, "retail.sales", "sale", Voided),
    KindSpec(Kind.REFUND_COMPLETED, Nature.FACT, "retail.sales", "sale", Refund),
    KindSpec(Kind.CUSTOMER_CHANGED, Nature.STATE, "retail.customers", "customer", Customer),
    KindSpec(Kind.CUSTOMER_ERASED, Nature.STATE, "retail.customers", "customer", CustomerErased),
    KindSpec(Kind.PRODUCT_CHANGED, Nature.STATE, "retail.products", "product", Product),
    KindSpec(Kind.PRICE_CHANGED, Nature.STATE, "retail.prices", "price", Price),
    KindSpec(Kind.STOCK_COUNTED, Nature.STATE, "retail.stock", "stock", StockCount),
    KindSpec(Kind.DAY_CLOSED, Nature.FACT, "retail.days", "day", DayClosed),
)
