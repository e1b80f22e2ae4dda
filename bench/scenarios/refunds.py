"""Canonical events for targets: refunds, four to a sale, so that each order key has an order to keep."""

from __future__ import annotations

from datetime import UTC, datetime

from libs.canonical.event import encode, refund_completed
from libs.canonical.identity import Account
from libs.canonical.money import Money
from libs.canonical.sale import Refund, Tender, TenderType
from libs.runtime.kafka.writer import Outgoing

_PER_SALE = 4
# Refunds of one sale stand this many apart, so that a loop does not meet them all in one breath.
_APART = 100
_AT = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)


def refunds(events: int, *, first: int = 0) -> list[Outgoing]:
    """That many refunds as records of `retail.sales`, numbered from `first`."""
    records = []
    for number in range(first, first + events):
        block, place = divmod(number, _PER_SALE * _APART)
        records.append(refund(number, f"sale-{block}-{place % _APART}"))
    return records


def refund(number: int, sale: str) -> Outgoing:
    """A refund of that sale as a record; those of one sale are numbered in their order."""
    amount, nothing = Money(minor=1080, currency="USD"), Money.zero("USD")
    content = Refund(
        id=f"refund-{number}",
        sale_id=sale,
        location_id="L1",
        channel="pos",
        currency="USD",
        refunded_at=_AT,
        business_day=_AT.date(),
        timezone="UTC",
        unitemised=amount,
        tip=nothing,
        rounding=nothing,
        tenders=(Tender(id=f"back-{number}", type=TenderType.CARD, amount=amount, tip=nothing),),
        total=amount,
    )
    event = refund_completed(Account(vendor="square", id="ML1"), content, recorded_at=_AT, version=number)
    key, value, headers = encode(event)
    return Outgoing(event.topic, key, value, headers)
