"""The lines of a receipt: what was sold or returned, and every tender but the one that is deposited.

They add up so that QuickBooks' own total is exactly the deposited tender.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from libs.canonical.day import Component, lines_of_refund, lines_of_sale, paid_for, paid_with, tax_group, tender_group
from libs.canonical.money import Money, total
from libs.canonical.sale import (
    Difference,
    LineKind,
    Refund,
    RefundLine,
    Sale,
    SaleLine,
    ServiceCharge,
    Tax,
    Tender,
    check_refund,
    check_sale,
    inclusive,
)
from libs.connectors.contract.target import Ref, Remote
from libs.connectors.quickbooks.calls import reference
from libs.connectors.quickbooks.config import (
    Choices,
    Settings,
    account_setting,
    item_setting,
    liability_of,
)
from libs.connectors.quickbooks.items import sku_of
from libs.connectors.quickbooks.notes import DESCRIPTION_LENGTH

PRICE_DECIMALS = Decimal("0.0000001")  # QuickBooks keeps seven decimals of a unit price

Document = Sale | Refund


@dataclass(frozen=True)
class Part:
    """One line: an item, and the money it stands for; `quantity` None when there is none to tell."""

    item: str | Remote
    words: str
    amount: Money
    taxed: bool = False
    quantity: Decimal | None = None


@dataclass(frozen=True)
class Parts:
    """A receipt's lines, the tax that is sent as a total, and the tender that is deposited."""

    lines: tuple[Part, ...]
    tax: Money
    deposit_group: str | None
    deposit: Money

    @property
    def nothing(self) -> bool:
        """No money moves."""
        return not (self.tax or self.deposit or any(part.amount for part in self.lines))


def differences(document: Document) -> tuple[Difference, ...]:
    """The document's sums that do not hold."""
    return check_sale(document) if isinstance(document, Sale) else check_refund(document)


def parts_of(document: Document, config: Settings, choices: Choices) -> Parts:
    """The document as lines; a difference of its sums becomes a line of its own."""
    groups = _by_group(document.tenders, document.currency)
    deposit_group = _deposited(groups)
    parts = [_goods(line, document.currency, config, choices) for line in document.lines]
    parts += [_charge(charge, document.currency, config, choices) for charge in document.service_charges]
    parts += _amounts(document, config, choices)
    taxes = [tax for taxed in (*document.lines, *document.service_charges) for tax in taxed.taxes]
    if config.tax_as_line:
        parts += _tax_lines(taxes, document.currency, config, choices)
    parts += [
        Part(
            choices.take(config.items.tenders.of_tender(group), f"items.tenders for {group!r}"),
            f"Paid by {group}",
            -amount,
        )
        for group, amount in groups.items()
        if group != deposit_group and amount
    ]
    return Parts(
        tuple(parts),
        Money.zero(document.currency) if config.tax_as_line else total((t.amount for t in taxes), document.currency),
        deposit_group,
        groups[deposit_group] if deposit_group else Money.zero(document.currency),
    )


def _by_group(tenders: Iterable[Tender], currency: str) -> dict[str, Money]:
    sums: dict[str, Money] = {}
    for tender in tenders:
        group = tender_group(tender)
        sums[group] = sums.get(group, Money.zero(currency)) + tender.amount
    return sums


def _deposited(groups: dict[str, Money]) -> str | None:
    """The tender group that is deposited: the largest one of money.

    Gift cards and store credit are liabilities, and QuickBooks deposits to bank and asset accounts only.
    """
    money = [group for group in groups if not liability_of(group)]
    return max(money, key=lambda group: abs(groups[group].minor), default=None)


def _goods(line: SaleLine | RefundLine, currency: str, config: Settings, choices: Choices) -> Part:
    off = total((discount.amount for discount in line.discounts), currency)
    net = line.gross - off - inclusive(line.taxes, currency)
    sku = sku_of(line, config)
    item: str | Remote
    if sku is not None:
        item = Remote(Ref("item", sku))
    else:
        item = choices.take(config.items.of_line(line.kind), item_setting(line.kind))
    return Part(item, line.name, net, taxed=_taxed(line.taxes), quantity=line.quantity)


