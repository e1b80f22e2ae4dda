"""How the simulator checks transactions and computes totals: from the request alone, knowing no mapping of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from libs.connectors.quickbooks.sandbox_faults import Refused

Exists = Callable[[str, str], Mapping[str, Any] | None]  # entity, id -> the object

_CENT = Decimal("0.01")
_TRANSACTION = {
    "Id", "SyncToken", "sparse", "domain", "MetaData", "CustomField", "DocNumber", "TxnDate", "DepartmentRef",
    "CurrencyRef", "ExchangeRate", "PrivateNote", "LinkedTxn", "Line", "TxnTaxDetail", "GlobalTaxCalculation",
    "TotalAmt", "HomeTotalAmt",
}  # fmt: skip
_SALE = {
    "CustomerRef", "CustomerMemo", "BillAddr", "ShipAddr", "BillEmail", "ClassRef", "PaymentMethodRef",
    "PaymentRefNum", "DepositToAccountRef", "ApplyTaxAfterDiscount", "PrintStatus", "EmailStatus", "Balance",
}  # fmt: skip
PROPERTIES: dict[str, set[str]] = {
    "JournalEntry": _TRANSACTION | {"Adjustment"},
    "SalesReceipt": _TRANSACTION | _SALE,
    "RefundReceipt": _TRANSACTION | _SALE,
}
_LINE = {"Id", "LineNum", "Description", "Amount", "DetailType", "LinkedTxn"}
_DETAILS: dict[str, set[str]] = {
    "JournalEntryLineDetail": {
        "PostingType", "Entity", "AccountRef", "ClassRef", "DepartmentRef", "TaxCodeRef", "TaxApplicableOn",
        "TaxAmount",
    },
    "SalesItemLineDetail": {"ItemRef", "ClassRef", "UnitPrice", "Qty", "TaxCodeRef", "ServiceDate", "ItemAccountRef"},
    "DiscountLineDetail": {"PercentBased", "DiscountPercent", "DiscountAccountRef"},
    "SubTotalLineDetail": {"ItemRef"},
}  # fmt: skip
_DEPOSIT_TYPES = {"Bank", "Other Current Asset"}


def amount_of(value: Any, element: str) -> Decimal:
    """A number from JSON with at most two decimals."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise Refused("2010", "Property Name: an amount must be a number", element)
    number = Decimal(value)
    if number != number.quantize(_CENT):
        raise Refused("6000", "Business Validation Error: an amount has more than two decimals", element)
    return number


