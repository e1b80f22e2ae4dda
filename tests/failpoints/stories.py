"""What is told while lives end: small stories of one sale each, and what must be at a target when all is over."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

from libs.canonical.event import AnyEvent, sale_amended, sale_completed
from libs.canonical.sale import CustomerRef, Sale, SaleLine
from tests.system.sales import ACCOUNT, NOON, customer, refund, sale, usd

Role = Literal["plain", "amended", "refunded", "closed", "poison", "orphan", "bought"]

# QuickBooks' books are closed up to this day until the accountant opens them again.
CLOSED_UNTIL = date(2025, 12, 31)
# Ten stories after one another have these roles; of those in the last place every other one is poison.
_ROLES: tuple[Role, ...] = (
    "plain", "amended", "plain", "refunded", "closed", "plain", "bought", "amended", "refunded", "orphan",
)  # fmt: skip
_LOCATIONS, _DAYS = 5, 17


@dataclass(frozen=True)
class Story:
    """Events of one sale, in order. Amounts are cents as they must stand at the end."""

    number: int
    role: Role
    events: tuple[AnyEvent, ...]
    sku: str
    total: int | None  # None: the sale itself was never told
    amendments: int
    refunded: int | None

    @property
    def sale_id(self) -> str:
        """The sale's id at the till."""
        return f"order-{self.number}"

    @property
    def refund_id(self) -> str:
        """The refund's id at the till."""
        return f"refund-{self.number}"


def story(number: int, seed: int) -> Story:
    """The story of that number: always the same for the same seed."""
    chance = random.Random(f"{seed}/{number}")
    role = _ROLES[number % 10]
    if role == "orphan" and number % 20 == 9:
        role = "poison"
    sku = f"SKU-{number // 3}"
    price, later = chance.randint(100, 9_999), [chance.randint(100, 9_999) for _ in range(chance.randint(1, 2))]
    if role == "orphan":
        return Story(number, role, (refund(number, amount=price + 80),), sku, None, 0, price + 80)
    first = _sale(number, role, sku, price)
    told: list[AnyEvent] = [sale_completed(ACCOUNT, first, recorded_at=first.closed_at, version=1)]
    last = first
    if role == "bought":
        told = [customer(f"c{number}", n, email=_mail(number), given_name=f"Ana {n}") for n in (1, 2)] + told
    for ordinal, changed in enumerate(later if role == "amended" else (), 1):
        now = _sale(number, role, sku, changed)
        told.append(sale_amended(sale_completed(ACCOUNT, now, recorded_at=NOON, version=1 + ordinal), last, ordinal))
        last = now
    back = None
    if role in ("refunded", "closed", "poison"):
        back = last.total.minor
        told.append(refund(number, amount=back))
    return Story(number, role, tuple(told), sku, last.total.minor, len(told) - 1 if role == "amended" else 0, back)


def _mail(number: int) -> str:
    return f"c{number}@example.org"


def _sale(number: int, role: Role, sku: str, price: int) -> Sale:
    buyer = CustomerRef(id=f"c{number}", email=_mail(number)) if role == "bought" else None
    data = sale(number, price=price, customer=buyer, location_id=f"L{number % _LOCATIONS}").data
    day = NOON.date() + timedelta(days=number % _DAYS)
    line = data.lines[0].model_copy(update={"sku": sku})
    data = data.model_copy(update={"lines": (line,), "business_day": CLOSED_UNTIL if role == "closed" else day})
    return _poisoned(data) if role == "poison" else data


def _poisoned(data: Sale) -> Sale:
    """HubSpot takes no negative price, and the item for tips is inactive in QuickBooks."""
    bottle = SaleLine(
        id="2", name="Empty bottle", quantity=Decimal(1), unit_price=usd(-40), gross=usd(-40), total=usd(-40)
    )
    tip, total = usd(100), usd(data.total.minor - 40 + 100)
    paid = data.tenders[0].model_copy(update={"amount": total, "tip": tip})
    return data.model_copy(update={"lines": (*data.lines, bottle), "tip": tip, "tenders": (paid,), "total": total})
