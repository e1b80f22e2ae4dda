"""A sale and a refund, as every connector writes and reads them, and whether their sums add up."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from libs.canonical.frozen import Frozen
from libs.canonical.identity import content_hash
from libs.canonical.money import Currency, Money, total


class LineKind(StrEnum):
    """What a line sells. A gift card sold is a liability, not revenue."""

    PRODUCT = "product"
    CUSTOM_AMOUNT = "custom_amount"
    GIFT_CARD = "gift_card"
    SHIPPING = "shipping"
    DONATION = "donation"


class TenderType(StrEnum):
    """How a sale was paid, or a refund paid out."""

    CARD = "card"
    CASH = "cash"
    GIFT_CARD = "gift_card"
    STORE_CREDIT = "store_credit"
    WALLET = "wallet"
    BANK = "bank"
    BUY_NOW_PAY_LATER = "buy_now_pay_later"
    HOUSE_ACCOUNT = "house_account"
    EXTERNAL = "external"
    EXCHANGE = "exchange"  # the value of goods handed back in the same transaction
    OTHER = "other"


class Tax(Frozen):
    """One tax on a line or charge. `rate` is a fraction (0.0825) or unknown; `inclusive`: already in the price."""

    name: str
    rate: Decimal | None = None
    amount: Money
    inclusive: bool = False


class Discount(Frozen):
    """What was taken off a line, as a positive amount. Order discounts arrive here apportioned to their lines."""

    name: str
    amount: Money
    scope: str = "line"  # "line" or "order"
    code: str | None = None


class Modifier(Frozen):
    """An addition to a line (extra cheese); its amount is already in the line's gross."""

    name: str
    quantity: Decimal = Decimal(1)
    amount: Money


class SaleLine(Frozen):
    """One line. `gross` is quantity x unit price plus modifiers, before discounts, with inclusive tax still inside.

    `total` is what the buyer pays for it: gross - discounts + additive taxes.
    """

    id: str
    kind: LineKind = LineKind.PRODUCT
    name: str
    sku: str | None = None
    item_id: str | None = None  # the vendor's own id of the variation
    category: str | None = None
    quantity: Decimal
    unit_price: Money
    modifiers: tuple[Modifier, ...] = ()
    gross: Money
    discounts: tuple[Discount, ...] = ()
    taxes: tuple[Tax, ...] = ()
    total: Money
    staff_id: str | None = None
    note: str | None = None


class ServiceCharge(Frozen):
    """A charge on top (automatic gratuity, delivery). `total` is amount plus additive taxes."""

    name: str
    amount: Money
    taxes: tuple[Tax, ...] = ()
    total: Money
    paid_to_staff: bool = False


class Tender(Frozen):
    """One way it was paid. `amount` is what it covers of the sale, tip included, change already taken off.

    Of a card only brand and last four digits exist here.
    """

    id: str
    type: TenderType
    label: str | None = None  # the vendor's own word, for mapping: a gateway, an external payment's source
    amount: Money
    tip: Money
    card_brand: str | None = None
    card_last4: str | None = None
    cash_given: Money | None = None
    cash_change: Money | None = None
    staff_id: str | None = None


class CustomerRef(Frozen):
    """Who bought, as far as the sale says; enough for a stand-in until the customer's own record arrives."""

    id: str
    email: str | None = None
    phone: str | None = None
    given_name: str | None = None
    family_name: str | None = None


class Sale(Frozen):
    """A completed sale. What was bought (lines, charges, tip, rounding) equals `total` equals how it was paid."""

    id: str  # the vendor's id of the order or transaction
    number: str | None = None  # what is printed on the receipt
    location_id: str
    channel: str  # "pos", "online", ...
    register_id: str | None = None
    staff_id: str | None = None
    customer: CustomerRef | None = None
    currency: Currency
    opened_at: datetime | None = None
    closed_at: datetime
    business_day: date
    timezone: str
    lines: tuple[SaleLine, ...]
    service_charges: tuple[ServiceCharge, ...] = ()
    tip: Money
    rounding: Money
    tenders: tuple[Tender, ...]
    total: Money
    presentment_total: Money | None = None
    offline: bool = False
    clock_suspect: bool = False
    exchange_refund_id: str | None = None
    note: str | None = None


class RefundLine(Frozen):
    """A returned line; amounts positive. `quantity` may be zero for an adjustment of the price alone."""

    id: str
    sale_line_id: str | None = None
    kind: LineKind = LineKind.PRODUCT
    name: str
    sku: str | None = None
    item_id: str | None = None
    category: str | None = None
    quantity: Decimal
    gross: Money
    discounts: tuple[Discount, ...] = ()
    taxes: tuple[Tax, ...] = ()
    total: Money
    restock: bool | None = None