def referenced(exists: Exists, entity: str, holder: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """The active object that a reference names; None without a reference."""
    reference = holder.get(name)
    if reference is None:
        return None
    value = reference.get("value") if isinstance(reference, dict) else None
    target = exists(entity, str(value))
    if target is None or not target.get("Active", True):
        raise Refused("2500", f"Invalid Reference Id : {entity} element id {value} not found", name)
    return target


def lines_of(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The lines that a client sent, checked for shape."""
    lines = body.get("Line")
    if not isinstance(lines, list) or not lines or not all(isinstance(line, dict) for line in lines):
        raise Refused("2020", "Required parameter Line is missing in the request", "Line")
    for line in lines:
        detail = line.get("DetailType")
        if detail not in _DETAILS:
            raise Refused("2170", f"Invalid Enumeration : {detail}", "DetailType")
        unknown = (set(line) - _LINE - {detail}) | (set(line.get(detail) or {}) - _DETAILS[detail])
        if unknown:
            raise Refused("2010", f"Property Name:{min(unknown)} specified is unsupported or invalid", "Line")
        if len(line.get("Description") or "") > 4000:
            raise Refused("2050", "Description may have 4000 characters", "Description")
    return lines


def journal_total(body: Mapping[str, Any], exists: Exists) -> Decimal:
    """Checks that the entry balances; its total is the sum of its debits."""
    sides = {"Debit": Decimal(0), "Credit": Decimal(0)}
    for line in lines_of(body):
        detail = line.get("JournalEntryLineDetail") or {}
        amount = amount_of(line.get("Amount"), "Amount")
        if amount < 0:
            raise Refused("6000", "Business Validation Error: the amount of a journal line is never negative", "Amount")
        if detail.get("PostingType") not in sides:
            raise Refused("2170", "Invalid Enumeration : PostingType", "PostingType")
        account = referenced(exists, "Account", detail, "AccountRef")
        if account is None:
            raise Refused("2020", "Required parameter AccountRef is missing in the request", "AccountRef")
        if account.get("AccountType") in ("Accounts Receivable", "Accounts Payable") and "Entity" not in detail:
            raise Refused("6000", "Business Validation Error: such a line needs a customer or vendor", "Entity")
        referenced(exists, "Department", detail, "DepartmentRef")
        sides[detail["PostingType"]] += amount
    if sides["Debit"] != sides["Credit"]:
        told = f"debits {sides['Debit']}, credits {sides['Credit']}"
        raise Refused("6000", f"Business Validation Error: debits and credits are not equal ({told})", "Line")
    return sides["Debit"]


def receipt_total(entity: str, body: dict[str, Any], exists: Exists, tax_rate: Decimal | None) -> Decimal:
    """Checks a sales or refund receipt and computes its total; adds the subtotal line that QuickBooks adds.

    With `tax_rate` the tax of taxable lines is computed anew, whatever the request says: a company that does so.
    """
    lines = [line for line in lines_of(body) if line["DetailType"] != "SubTotalLineDetail"]
    goods = sum(
        (_item_amount(line, exists) for line in lines if line["DetailType"] == "SalesItemLineDetail"), Decimal(0)
    )
    off = sum(
        (amount_of(line.get("Amount"), "Amount") for line in lines if line["DetailType"] == "DiscountLineDetail"),
        Decimal(0),
    )
    _check_references(entity, body, exists)
    stated = (body.get("TxnTaxDetail") or {}).get("TotalTax", 0)
    tax = amount_of(stated, "TotalTax")
    if tax_rate is not None:
        taxable = sum((Decimal(line["Amount"]) for line in lines if _is_taxable(line)), Decimal(0))
        tax = (taxable * tax_rate).quantize(_CENT, ROUND_HALF_UP)
    total = goods - off + tax
    if total < 0:
        raise Refused("6000", "Business Validation Error: the total of a transaction is never negative", "TotalAmt")
    body["TxnTaxDetail"] = {**(body.get("TxnTaxDetail") or {}), "TotalTax": tax}
    body["Line"] = [*lines, {"Amount": goods, "DetailType": "SubTotalLineDetail", "SubTotalLineDetail": {}}]
    return total


def _is_taxable(line: Mapping[str, Any]) -> bool:
    code = (line.get("SalesItemLineDetail") or {}).get("TaxCodeRef") or {}
    return bool(code.get("value") == "TAX")


def _item_amount(line: dict[str, Any], exists: Exists) -> Decimal:
    detail = line.get("SalesItemLineDetail") or {}
    if referenced(exists, "Item", detail, "ItemRef") is None:
        return Decimal(0)  # a line without an item is text, its amount is ignored (XSD)
    quantity, price = detail.get("Qty"), detail.get("UnitPrice")
    amount = line.get("Amount")
    if amount is None and quantity is not None and price is not None:
        amount = line["Amount"] = (Decimal(quantity) * Decimal(price)).quantize(_CENT, ROUND_HALF_UP)
    number = amount_of(amount, "Amount")
    if quantity is not None and price is not None:
        product = (Decimal(quantity) * Decimal(price)).quantize(_CENT, ROUND_HALF_UP)
        if product != number:
            raise Refused("6070", f"Amount is not equal to UnitPrice * Qty. Supplied value:{number}", "Amount")
    return number


def _check_references(entity: str, body: Mapping[str, Any], exists: Exists) -> None:
    for kind, name in (
        ("Customer", "CustomerRef"),
        ("Department", "DepartmentRef"),
        ("PaymentMethod", "PaymentMethodRef"),
    ):
        referenced(exists, kind, body, name)
    account = referenced(exists, "Account", body, "DepositToAccountRef")
    if account is None and entity == "RefundReceipt":
        raise Refused("2020", "Required parameter DepositToAccountRef is missing in the request", "DepositToAccountRef")
    if account is not None and account.get("AccountType") not in _DEPOSIT_TYPES:
        raise Refused(
            "6000", "Business Validation Error: deposits go to a bank or asset account", "DepositToAccountRef"
        )
