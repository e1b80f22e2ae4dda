"""Sales of all shapes whose sums hold, and the refund that takes one back whole."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from hypothesis import strategies as st

from libs.canonical.money import Money, apportion, total
from libs.canonical.sale import (
    Discount,
    LineKind,
    Refund,
    RefundLine,
    Sale,
    SaleLine,
    ServiceCharge,
    Tax,
    Tender,
    TenderType,
    additive,
)

CLOSED = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)


def money(minor: int, currency: str) -> Money:
    """Minor units of that currency."""
    return Money(minor=minor, currency=currency)


@st.composite
def _taxes(draw: st.DrawFn, currency: str) -> tuple[Tax, ...]:
    return tuple(
        Tax(
            name=draw(st.sampled_from(("State", "City", "VAT"))),
            rate=draw(st.sampled_from((None, Decimal("0.08"), Decimal("0.19"), Decimal("0.0825")))),
            amount=money(draw(st.integers(0, 500)), currency),
            inclusive=draw(st.booleans()),
        )
        for _ in range(draw(st.integers(0, 2)))
    )


@st.composite
def _line(draw: st.DrawFn, number: int, currency: str, discounted: bool) -> SaleLine:
    gross = money(draw(st.integers(0, 10_000)), currency)
    off = draw(st.integers(0, gross.minor)) if discounted else 0
    taxes = draw(_taxes(currency))
    return SaleLine(
        id=str(number),
        kind=draw(st.sampled_from(LineKind)),
        name="Something",
        category=draw(st.sampled_from((None, "Drinks", "Food"))),
        quantity=Decimal(1),
        unit_price=gross,
        gross=gross,
        discounts=(Discount(name="Autumn", amount=money(off, currency)),) if off else (),
        taxes=taxes,
        total=gross - money(off, currency) + additive(taxes, currency),
    )


@st.composite
def _charge(draw: st.DrawFn, currency: str) -> ServiceCharge:
    amount = money(draw(st.integers(0, 900)), currency)
    taxes = draw(_taxes(currency))
    return ServiceCharge(
        name=draw(st.sampled_from(("Delivery", "Gratuity"))),
        amount=amount,
        taxes=taxes,
        total=amount + additive(taxes, currency),
        paid_to_staff=draw(st.booleans()),
    )


@st.composite
def sales(draw: st.DrawFn, *, discounted: bool = True) -> Sale:
    """A sale that adds up: any lines, taxes of both sorts, charges, tip, rounding, several tenders."""
    currency = draw(st.sampled_from(("USD", "JPY", "KWD")))
    lines = tuple(draw(_line(n, currency, discounted)) for n in range(draw(st.integers(0, 4))))
    charges = tuple(draw(_charge(currency)) for _ in range(draw(st.integers(0, 2))))
    tip, rounding = money(draw(st.integers(0, 300)), currency), money(draw(st.integers(-4, 4)), currency)
    due = total([*(x.total for x in lines), *(c.total for c in charges), tip, rounding], currency)
    weights = draw(st.lists(st.integers(0, 9), min_size=1, max_size=3))
    tenders = tuple(
        Tender(
            id=f"t{n}",
            type=draw(st.sampled_from(TenderType)),
            label=draw(st.sampled_from((None, "DoorDash"))),
            amount=part,
            tip=money(0, currency),
        )
        for n, part in enumerate(apportion(due, weights))
    )
    return Sale(
        id="s1", location_id="L1", channel="pos", currency=currency, closed_at=CLOSED, business_day=CLOSED.date(),
        timezone="UTC", lines=lines, service_charges=charges, tip=tip, rounding=rounding, tenders=tenders, total=due,
    )  # fmt: skip


def refund_of_everything(sale: Sale, day: date | None = None) -> Refund:
    """The refund that gives back each line, charge and tender of the sale, as a vendor shows it: amounts positive."""
    return Refund(
        id="r1", sale_id=sale.id, location_id=sale.location_id, channel=sale.channel, currency=sale.currency,
        refunded_at=sale.closed_at, business_day=day or sale.business_day, timezone=sale.timezone,
        lines=tuple(RefundLine.model_validate(line.model_dump()) for line in sale.lines),
        service_charges=sale.service_charges, unitemised=Money.zero(sale.currency), tip=sale.tip,
        rounding=sale.rounding, tenders=sale.tenders, total=sale.total,
    )  # fmt: skip