def _taxed(taxes: tuple[Tax, ...]) -> bool:
    return any(tax.amount for tax in taxes)


def _charge(charge: ServiceCharge, currency: str, config: Settings, choices: Choices) -> Part:
    net = charge.amount - inclusive(charge.taxes, currency)
    if charge.paid_to_staff:
        item = choices.take(config.items.tips, "items.tips")
    else:
        item = choices.take(config.items.service_charges.of(charge.name), f"items.service_charges for {charge.name!r}")
    return Part(item, charge.name, net, taxed=_taxed(charge.taxes))


def _amounts(document: Document, config: Settings, choices: Choices) -> list[Part]:
    """Amounts that are not lines at the till but are on a receipt; those of zero are left out."""
    items = config.items
    figures = [
        (document.tip, items.tips, "items.tips", "Tips"),
        (document.rounding, items.rounding, "items.rounding", "Rounding"),
        (
            _difference(document),
            items.unexplained_differences,
            "items.unexplained_differences",
            "Unexplained difference",
        ),
    ]
    if isinstance(document, Refund):
        figures.append(
            (
                document.unitemised,
                items.of_line(LineKind.CUSTOM_AMOUNT),
                item_setting(LineKind.CUSTOM_AMOUNT),
                "Returned without lines",
            )
        )
    return [Part(choices.take(item, setting), words, amount) for amount, item, setting, words in figures if amount]


def _difference(document: Document) -> Money:
    """How it was paid minus what was paid for, as a positive amount when more was paid (a refund: paid out)."""
    lines = lines_of_sale(document) if isinstance(document, Sale) else lines_of_refund(document)
    difference = paid_with(lines, document.currency) - paid_for(lines, document.currency)
    return difference if isinstance(document, Sale) else -difference


def _tax_lines(taxes: Iterable[Tax], currency: str, config: Settings, choices: Choices) -> list[Part]:
    sums: dict[str, Money] = {}
    for tax in taxes:
        group = tax_group(tax)
        sums[group] = sums.get(group, Money.zero(currency)) + tax.amount
    return [
        Part(choices.take(config.items.taxes.of(group), f"items.taxes for {group!r}"), group, amount)
        for group, amount in sums.items()
        if amount
    ]


def lines_as_json(parts: Parts, config: Settings, sign: int) -> list[dict[str, Any]]:
    """The lines as QuickBooks reads them, with all amounts times `sign`."""
    return [_line(part, config, sign) for part in parts.lines]


def _line(part: Part, config: Settings, sign: int) -> dict[str, Any]:
    amount = sign * part.amount.major
    taxable = part.taxed and not config.tax_as_line
    code = config.tax_codes.taxable if taxable else config.tax_codes.untaxed
    return {
        "Description": part.words[:DESCRIPTION_LENGTH],
        "Amount": amount,
        "DetailType": "SalesItemLineDetail",
        "SalesItemLineDetail": {
            "ItemRef": reference(part.item),
            **_quantity(part.quantity, amount, sign),
            "TaxCodeRef": reference(code),
        },
    }


def _quantity(quantity: Decimal | None, amount: Decimal, sign: int) -> dict[str, Decimal]:
    """Quantity and unit price, as far as they make the amount exactly: QuickBooks refuses a line where they do not.

    The price is net of discounts and inclusive tax. An amount without goods (quantity zero) has neither.
    """
    if quantity is None or (not quantity and amount):
        return {}
    signed = sign * quantity
    if not signed:
        return {"Qty": Decimal(0)}
    price = (amount / signed).quantize(PRICE_DECIMALS)
    if price * signed != amount:
        return {"Qty": plain(signed)}
    return {"Qty": plain(signed), "UnitPrice": plain(price)}


def plain(number: Decimal) -> Decimal:
    """The same number without trailing zeros or exponent."""
    return Decimal(f"{number.normalize():f}")


def deposit_account(parts: Parts, config: Settings, choices: Choices) -> str | None:
    """The account of the deposited tender; None when nothing is deposited."""
    if parts.deposit_group is None:
        return None
    return choices.take(
        config.accounts.of_tender(parts.deposit_group), account_setting(Component.TENDER, parts.deposit_group)
    )
