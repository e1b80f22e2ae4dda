"""Canonical sales and refunds for tests of everything behind the retail topics."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from libs.canonical.customer import Customer
from libs.canonical.event import AnyEvent, Event, encode, refund_completed, sale_completed, state_changed
from libs.canonical.identity import Account
from libs.canonical.kinds import Kind
from libs.canonical.money import Money
from libs.canonical.sale import CustomerRef, Refund, RefundLine, Sale, SaleLine, Tax, Tender, TenderType
from libs.runtime.kafka.writer import Outgoing

ACCOUNT = Account(vendor="square", id="ML1")
NOON = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)


def usd(minor: int) -> Money:
    """Cents."""
    return Money(minor=minor, currency="USD")


def sale(
    number: int, *, price: int = 1000, tax: int = 80, customer: CustomerRef | None = None, **more: Any
) -> Event[Sale]:
    """A sale of one line with one tax, paid by card."""
    total = price + tax
    data = Sale(
        id=f"order-{number}",
        number=f"R{number}",
        location_id=more.pop("location_id", "L1"),
        channel="pos",
        currency="USD",
        customer=customer,
        closed_at=NOON + timedelta(seconds=number),
        business_day=(NOON + timedelta(seconds=number)).date(),
        timezone="UTC",
        lines=(
            SaleLine(
                id="1", name="Coffee", sku=f"SKU-{number % 7}", quantity=Decimal(1), unit_price=usd(price),
                gross=usd(price), taxes=(Tax(name="Sales tax", rate=Decimal("0.08"), amount=usd(tax)),),
                total=usd(total),
            ),
        ),
        tip=usd(0),
        rounding=usd(0),
        tenders=(Tender(id=f"pay-{number}", type=TenderType.CARD, amount=usd(total), tip=usd(0), card_brand="VISA"),),
        total=usd(total),
        **more,
    )  # fmt: skip
    return sale_completed(ACCOUNT, data, recorded_at=data.closed_at, version=1, refs=(f"pay-{number}",))


def refund(number: int, *, amount: int = 1080, tax: int = 80) -> Event[Refund]:
    """A refund of the sale of that number."""
    data = Refund(
        id=f"refund-{number}",
        sale_id=f"order-{number}",
        location_id="L1",
        channel="pos",
        currency="USD",
        refunded_at=NOON + timedelta(hours=1),
        business_day=NOON.date(),
        timezone="UTC",
        lines=(
            RefundLine(
                id="1", name="Coffee", quantity=Decimal(1), gross=usd(amount - tax), total=usd(amount),
                taxes=(Tax(name="Sales tax", rate=Decimal("0.08"), amount=usd(tax)),),
            ),
        ),
        unitemised=usd(0),
        tip=usd(0),
        rounding=usd(0),
        tenders=(Tender(id=f"back-{number}", type=TenderType.CARD, amount=usd(amount), tip=usd(0)),),
        total=usd(amount),
        refunded_to_date=usd(amount),
    )  # fmt: skip
    return refund_completed(ACCOUNT, data, recorded_at=data.refunded_at, version=2)


def customer(name: str, version: int, *, email: str | None = None, given_name: str = "Ana") -> Event[Any]:
    """A customer's state with the vendor's version."""
    data = Customer(id=name, given_name=given_name, family_name="Ruiz", email=email, updated_at=NOON)
    return state_changed(ACCOUNT, Kind.CUSTOMER_CHANGED, data, vendor_version=version)


def outgoing(event: AnyEvent) -> Outgoing:
    """The event as a record of its topic."""
    key, value, headers = encode(event)
    return Outgoing(event.topic, key, value, headers)
