"""The settings of a QuickBooks connection: which account, item and customer each figure goes to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from libs.canonical.day import Component, DayLine
from libs.canonical.money import Currency
from libs.canonical.sale import LineKind, TenderType

Id = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,20}$")]  # QuickBooks' own id of an account, item, customer ...


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ByGroup(_Part):
    """One id by default, others for single groups."""

    default: Id | None = Field(None, description="The id used for every group that has none of its own.")
    groups: Mapping[str, Id] = Field({}, description="Ids of single groups, by the group's exact name.")

    def of(self, group: str) -> str | None:
        """The group's id, else the default."""
        return self.groups.get(group, self.default)

    def of_tender(self, group: str) -> str | None:
        """The tender group's id (`external:DoorDash`), else its type's (`external`), else the default."""
        return self.groups.get(group) or self.of(group.partition(":")[0])


def liability_of(group: str) -> Literal["gift_cards", "store_credit"] | None:
    """The liability that a tender of this group redeems, when it is a promise of the shop's own and no money."""
    match group.partition(":")[0]:
        case TenderType.GIFT_CARD:
            return "gift_cards"
        case TenderType.STORE_CREDIT:
            return "store_credit"
        case _:
            return None


class Accounts(_Part):
    """Ids of accounts in the chart of accounts. What is not mapped holds; nothing goes to a suspense account."""

    sales: ByGroup = Field(ByGroup(), description="Income from goods, before discounts, by category.")
    discounts: ByGroup = Field(ByGroup(), description="Discounts given (contra-income), by the discount's name.")
    returns: ByGroup = Field(ByGroup(), description="Goods taken back (contra-income), by category.")
    shipping: ByGroup = Field(ByGroup(), description="Shipping and delivery charged to buyers (income).")
    service_charges: ByGroup = Field(
        ByGroup(), description="Service charges the shop keeps (income), by the charge's name."
    )
    taxes: ByGroup = Field(
        ByGroup(), description="Tax collected: a liability account of your own, by tax group such as 'VAT @ 0.2'."
    )
    tips: ByGroup = Field(
        ByGroup(), description="Tips owed to staff (liability); groups are charges that are paid to staff."
    )
    gift_cards: ByGroup = Field(
        ByGroup(), description="Gift cards sold and not yet redeemed (liability); also used for the tender gift_card."
    )
    store_credit: Id | None = Field(None, description="Store credit owed (liability), for the tender store_credit.")
    donations: ByGroup = Field(ByGroup(), description="Donations collected for others (liability).")
    rounding: ByGroup = Field(ByGroup(), description="Cash rounding.")
    tenders: ByGroup = Field(
        ByGroup(),
        description="Clearing account of each way to pay, by tender group such as 'card', 'cash', 'external:DoorDash'. "
        "There is no default unless you set one.",
    )
    unexplained_differences: Id | None = Field(
        None,
        description="Where the difference of a sale that does not add up is posted. "
        "None: such a sale waits, and its day is posted without it.",
    )

    def of(self, line: DayLine) -> str | None:
        """The account of a figure of the books."""
        if line.component is not Component.TENDER:
            by_group: ByGroup = getattr(self, _SETTING[line.component])
            return by_group.of(line.group)
        return self.of_tender(line.group)

    def of_tender(self, group: str) -> str | None:
        """The clearing account of a tender group. Redeemed gift cards and store credit lessen their liability."""
        kind = group.partition(":")[0]
        explicit = self.tenders.groups.get(group) or self.tenders.groups.get(kind)
        match liability_of(group):
            case "gift_cards":
                return explicit or self.gift_cards.default
            case "store_credit":
                return explicit or self.store_credit
            case _:
                return explicit or self.tenders.default


_SETTING: dict[Component, str] = {
    Component.GROSS_SALES: "sales",
    Component.DISCOUNTS: "discounts",
    Component.RETURNS: "returns",
    Component.SHIPPING: "shipping",
    Component.SERVICE_CHARGES: "service_charges",
    Component.TAX: "taxes",
    Component.TIPS: "tips",
    Component.GIFT_CARDS_SOLD: "gift_cards",
    Component.DONATIONS: "donations",
    Component.ROUNDING: "rounding",
    Component.TENDER: "tenders",
}


def account_setting(component: Component, group: str) -> str:
    """The setting in which a figure's account is to be written, in words."""
    field = _SETTING[component]
    if component is Component.TENDER and liability_of(group) == "store_credit":
        field = "store_credit"
    return f"accounts.{field}" + (f" for {group!r}" if group else "")


