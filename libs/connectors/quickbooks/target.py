"""QuickBooks Online as a target: which events become which documents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from libs.canonical.catalogue import Product
from libs.canonical.event import AnyEvent
from libs.canonical.kinds import Kind
from libs.canonical.sale import Amendment, Refund, Sale
from libs.connectors.contract.http import Request
from libs.connectors.contract.manifest import load_manifest
from libs.connectors.contract.target import Filtered, PartOfDocument, Plan, Ref, Target
from libs.connectors.quickbooks.calls import query
from libs.connectors.quickbooks.config import ByGroup, Settings
from libs.connectors.quickbooks.customers import customer_ref, plan_customer, plan_erasure
from libs.connectors.quickbooks.items import item_ref, plan_product, sku_of
from libs.connectors.quickbooks.journal import plan_day
from libs.connectors.quickbooks.receipts import plan_amendment, plan_refund, plan_sale, plan_void, sale_refs
from libs.connectors.quickbooks.verdicts import found, judge

_EVERYDAY = ("card", "cash")  # tenders that every shop takes

Planner = Callable[[Any, Settings, Mapping[Ref, str]], Plan]


def _part_of_day(_event: AnyEvent, _config: Settings, _known: Mapping[Ref, str]) -> Plan:
    return PartOfDocument()


def _day_not_used(_event: AnyEvent, _config: Settings, _known: Mapping[Ref, str]) -> Plan:
    return Filtered("sales are sent one by one")


_ALWAYS: dict[Kind, Planner] = {
    Kind.CUSTOMER_CHANGED: plan_customer,
    Kind.CUSTOMER_ERASED: plan_erasure,
    Kind.PRODUCT_CHANGED: plan_product,
}
_PLANNERS: dict[str, dict[Kind, Planner]] = {
    "daily_journal": {
        **_ALWAYS,
        Kind.SALE_COMPLETED: _part_of_day,
        Kind.SALE_AMENDED: _part_of_day,
        Kind.SALE_VOIDED: _part_of_day,
        Kind.REFUND_COMPLETED: _part_of_day,
        Kind.DAY_CLOSED: plan_day,
    },
    "receipts": {
        **_ALWAYS,
        Kind.SALE_COMPLETED: plan_sale,
        Kind.SALE_AMENDED: plan_amendment,
        Kind.SALE_VOIDED: plan_void,
        Kind.REFUND_COMPLETED: plan_refund,
        Kind.DAY_CLOSED: _day_not_used,
    },
}


def plan(event: AnyEvent, config: Settings, known: Mapping[Ref, str]) -> Plan:
    """What is sent for an event."""
    planner = _PLANNERS[config.mode].get(event.kind)
    return planner(event, config, known) if planner else Filtered(f"{event.kind} is not for the books")


def references(event: AnyEvent, config: Settings) -> Sequence[Ref]:
    """The remote ids that planning looks at."""
    data = event.data
    refs: list[Ref] = []
    if event.kind in (Kind.CUSTOMER_CHANGED, Kind.CUSTOMER_ERASED):
        refs.append(customer_ref(event.account, event.entity_id))
    if isinstance(data, Product) and data.sku:
        refs.append(item_ref(data.sku))
    if config.mode == "receipts" and event.topic == "retail.sales":
        refs += sale_refs(event)
        document = data.sale if isinstance(data, Amendment) else data
        if isinstance(document, Sale | Refund):
            refs += [item_ref(sku) for line in document.lines if (sku := sku_of(line, config))]
            refs += [customer_ref(event.account, document.customer.id)] if document.customer else []
    return tuple(dict.fromkeys(refs))


def probe(_config: Settings) -> Request:
    """The company's own record: needs the same right as every write, and no knowledge of the company's id."""
    return query("CompanyInfo", "Id")


def check(config: Settings) -> Sequence[str]:
    """What must be mapped before going live, one sentence each: figures that every retailer has sooner or later."""
    missing = _missing_for_receipts(config) if config.mode == "receipts" else _missing_for_journal(config)
    return tuple(f"{setting} is not mapped" for setting in missing)


def _missing_for_journal(config: Settings) -> list[str]:
    accounts = config.accounts
    groups = ("sales", "discounts", "returns", "taxes")
    missing = [f"accounts.{name}" for name in groups if getattr(accounts, name) == ByGroup()]
    return missing + [f"accounts.tenders for {group!r}" for group in _EVERYDAY if accounts.of_tender(group) is None]


def _missing_for_receipts(config: Settings) -> list[str]:
    items = config.items
    needed = {
        "items.default_item": items.default_item,
        "items.tips": items.tips,
        "items.taxes.default": items.taxes.default or items.taxes.groups if config.tax_as_line else "not used",
        "walk_in_customer": config.walk_in_customer,
        **{f"accounts.tenders for {group!r}": config.accounts.of_tender(group) for group in _EVERYDAY},
        **{f"items.tenders for {group!r}": items.tenders.of_tender(group) for group in _EVERYDAY},
    }
    return [setting for setting, chosen in needed.items() if not chosen]


target = Target(
    manifest=load_manifest(Path(__file__).parent),
    config=Settings,
    references=references,
    plan=plan,
    judge=judge,
    found=found,
    probe=probe,
    check=check,
)
