"""Sales, refunds and settings of a small shop, as the tests need them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from libs.canonical.day import (
    DayClosed,
    DayLine,
    FlaggedMember,
    lines_of_refund,
    lines_of_sale,
    merge,
    paid_for,
    paid_with,
    reverse,
)
from libs.canonical.event import (
    AnyEvent,
    Event,
    day_closed,
    refund_completed,
    sale_amended,
    sale_completed,
    sale_voided,
)
from libs.canonical.identity import Account
from libs.canonical.money import Money, total
from libs.canonical.sale import (
    CustomerRef,
    Discount,
    Refund,
    RefundLine,
    Sale,
    SaleLine,
    ServiceCharge,
    Tax,
    Tender,
    Voided,
    additive,
    check_refund,
    check_sale,
)
from libs.connectors.quickbooks.config import Settings

ACCOUNT = Account(vendor="square", id="ML1")
NOON = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)
DAY = date(2026, 11, 21)

ACCOUNTS = {
    "sales": {"default": "79", "groups": {"Food": "80"}},
    "discounts": {"default": "81"},
    "returns": {"default": "82"},
    "shipping": {"default": "83"},
    "service_charges": {"default": "84"},
    "taxes": {"default": "90"},
    "tips": {"default": "95"},
    "gift_cards": {"default": "96"},
    "store_credit": "97",
    "donations": {"default": "85"},
    "rounding": {"default": "86"},
    "tenders": {"groups": {"card": "91", "cash": "92", "external:DoorDash": "93", "exchange": "94"}},
}
ITEMS = {
    "default_item": "11",
    "gift_card": "12",
    "shipping": "13",
    "donation": "14",
    "service_charges": {"default": "15"},
    "tips": "16",
    "rounding": "17",
    "taxes": {"default": "18"},
    "tenders": {
        "groups": {
            "card": "21", "cash": "22", "external:DoorDash": "23", "gift_card": "24", "store_credit": "25",
            "exchange": "26",
        }
    },
}  # fmt: skip


def settings_json(mode: str, currency: str = "USD", **more: Any) -> dict[str, Any]:
    """Complete settings, without an account for unexplained differences."""
    base = {
        "mode": mode,
        "home_currency": currency,
        "accounts": ACCOUNTS,
        "items": ITEMS,
        "walk_in_customer": "58",
        "refund_account": "92",
    }
    return base | more


def settings(mode: str, currency: str = "USD", **more: Any) -> Settings:
    return Settings.model_validate(settings_json(mode, currency, **more))


def with_differences(mode: str) -> dict[str, Any]:
    """Settings with an account and an item for unexplained differences."""
    return settings_json(
        mode,
        accounts=ACCOUNTS | {"unexplained_differences": "87"},
        items=ITEMS | {"unexplained_differences": "19"},
    )


def money(minor: int, currency: str = "USD") -> Money:
    return Money(minor=minor, currency=currency)


def tax(
    minor: int, rate: str = "0.08", name: str = "Sales Tax", *, inclusive: bool = False, currency: str = "USD"
) -> Tax:
    return Tax(name=name, rate=Decimal(rate), amount=money(minor, currency), inclusive=inclusive)


def off(minor: int, name: str = "Happy hour", scope: str = "line") -> Discount:
    return Discount(name=name, amount=money(minor), scope=scope)


def line(
    gross: int, *, quantity: str = "1", taxes: Iterable[Tax] = (), discounts: Iterable[Discount] = (), **more: Any
) -> SaleLine:
    currency = more.pop("currency", "USD")
    taxes, discounts = tuple(taxes), tuple(discounts)
    taken_off = total((discount.amount for discount in discounts), currency)
    count = Decimal(quantity)
    return SaleLine(
        **{
            "id": "l1",
            "name": "Espresso",
            "sku": "ESP-1",
            "quantity": count,
            "unit_price": money(int(gross / count) if count else gross, currency),
            "gross": money(gross, currency),
            "discounts": discounts,
            "taxes": taxes,
            "total": money(gross, currency) - taken_off + additive(taxes, currency),
            **more,
        }
    )


def tender(minor: int, kind: str = "card", *, tip: int = 0, currency: str = "USD", **more: Any) -> Tender:
    return Tender(
        **{"id": f"t-{kind}", "type": kind, "amount": money(minor, currency), "tip": money(tip, currency), **more}
    )


def charge(
    minor: int, *, paid_to_staff: bool = False, name: str = "Large party", taxes: Iterable[Tax] = ()
) -> ServiceCharge:
    taxes = tuple(taxes)
    return ServiceCharge(
        name=name,
        amount=money(minor),
        taxes=taxes,
        total=money(minor) + additive(taxes, "USD"),
        paid_to_staff=paid_to_staff,
    )


def sale(lines: Iterable[SaleLine], tenders: Iterable[Tender], **more: Any) -> Sale:
    currency = more.get("currency", "USD")
    lines = tuple(lines)
    tip = money(more.pop("tip", 0), currency)
    rounding = money(more.pop("rounding", 0), currency)
    charges = more.get("service_charges", ())
    summed = total([each.total for each in (*lines, *charges)] + [tip, rounding], currency)
    return Sale(
        **{
            "id": "Ord9",
            "number": "1043",
            "location_id": "L1",
            "channel": "pos",
            "currency": currency,
            "closed_at": NOON,
            "business_day": DAY,
            "timezone": "America/New_York",
            "lines": lines,
            "tip": tip,
            "rounding": rounding,
            "tenders": tuple(tenders),
            "total": summed,
            **more,
        }
    )


def refund_line(
    gross: int, *, quantity: str = "1", taxes: Iterable[Tax] = (), discounts: Iterable[Discount] = (), **more: Any
) -> RefundLine:
    sold = line(gross, quantity=quantity, taxes=taxes, discounts=discounts, **more)
    return RefundLine.model_validate(sold.model_dump())


def refund(lines: Iterable[RefundLine], tenders: Iterable[Tender], **more: Any) -> Refund:
    currency = more.get("currency", "USD")
    lines = tuple(lines)
    unitemised = money(more.pop("unitemised", 0), currency)
    tip = money(more.pop("tip", 0), currency)
    return Refund(
        **{
            "id": "Ref1",
            "sale_id": "Ord9",
            "location_id": "L1",
            "channel": "pos",
            "currency": currency,
            "refunded_at": NOON,
            "business_day": DAY,
            "timezone": "America/New_York",
            "lines": lines,
            "unitemised": unitemised,
            "tip": tip,
            "rounding": money(0, currency),
            "tenders": tuple(tenders),
            "total": total([*(each.total for each in lines), unitemised, tip], currency),
            **more,
        }
    )


def sold(data: Sale) -> Event[Sale]:
    return sale_completed(ACCOUNT, data, recorded_at=NOON, version=1)


def refunded(data: Refund) -> Event[Refund]:
    return refund_completed(ACCOUNT, data, recorded_at=NOON, version=2)


def amended(before: Sale, after: Sale, ordinal: int = 1) -> AnyEvent:
    return sale_amended(sold(after), before, ordinal)


def voided(data: Sale) -> AnyEvent:
    void = Voided(
        sale_id=data.id,
        location_id=data.location_id,
        currency=data.currency,
        voided_at=NOON,
        business_day=data.business_day,
        timezone=data.timezone,
    )
    return sale_voided(ACCOUNT, void, recorded_at=NOON, version=3)


def closed(*events: AnyEvent, revision: int = 1, currency: str = "USD") -> Event[DayClosed]:
    """The day of these events, as the books close it: those that do not add up are kept apart."""
    lines: list[DayLine] = []
    members, flagged = [], []
    for event in events:
        figures, wrong = _figures(event)
        if wrong:
            flagged.append(
                FlaggedMember(
                    event_id=event.id,
                    entity_id=event.entity_id,
                    lines=figures,
                    difference=paid_with(figures, currency) - paid_for(figures, currency),
                    reason=str(wrong[0]),
                )
            )
        else:
            lines += figures
            members.append(event.id)
    kinds = [str(event.kind) for event in events]
    return day_closed(
        ACCOUNT,
        DayClosed(
            location_id="L1",
            business_day=DAY,
            currency=currency,
            timezone="America/New_York",
            revision=revision,
            sales=kinds.count("sale.completed"),
            refunds=kinds.count("refund.completed"),
            lines=merge(lines),
            members=tuple(members),
            flagged=tuple(flagged),
            closed_at=datetime(2026, 11, 22, 9, 0, tzinfo=UTC),
        ),
    )


def _figures(event: AnyEvent) -> tuple[tuple[DayLine, ...], tuple[Any, ...]]:
    data: Any = event.data
    if isinstance(data, Sale):
        return lines_of_sale(data), check_sale(data)
    if isinstance(data, Refund):
        return lines_of_refund(data), check_refund(data)
    return merge([*lines_of_sale(data.sale), *reverse(lines_of_sale(data.before))]), ()


def buyer(**more: Any) -> CustomerRef:
    return CustomerRef(**{"id": "C7", **more})


# One of everything, each with what QuickBooks must make of its total: the tender that is deposited, in minor units.
TAXED = line(1000, taxes=[tax(80)])
INCLUSIVE = line(1200, taxes=[tax(200, "0.2", "VAT", inclusive=True)])
SALES: dict[str, tuple[Sale, int]] = {
    "plain": (sale([TAXED], [tender(1080)]), 1080),
    "no_sku": (sale([line(500, sku=None)], [tender(500)]), 500),
    "custom_amount": (sale([line(500, sku=None, kind="custom_amount", name="Repair")], [tender(500)]), 500),
    "numeric_sku": (sale([line(500, sku="00123"), line(300, id="l2", sku="A-00123")], [tender(800)]), 800),
    "zero_quantity": (sale([TAXED, line(0, id="l2", quantity="0", name="Sugar")], [tender(1080)]), 1080),
    "fuel": (sale([line(2345, quantity="12.345", name="Petrol")], [tender(2345)]), 2345),
    "thirds": (sale([line(1000, quantity="3")], [tender(1000)]), 1000),
    "split_tender": (sale([TAXED], [tender(580), tender(500, "cash")]), 580),
    "cash_change": (sale([TAXED], [tender(1080, "cash", cash_given=money(2000), cash_change=money(920))]), 1080),
    "gift_card_tender": (sale([TAXED], [tender(580), tender(500, "gift_card")]), 580),
    "gift_card_only": (sale([TAXED], [tender(1080, "gift_card")]), 0),
    "gift_card_sold": (sale([line(5000, kind="gift_card", sku=None, name="Gift card")], [tender(5000)]), 5000),
    "store_credit": (sale([TAXED], [tender(80, "cash"), tender(1000, "store_credit")]), 80),
    "tip": (sale([TAXED], [tender(1280, tip=200)], tip=200), 1280),
    "service_charge": (
        sale(
            [TAXED],
            [tender(1498)],
            service_charges=(charge(180, paid_to_staff=True), charge(200, name="Delivery", taxes=[tax(16)])),
            rounding=22,
        ),
        1498,
    ),
    "several_taxes": (
        sale(
            [line(1000, taxes=[tax(63, "0.0625", "State"), tax(15, "0.015", "City")]), line(400, id="l2", sku="B")],
            [tender(1478)],
        ),
        1478,
    ),
    "inclusive_tax": (sale([INCLUSIVE], [tender(1200)]), 1200),
    "discounts": (
        sale([line(1000, discounts=[off(100), off(90, "Birthday", "order")], taxes=[tax(65)])], [tender(875)]),
        875,
    ),
    "shipping": (
        sale([TAXED, line(499, id="l2", kind="shipping", sku=None, name="Courier")], [tender(1579)]),
        1579,
    ),
    "donation": (sale([line(100, kind="donation", sku=None, name="Shelter")], [tender(100, "cash")]), 100),
    "rounding": (sale([line(998)], [tender(1000, "cash")], rounding=2), 1000),
    "external": (sale([TAXED], [tender(1080, "external", label="DoorDash")]), 1080),
    "exchange": (sale([TAXED], [tender(1080, "exchange")]), 1080),
}
YEN = sale(
    [line(1100, currency="JPY", taxes=[tax(100, "0.1", "VAT", inclusive=True, currency="JPY")])],
    [tender(600, "cash", currency="JPY"), tender(500, currency="JPY")],
    currency="JPY",
)
WRONG = sale([TAXED], [tender(1075)])  # five cents short