class Items(_Part):
    """Ids of products and services: the lines of receipts. Not used by the daily journal."""

    default_item: Id | None = Field(None, description="Item of goods, and of custom amounts and returns without lines.")
    by_sku: bool = Field(
        False, description="Use the item that has the line's SKU; a missing one is created as a non-inventory item."
    )
    income_account: Id | None = Field(None, description="Income account of the items that are created.")
    custom_amount: Id | None = Field(None, description="Item of custom amounts; default_item when not set.")
    gift_card: Id | None = Field(None, description="Item of gift cards sold, tied to the gift card liability.")
    shipping: Id | None = Field(None, description="Item of shipping.")
    donation: Id | None = Field(None, description="Item of donations, tied to a liability account.")
    service_charges: ByGroup = Field(ByGroup(), description="Items of service charges, by the charge's name.")
    tips: Id | None = Field(None, description="Item of tips, tied to the tips liability.")
    rounding: Id | None = Field(None, description="Item of cash rounding.")
    taxes: ByGroup = Field(
        ByGroup(), description="Items of taxes, tied to a tax liability, by tax group; used when tax_as_line."
    )
    tenders: ByGroup = Field(
        ByGroup(),
        description="Payment items by tender group, each tied to the tender's clearing account: for every tender "
        "of a receipt that is not the one deposited, and for gift cards and store credit redeemed.",
    )
    unexplained_differences: Id | None = Field(
        None, description="Item for the difference of a sale that does not add up. None: such a sale is held."
    )
    sync: bool = Field(False, description="Create and update an item for every product that has a SKU.")

    def of_line(self, kind: LineKind) -> str | None:
        """The item of a line that is not found by its SKU."""
        match kind:
            case LineKind.PRODUCT:
                return self.default_item
            case LineKind.CUSTOM_AMOUNT:
                return self.custom_amount or self.default_item
            case LineKind.GIFT_CARD:
                return self.gift_card
            case LineKind.SHIPPING:
                return self.shipping
            case LineKind.DONATION:
                return self.donation


def item_setting(kind: LineKind) -> str:
    """The setting in which the item of such lines is to be written."""
    return "items.default_item" if kind in (LineKind.PRODUCT, LineKind.CUSTOM_AMOUNT) else f"items.{kind.value}"


class TaxCodes(_Part):
    """Tax codes of receipt lines: in the United States the two pseudo-codes, elsewhere ids of the company's own."""

    taxable: str = Field("TAX", description="Code of a taxed line, when tax is sent as a total.")
    untaxed: str = Field("NON", description="Code of every other line.")


class Settings(_Part):
    """The settings of one QuickBooks company."""

    mode: Literal["daily_journal", "receipts"] = Field(
        description="daily_journal: one balanced journal entry per location and business day. "
        "receipts: one sales receipt or refund receipt per sale or refund."
    )
    home_currency: Currency = Field(description="The company's home currency, ISO 4217.")
    multi_currency: bool = Field(
        False, description="The company has multi-currency switched on; else books in another currency are held."
    )
    document_prefix: Annotated[str, StringConstraints(pattern=r"^[A-Z0-9-]{0,4}$")] = Field(
        "POS-", description="Begins every document number; at most four characters."
    )
    accounts: Accounts = Field(Accounts(), description="Accounts by figure.")
    items: Items = Field(Items(), description="Items by kind of line.")
    departments: Mapping[str, Id] = Field({}, description="QuickBooks location (department) of each location, by id.")
    walk_in_customer: Id | None = Field(None, description="Customer of receipts whose buyer is not known.")
    customers: bool = Field(False, description="Create and update customers, and name them on receipts.")
    payment_methods: ByGroup = Field(ByGroup(), description="Payment method of receipts, by tender group; optional.")
    refund_account: Id | None = Field(
        None,
        description="Account named on a refund receipt that pays out no money (only gift card or store credit), "
        "since QuickBooks asks for one.",
    )
    tax_as_line: bool = Field(
        True,
        description="Receipts carry tax as lines on tax items, which QuickBooks cannot compute anew. "
        "False: as the receipt's total tax, which feeds the sales tax reports of a United States company.",
    )
    tax_codes: TaxCodes = Field(TaxCodes(), description="Tax codes of receipt lines.")
    tax_calculation: Literal["TaxExcluded", "NotApplicable"] | None = Field(
        None, description="GlobalTaxCalculation of receipts, for companies outside the United States."
    )
    closed_period: Literal["hold"] = Field(
        "hold", description="A document whose date lies in closed books waits until they are opened."
    )

    @model_validator(mode="after")
    def _created_items_have_income(self) -> Settings:
        if (self.items.by_sku or self.items.sync) and not self.items.income_account:
            raise ValueError("items.income_account is needed when items are created (by_sku or sync)")
        return self


class Choices:
    """Ids chosen from the settings while a document is written; what is not mapped is noted and named all at once."""

    def __init__(self) -> None:
        self._missing: dict[str, None] = {}

    def take(self, chosen: str | None, setting: str) -> str:
        """The id; when there is none, an empty one, and the setting is noted."""
        if chosen is None:
            self._missing[setting] = None
        return chosen or ""

    @property
    def missing(self) -> str | None:
        """What has to be mapped before this can be sent, in words; None when nothing is missing."""
        return f"not mapped: {'; '.join(self._missing)}" if self._missing else None
