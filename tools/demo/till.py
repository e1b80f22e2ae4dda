"""What happens at a till, before any vendor writes it down. Amounts in cents, times aware."""

from __future__ import annotations

import hashlib
import random
from base64 import b32encode
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

SEED = "tillstream demo 1"
CURRENCY = "USD"

Way = Literal["card", "cash", "gift_card"]


def chance(*about: object) -> random.Random:
    """Dice of their own for each purpose, so that one rule more does not change what the others rolled."""
    return random.Random(":".join([SEED, *map(str, about)]))


def code(*about: object, length: int = 22) -> str:
    """An opaque id that is the same in every run."""
    return b32encode(hashlib.sha256(":".join(map(str, about)).encode()).digest()).decode()[:length]


@dataclass(frozen=True)
class Levy:
    """A tax on a line; `rate` in percent, as text."""

    name: str
    rate: str
    amount: int


@dataclass(frozen=True)
class Off:
    """A discount on a line; `order`: given on the whole order and spread over its lines."""

    name: str
    amount: int
    order: bool = False


@dataclass(frozen=True)
class Line:
    """One line; `gross` is quantity x price rounded half to even. `goods`: the catalogue's item, None for none."""

    uid: str
    name: str
    department: str
    goods: str | None
    quantity: Decimal
    price: int
    gross: int
    off: tuple[Off, ...] = ()
    taxes: tuple[Levy, ...] = ()

    @property
    def net(self) -> int:
        """After discounts, before tax."""
        return self.gross - sum(each.amount for each in self.off)

    @property
    def tax(self) -> int:
        """All its taxes."""
        return sum(each.amount for each in self.taxes)

    @property
    def total(self) -> int:
        """What the buyer pays for it."""
        return self.net + self.tax


@dataclass(frozen=True)
class Store:
    """A store: its number in the data, where it stands, by which till vendor it sells, to which books it goes."""

    number: int
    name: str
    vendor: Literal["square", "shopify"]
    location: str
    timezone: str
    books: Literal["qbo-receipts", "qbo-journal"]
    taxes: tuple[tuple[str, str], ...]  # name and percentage of what is on goods that are no food


@dataclass(frozen=True)
class Person:
    """An invented customer for a household of the data. `version` counts changes."""

    household: int
    vendor: str
    id: str
    given: str
    family: str
    email: str
    phone: str
    since: datetime
    version: int = 0


@dataclass(frozen=True)
class Payment:
    """One way a sale was paid; `amount` includes `tip`; of cash, what was handed over and what came back."""

    id: str
    way: Way
    amount: int
    tip: int = 0
    given: int = 0
    change: int = 0
    brand: str = ""
    last4: str = ""


@dataclass(frozen=True)
class Planted:
    """A card number that somebody typed where none belongs. `needles`: how it could be found again on a disk."""

    place: Literal["note", "attribute", "number"]
    text: str
    needles: tuple[str, ...]


@dataclass(frozen=True)
class Sale:
    """A sale. `uploaded`: when the vendor heard of it; `stray`: cents in its total that no line explains."""

    id: str
    number: str
    store: Store
    day: int
    at: datetime
    uploaded: datetime
    lines: tuple[Line, ...]
    payments: tuple[Payment, ...]
    person: Person | None
    staff: int
    till: int
    stray: int = 0
    offline: bool = False
    voided_at: datetime | None = None
    changed_at: datetime | None = None
    planted: Planted | None = None

    @property
    def goods(self) -> int:
        """What its lines cost."""
        return sum(line.total for line in self.lines)

    @property
    def tip(self) -> int:
        """All tips."""
        return sum(payment.tip for payment in self.payments)

    @property
    def total(self) -> int:
        """What was due."""
        return self.goods + self.tip + self.stray


@dataclass(frozen=True)
class GiveBack:
    """Whole lines of a sale brought back, and by which payments money went out. `new`: exchanged in that sale."""

    id: str
    sale: Sale
    day: int
    at: datetime
    lines: tuple[Line, ...]
    paid_out: tuple[tuple[Payment, int], ...]
    new: Sale | None = None

    @property
    def total(self) -> int:
        """What the goods were worth."""
        return sum(line.total for line in self.lines)


@dataclass(frozen=True)
class Count:
    """What is on the shelf of a store."""

    store: Store
    day: int
    at: datetime
    goods: str
    quantity: int


def half_even(value: Decimal) -> int:
    """Rounded to whole cents, half to even."""
    return int(value.to_integral_value(rounding="ROUND_HALF_EVEN"))
