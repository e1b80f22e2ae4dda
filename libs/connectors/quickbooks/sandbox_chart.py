"""What a new company of the simulator has: a chart of accounts, items, a customer and departments.

Laid out after the convention of daily summaries: income, contra-income, liabilities, and a clearing account per tender.
"""

from __future__ import annotations

from typing import Any

_ACCOUNTS = (
    ("79", "Sales", "Income"),
    ("80", "Sales of food", "Income"),
    ("81", "Discounts given", "Income"),
    ("82", "Returns", "Income"),
    ("83", "Shipping income", "Income"),
    ("84", "Service charge income", "Income"),
    ("85", "Donations payable", "Other Current Liability"),
    ("86", "Rounding", "Expense"),
    ("87", "Unexplained differences", "Expense"),
    ("90", "Sales tax payable", "Other Current Liability"),
    ("95", "Tips payable", "Other Current Liability"),
    ("96", "Gift cards outstanding", "Other Current Liability"),
    ("97", "Store credit outstanding", "Other Current Liability"),
    ("35", "Checking", "Bank"),
    ("91", "Card clearing", "Other Current Asset"),
    ("92", "Cash clearing", "Other Current Asset"),
    ("93", "Delivery app clearing", "Other Current Asset"),
    ("94", "Exchange clearing", "Other Current Asset"),
    ("98", "Other clearing", "Other Current Asset"),
)
# Service items; each is tied to the account of the same purpose.
_ITEMS = (
    ("11", "Goods", "79"),
    ("12", "Gift card", "96"),
    ("13", "Shipping", "83"),
    ("14", "Donation", "85"),
    ("15", "Service charge", "84"),
    ("16", "Tips", "95"),
    ("17", "Rounding", "86"),
    ("18", "Sales tax", "90"),
    ("19", "Unexplained difference", "87"),
    ("21", "Card payment", "91"),
    ("22", "Cash payment", "92"),
    ("23", "Delivery app payment", "93"),
    ("24", "Gift card payment", "96"),
    ("25", "Store credit payment", "97"),
    ("26", "Exchange", "94"),
    ("27", "Other payment", "98"),
)


def opening() -> dict[str, list[dict[str, Any]]]:
    """The objects of a new company by entity."""
    return {
        "Account": [{"Id": i, "Name": name, "AccountType": kind} for i, name, kind in _ACCOUNTS],
        "Item": [
            {"Id": i, "Name": name, "Type": "Service", "IncomeAccountRef": {"value": account}}
            for i, name, account in _ITEMS
        ],
        "Customer": [{"Id": "58", "DisplayName": "POS customer"}],
        "Vendor": [{"Id": "59", "DisplayName": "Sample Bakery"}],
        "Department": [{"Id": "1", "Name": "Main Street"}, {"Id": "2", "Name": "Harbour"}],
        "PaymentMethod": [{"Id": "1", "Name": "Cash"}, {"Id": "3", "Name": "Card"}],
        "CompanyInfo": [{"Id": "1", "CompanyName": "Simulated company", "Country": "US"}],
    }