class Refund(Frozen):
    """Money given back; all amounts positive. It belongs to its own day, and to its sale's order key.

    `unitemised` is what was given back without saying for which goods. `refunded_to_date` is the sale's refunds up to
    and including this one, where the vendor tells.
    """

    id: str
    sale_id: str | None
    location_id: str
    channel: str
    staff_id: str | None = None
    customer: CustomerRef | None = None
    currency: Currency
    refunded_at: datetime
    business_day: date
    timezone: str
    lines: tuple[RefundLine, ...] = ()
    service_charges: tuple[ServiceCharge, ...] = ()
    unitemised: Money
    tip: Money
    rounding: Money
    tenders: tuple[Tender, ...]
    total: Money
    refunded_to_date: Money | None = None
    reason: str | None = None
    clock_suspect: bool = False


class Voided(Frozen):
    """A completed sale was cancelled whole, without a refund of its own."""

    sale_id: str
    location_id: str
    currency: Currency
    voided_at: datetime
    business_day: date
    timezone: str
    reason: str | None = None


class Amendment(Frozen):
    """The sale's money changed after completion (a tip adjusted, a line corrected): as it was, and as it is now."""

    before: Sale
    sale: Sale


class Difference(Frozen):
    """One sum that does not hold: what it is about, the figure the vendor gave, and the figure its parts make."""

    what: str
    stated: Money
    computed: Money

    @property
    def amount(self) -> Money:
        """Stated minus computed."""
        return self.stated - self.computed

    def __str__(self) -> str:
        return f"{self.what}: stated {self.stated}, its parts make {self.computed}"


def additive(taxes: tuple[Tax, ...], currency: str) -> Money:
    """The taxes that come on top of the price."""
    return total((tax.amount for tax in taxes if not tax.inclusive), currency)


def inclusive(taxes: tuple[Tax, ...], currency: str) -> Money:
    """The taxes already inside the price."""
    return total((tax.amount for tax in taxes if tax.inclusive), currency)


def _lines(lines: tuple[SaleLine, ...] | tuple[RefundLine, ...], currency: str) -> list[Difference]:
    found = []
    for line in lines:
        off = total((discount.amount for discount in line.discounts), currency)
        computed = line.gross - off + additive(line.taxes, currency)
        if computed != line.total:
            found.append(Difference(what=f"line {line.id}", stated=line.total, computed=computed))
    return found


def check_sale(sale: Sale) -> tuple[Difference, ...]:
    """Every sum of the sale that does not hold; empty when it adds up."""
    found = _lines(sale.lines, sale.currency)
    parts = [line.total for line in sale.lines] + [charge.total for charge in sale.service_charges]
    computed = total([*parts, sale.tip, sale.rounding], sale.currency)
    if computed != sale.total:
        found.append(Difference(what="total", stated=sale.total, computed=computed))
    paid = total((tender.amount for tender in sale.tenders), sale.currency)
    if paid != sale.total:
        found.append(Difference(what="tenders", stated=sale.total, computed=paid))
    return tuple(found)


def check_refund(refund: Refund) -> tuple[Difference, ...]:
    """Every sum of the refund that does not hold; empty when it adds up."""
    found = _lines(refund.lines, refund.currency)
    parts = [line.total for line in refund.lines] + [charge.total for charge in refund.service_charges]
    computed = total([*parts, refund.unitemised, refund.tip, refund.rounding], refund.currency)
    if computed != refund.total:
        found.append(Difference(what="total", stated=refund.total, computed=computed))
    paid = total((tender.amount for tender in refund.tenders), refund.currency)
    if paid != refund.total:
        found.append(Difference(what="tenders", stated=refund.total, computed=paid))
    return tuple(found)


def _taxes_as_money(taxes: tuple[Tax, ...]) -> list[list[str | int | None]]:
    return [[t.name, None if t.rate is None else _plain(t.rate), t.amount.minor, t.inclusive] for t in taxes]


def _plain(number: Decimal) -> str:
    # 1, 1.0 and 1.000 are one number, whatever way a vendor writes it today.
    return f"{number.normalize():f}"


def money_hash(sale: Sale) -> str:
    """A digest of everything about the sale that moves money, and of nothing else (no names, notes or times).

    It does not depend on the order in which the vendor lists lines, charges and tenders.
    """
    lines = [
        [line.id, line.sku, _plain(line.quantity), line.gross.minor, line.total.minor]
        + [[d.name, d.amount.minor] for d in line.discounts]
        + _taxes_as_money(line.taxes)
        for line in sale.lines
    ]
    charges = [
        [c.name, c.amount.minor, c.total.minor, c.paid_to_staff, *_taxes_as_money(c.taxes)]
        for c in sale.service_charges
    ]
    return content_hash(
        {
            # By their text: ids and SKUs may be missing or equal, and None does not compare with a string.
            "lines": sorted(lines, key=repr),
            "charges": sorted(charges, key=repr),
            "tip": sale.tip.minor,
            "rounding": sale.rounding.minor,
            "tenders": sorted([t.id, t.type, t.amount.minor, t.tip.minor] for t in sale.tenders),
            "total": sale.total.minor,
            "currency": sale.currency,
        }
    )
