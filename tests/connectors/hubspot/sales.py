"""Sales, refunds and customers to try the connector with."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from libs.canonical.customer import Customer, CustomerErased
from libs.canonical.event import AnyEvent, refund_completed, sale_amended, sale_completed, sale_voided, state_changed
from libs.canonical.identity import Account
from libs.canonical.kinds import Kind
from libs.canonical.money import Money, times
from libs.canonical.sale import CustomerRef, Refund, Sale, SaleLine, Tender, TenderType, Voided

ACCOUNT = Account(vendor="square", id="ML1")
NOON = datetime(2026, 3, 2, 11, 0, tzinfo=UTC)
DAY = date(2026, 3, 2)
ANA = CustomerRef(id="C-1009", email="ana@example.org", given_name="Ana", family_name="Ruiz")


def eur(minor: int) -> Money:
    """Cents of a euro."""
    return Money(minor=minor, currency="EUR")


def line(name: str = "Oat Milk", minor: int = 250, quantity: str = "1", **more: Any) -> SaleLine:
    """A line whose gross is quantity x price, unless said otherwise."""
    gross = times(eur(minor), Decimal(quantity))
    given: dict[str, Any] = {"id": f"l-{name}", "sku": "0042", "gross": gross, "total": gross} | more
    return SaleLine(name=name, quantity=Decimal(quantity), unit_price=eur(minor), **given)


def sale(*lines: SaleLine, number: str = "1042", customer: CustomerRef | None = ANA, **more: Any) -> Sale:
    """A sale paid in cash."""
    lines = lines or (line(),)
    due = eur(sum(one.total.minor for one in lines))
    given: dict[str, Any] = {
        "id": f"S-{number}",
        "tip": eur(0),
        "rounding": eur(0),
        "tenders": (Tender(id="t-1", type=TenderType.CASH, amount=due, tip=eur(0)),),
        "total": due,
    } | more
    return Sale(
        number=number,
        location_id="L1",
        channel="pos",
        customer=customer,
        currency="EUR",
        closed_at=NOON,
        business_day=DAY,
        timezone="Europe/Madrid",
        lines=lines,
        **given,
    )


def completed(sold: Sale) -> AnyEvent:
    """The sale as an event."""
    return sale_completed(ACCOUNT, sold, recorded_at=NOON, version=1)


def amended(before: Sale, after: Sale) -> AnyEvent:
    """The sale's first amendment."""
    return sale_amended(sale_completed(ACCOUNT, after, recorded_at=NOON, version=2), before, 1)


def voided(sale_id: str) -> AnyEvent:
    """The sale's void."""
    void = Voided(
        sale_id=sale_id, location_id="L1", currency="EUR", voided_at=NOON, business_day=DAY, timezone="Europe/Madrid"
    )
    return sale_voided(ACCOUNT, void, recorded_at=NOON, version=3)


def refunded(sale_id: str | None, minor: int, to_date: int | None) -> AnyEvent:
    """A refund in cash without lines."""
    refund = Refund(
        id="R-1",
        sale_id=sale_id,
        location_id="L1",
        channel="pos",
        currency="EUR",
        refunded_at=NOON,
        business_day=DAY,
        timezone="Europe/Madrid",
        unitemised=eur(minor),
        tip=eur(0),
        rounding=eur(0),
        tenders=(Tender(id="r-1", type=TenderType.CASH, amount=eur(minor), tip=eur(0)),),
        total=eur(minor),
        refunded_to_date=None if to_date is None else eur(to_date),
    )
    return refund_completed(ACCOUNT, refund, recorded_at=NOON, version=4)


def customer(**more: Any) -> AnyEvent:
    """A new state of Ana."""
    given: dict[str, Any] = {
        "id": "C-1009",
        "email": "ana@example.org",
        "given_name": "Ana",
        "family_name": "Ruiz",
        "updated_at": NOON,
    } | more
    return state_changed(ACCOUNT, Kind.CUSTOMER_CHANGED, Customer(**given))


def erased(*, on_request: bool) -> AnyEvent:
    """Ana's erasure."""
    gone = CustomerErased(id="C-1009", erased_at=NOON, on_request=on_request)
    return state_changed(ACCOUNT, Kind.CUSTOMER_ERASED, gone)
