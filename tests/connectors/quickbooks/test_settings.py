"""Settings, document numbers and the manifest's facts."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from libs.connectors.contract.target import Ref
from libs.connectors.quickbooks.config import Settings
from libs.connectors.quickbooks.document_numbers import day_number, receipt_number
from tests.connectors.quickbooks.company import TARGET
from tests.connectors.quickbooks.samples import ITEMS, SALES, buyer, closed, settings, sold

DAY = date(2026, 11, 21)


def test_complete_settings_have_nothing_missing() -> None:
    assert TARGET.check(settings("daily_journal")) == ()
    assert TARGET.check(settings("receipts")) == ()


def test_what_every_shop_needs_is_asked_for_before_going_live() -> None:
    empty: dict[str, Any] = {"home_currency": "USD"}
    journal = TARGET.check(Settings.model_validate(empty | {"mode": "daily_journal"}))
    assert "accounts.sales is not mapped" in journal
    assert "accounts.tenders for 'cash' is not mapped" in journal
    receipts = TARGET.check(Settings.model_validate(empty | {"mode": "receipts"}))
    assert "walk_in_customer is not mapped" in receipts
    assert "items.taxes.default is not mapped" in receipts
    as_total = TARGET.check(Settings.model_validate(empty | {"mode": "receipts", "tax_as_line": False}))
    assert "items.taxes.default is not mapped" not in as_total


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "monthly"},
        {"colour": "red"},
        {"accounts": {"sales": {"default": "Sales"}}},
        {"document_prefix": "TOO-LONG"},
        {"home_currency": "dollars"},
    ],
)
def test_misspelt_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"mode": "receipts", "home_currency": "USD", **wrong})


def test_every_setting_is_described() -> None:
    schema = Settings.model_json_schema()
    for model in (schema, *schema["$defs"].values()):
        for name, field in model["properties"].items():
            assert field.get("description"), name


def test_document_numbers_fit_differ_and_repeat() -> None:
    numbers = {
        day_number("POS-", books, day, revision)
        for books in ("square:ML1:L1:USD", "square:ML1:L2:USD", "square:ML1:L1:CAD")
        for day in (DAY, date(2026, 11, 22))
        for revision in (1, 2, 1000, 1001)
    }
    assert len(numbers) == 24
    assert all(len(number) <= 21 for number in numbers)
    assert day_number("POS-", "b", DAY, 1) == day_number("POS-", "b", DAY, 1)
    receipts = {receipt_number("POS-", f"square:ML1:sale:{number}") for number in range(1000)}
    assert len(receipts) == 1000
    assert all(len(number) <= 21 for number in receipts)
    # The search does not tell small letters from capitals, so no two numbers may differ only in that.
    assert {number.upper() for number in receipts} == receipts


def test_the_key_is_declared_to_go_on_the_url() -> None:
    facts = TARGET.manifest.target
    assert facts is not None
    native, lookup = facts.idempotency
    assert (native.key_in, native.key_name, native.key_max_length) == ("query", "requestid", 50)
    assert lookup.means == "lookup"


def test_planning_asks_for_the_ids_it_looks_at() -> None:
    data = SALES["numeric_sku"][0].model_copy(update={"customer": buyer()})
    config = settings("receipts", items=ITEMS | {"by_sku": True, "income_account": "79"})
    assert set(TARGET.references(sold(data), config)) == {
        Ref("sale", "square:ML1:sale:Ord9"),
        Ref("sale_paid_out", "square:ML1:sale:Ord9"),
        Ref("item", "00123"),
        Ref("item", "A-00123"),
        Ref("customer", "square:ML1:customer:C7"),
    }
    assert TARGET.references(closed(sold(data)), config) == ()
    assert TARGET.references(sold(data), settings("daily_journal")) == ()


def test_the_probe_needs_no_company_id() -> None:
    request = TARGET.probe(settings("receipts"))
    assert request.method == "GET"
    assert request.query["query"] == "select Id from CompanyInfo"
