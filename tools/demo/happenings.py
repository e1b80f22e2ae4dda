"""What does not go straight at a till: goods brought back, exchanges, tills offline, tips changed, sales cancelled.

Each is chosen by dice with a fixed seed among the sales that it can befall; nobody is befallen twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from tools.demo.baskets import DAYS
from tools.demo.planted_cards import PLANTS
from tools.demo.till import GiveBack, Line, Payment, Sale, chance, code

# Days count from 0. QuickBooks is away from the evening of day 4 until that of day 10.
OUTAGE_BEGINS, OUTAGE_ENDS = 4, 10
REFUSED_RECEIPT_DAY = 1
REFUSED_ORDER_DAY = 2
UNREADABLE_ORDER_DAY = 3
LATE_UPLOAD_DAY, LATE_UPLOAD_ARRIVES = 2, 4
STRAY_CENTS = 5
TIP_LATER = 200
_REFUND_SHARE = 0.03

Fits = Callable[[Sale], bool]
_BOTTLES = Line("bottles", "Bottle deposit returned", "GROCERY", None, Decimal(1), -40, -40)


class Happenings:
    """The sales by id as they turned out, and what happened to them; `feed_day` where that is not the sale's own."""

    def __init__(self, sales: Iterable[Sale]) -> None:
        self.sales = {sale.id: sale for sale in sales}
        self.give_backs: list[GiveBack] = []
        self.tips_changed: list[tuple[Sale, int]] = []
        self.feed_day: dict[str, int] = {}
        self._befallen: set[str] = set()
        self.refused_receipt = self._refused_receipt()
        self.refused_order = self._refused_order()
        self.unreadable_order = self._unreadable_order()
        self.stray = self._stray()
        self.late_upload = self._late_upload()
        self._offline()
        self.voids = self._voids()
        self._tips()
        self.planted = self._plant()
        self._exchanges()
        self._refunds()

    # Choosing

    def _pick(self, about: str, number: int, fits: Fits) -> list[Sale]:
        """So many sales that fit and were not chosen before."""
        able = [sale for sale in self.sales.values() if sale.id not in self._befallen and sale.total > 0 and fits(sale)]
        chosen = chance("pick", about).sample(sorted(able, key=lambda sale: sale.id), number)
        self._befallen.update(sale.id for sale in chosen)
        return chosen

    def _put(self, sale: Sale) -> Sale:
        self.sales[sale.id] = sale
        return sale

    # Single sales that the summary tells of

    def _refused_receipt(self) -> Sale:
        """A sale with a tip, on the day on which the item for tips is inactive in the receipts company."""
        found = self._pick(
            "refused receipt",
            1,
            lambda s: s.store.books == "qbo-receipts" and s.day == REFUSED_RECEIPT_DAY and _by_card_alone(s),
        )[0]
        return self._put(_with_tip(found, 300))

    def _refused_order(self) -> Sale:
        """A sale with a line of negative price (an empty bottle), which HubSpot does not take; part is brought back."""
        found = self._pick(
            "refused order",
            1,
            lambda s: (
                s.store.vendor == "square" and s.day == REFUSED_ORDER_DAY and s.person is not None and _by_card_alone(s)
                and s.store.books == "qbo-journal" and len(s.lines) in range(3, 9) and s.at.hour < 15 and s.tip == 0
                and s.lines[0].total > 0 and s.total > 500
            ),
        )[0]  # fmt: skip
        paid = replace(found.payments[0], amount=found.payments[0].amount + _BOTTLES.total)
        sale = self._put(replace(found, lines=(*found.lines, _BOTTLES), payments=(paid,)))
        self._give_back(sale, (sale.lines[0],), sale.day, timedelta(hours=2))
        return sale

    def _unreadable_order(self) -> Sale:
        """An order that reaches us damaged: its time is no time."""
        return self._pick(
            "unreadable order",
            1,
            lambda s: s.store.vendor == "shopify" and s.store.books == "qbo-receipts" and s.day == UNREADABLE_ORDER_DAY,
        )[0]

    def _stray(self) -> Sale:
        """A sale whose total is five cents more than its parts; the buyer paid the total."""
        found = self._pick(
            "stray",
            1,
            lambda s: (
                s.store.vendor == "square" and s.store.books == "qbo-journal" and _by_card_alone(s) and s.day == 5
            ),
        )[0]
        paid = replace(found.payments[0], amount=found.payments[0].amount + STRAY_CENTS)
        return self._put(replace(found, payments=(paid,), stray=STRAY_CENTS))

    def _late_upload(self) -> Sale:
        """A till without a network whose sale arrives two days later, when its day is closed."""
        found = self._pick(
            "late upload",
            1,
            lambda s: s.store.vendor == "square" and s.store.books == "qbo-journal" and s.day == LATE_UPLOAD_DAY,
        )[0]
        self.feed_day[found.id] = LATE_UPLOAD_ARRIVES
        later = found.at + timedelta(days=LATE_UPLOAD_ARRIVES - LATE_UPLOAD_DAY)
        return self._put(replace(found, offline=True, uploaded=later))

    # Several

    def _offline(self) -> None:
        for vendor, number in (("square", 4), ("shopify", 2)):
            for sale in self._pick(f"offline {vendor}", number, _sold_by(vendor, lambda s: 7 <= s.at.hour < 17)):
                hours = chance("offline", sale.id).randint(2, 5)
                self._put(replace(sale, offline=True, uploaded=sale.at + timedelta(hours=hours)))

    def _voids(self) -> list[Sale]:
        voids = []
        for books in ("qbo-receipts", "qbo-journal"):
            found = self._pick(
                f"void {books}",
                1,
                _booked(books, lambda s: s.store.vendor == "shopify" and not s.offline),
            )[0]
            voids.append(self._put(replace(found, voided_at=found.uploaded + timedelta(minutes=4))))
        return voids

    def _tips(self) -> None:
        for books in ("qbo-receipts", "qbo-journal"):
            sale = self._pick(
                f"tip {books}",
                1,
                _booked(books, _may_get_a_tip),
            )[0]  # fmt: skip
            changed = replace(_with_tip(sale, TIP_LATER), changed_at=sale.at + timedelta(hours=20))
            self.tips_changed.append((changed, sale.day + 1))

    def _plant(self) -> list[Sale]:
        planted = []
        for number, (vendor, plant) in enumerate(PLANTS):
            sale = self._pick(
                f"plant {number}",
                1,
                _sold_by(vendor, lambda s: len(s.payments) == 1 and not s.offline and s.person is not None),
            )[0]
            planted.append(self._put(replace(sale, planted=plant)))
        return planted

    def _exchanges(self) -> None:
        """Three lines of earlier sales pay for a part of later ones in the same store."""
        dice = chance("exchanges")
        able = [
            s for s in self.sales.values() if s.id not in self._befallen and s.store.vendor == "square" and s.total > 0
        ]
        dice.shuffle(able)
        for old in able:
            if sum(1 for each in self.give_backs if each.new) == 3:
                return
            new = self._exchanged_for(old, able)
            worth = [line for line in old.lines if line.total > 100]
            if new is None or not worth or worth[0].total >= new.total:
                continue
            self._befallen |= {old.id, new.id}
            paid = _lowered(new.payments[0], worth[0].total)
            sale = self._put(replace(new, payments=(paid,)))
            back = GiveBack(f"{sale.id}:r1", old, sale.day, sale.at, (worth[0],), (), new=sale)
            self.give_backs.append(back)

    def _exchanged_for(self, old: Sale, able: list[Sale]) -> Sale | None:
        for new in able:
            later = timedelta(hours=1) < new.at - old.at < timedelta(days=3)
            single = len(new.payments) == 1 and new.tip == 0
            if new.store is old.store and later and single and new.id not in self._befallen:
                return new
        return None

    def _refunds(self) -> None:
        able = [s for s in self.sales.values() if s.id not in self._befallen and s.total > 0]
        for sale in able:
            dice = chance("refund", sale.id)
            if dice.random() >= _REFUND_SHARE:
                continue
            worth = [line for line in sale.lines if line.total > 0]
            partial = len(worth) > 1 and dice.random() < 0.7
            lines = tuple(dice.sample(worth, dice.randint(1, len(worth) - 1))) if partial else tuple(worth)
            days = dice.choice((0, 0, 1, 2, 3))
            if days and sale.day + days < DAYS:
                self._give_back(sale, lines, sale.day + days, timedelta(days=days, minutes=-20))
            else:
                self._give_back(sale, lines, sale.day, timedelta(minutes=12))

    def _give_back(self, sale: Sale, lines: tuple[Line, ...], day: int, later: timedelta) -> None:
        refund_id = code("return", sale.id) if sale.store.vendor == "square" else str(int(sale.id) + 1_000_000_000_000)
        back = GiveBack(refund_id, sale, day, sale.at + later, lines, ())
        self.give_backs.append(replace(back, paid_out=_paid_out(sale, back.total)))


def _sold_by(vendor: str, fits: Fits) -> Fits:
    return lambda sale: sale.store.vendor == vendor and fits(sale)


def _booked(books: str, fits: Fits) -> Fits:
    return lambda sale: sale.store.books == books and fits(sale)


def _may_get_a_tip(sale: Sale) -> bool:
    # Changed a day later: by then the item for tips must be active again in the receipts company.
    return sale.store.vendor == "square" and sale.day in (3, 4) and _by_card_alone(sale) and not sale.offline


def _by_card_alone(sale: Sale) -> bool:
    return len(sale.payments) == 1 and sale.payments[0].way == "card" and sale.tip == 0


def _with_tip(sale: Sale, tip: int) -> Sale:
    paid = sale.payments[0]
    return replace(sale, payments=(replace(paid, amount=paid.amount + tip, tip=paid.tip + tip),))


def _lowered(payment: Payment, by: int) -> Payment:
    return replace(payment, amount=payment.amount - by, given=payment.given - by if payment.given else 0)


def _paid_out(sale: Sale, total: int) -> tuple[tuple[Payment, int], ...]:
    """The money goes back the way it came, the largest payment first."""
    left, found = total, []
    for payment in sorted(sale.payments, key=lambda each: -each.amount):
        part = min(left, payment.amount - payment.tip)
        if part:
            found.append((payment, part))
        left -= part
    assert left == 0
    return tuple(found)
