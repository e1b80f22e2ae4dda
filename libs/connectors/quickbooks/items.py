"""Products as items, found by their SKU."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from libs.canonical.catalogue import Product
from libs.canonical.event import Event
from libs.canonical.sale import LineKind, Refund, RefundLine, Sale, SaleLine
from libs.connectors.contract.target import Deliver, Filtered, Plan, Ref, Step
from libs.connectors.quickbooks.calls import change_steps, query, reference, write
from libs.connectors.quickbooks.config import Settings

NAME_LENGTH = 100  # XSD, Item.Name
SKU_LENGTH = 100  # XSD, Item.Sku
_FORBIDDEN = re.compile(r"[:\t\r\n]+")


def clean_name(name: str) -> str:
    """A name without the characters that QuickBooks refuses in names: colon, tab, newline."""
    return " ".join(_FORBIDDEN.sub(" ", name).split())


def sku_of(line: SaleLine | RefundLine, config: Settings) -> str | None:
    """The SKU by which the line's item is found; None when it is not found that way.

    A SKU longer than QuickBooks keeps could not be found again.
    """
    usable = config.items.by_sku and line.kind is LineKind.PRODUCT and line.sku and len(line.sku) <= SKU_LENGTH
    return line.sku if usable else None


def item_ref(sku: str) -> Ref:
    """Under which the remote id of a SKU's item is kept."""
    return Ref("item", sku)


def item_steps(document: Sale | Refund, config: Settings) -> tuple[Step, ...]:
    """For every SKU of the document: find its item, else create it. A known one costs no call."""
    names = {sku: line.name for line in document.lines if (sku := sku_of(line, config))}
    return tuple(_find_or_create(sku, name, config) for sku, name in names.items())


def _find_or_create(sku: str, name: str, config: Settings) -> Step:
    body = {
        "Name": _item_name(name, sku),
        "Sku": sku,
        "Type": "NonInventory",
        "IncomeAccountRef": reference(config.items.income_account or ""),
    }
    return Step(
        f"item {sku}",
        write("Item", body),
        target_key=f"item:{sku}",
        provides=item_ref(sku),
        once=True,
        shared=True,
        lookup=query("Item", "Id, Sku", Sku=sku),
        ask_first=True,
    )


def _item_name(name: str, sku: str) -> str:
    """Names are unique in QuickBooks and at the till they are not, so the SKU is part of it."""
    suffix = f" [{clean_name(sku)}]"[-NAME_LENGTH:]
    return clean_name(name)[: NAME_LENGTH - len(suffix)].rstrip() + suffix


def plan_product(event: Event[Product], config: Settings, known: Mapping[Ref, str]) -> Plan:
    """The product's item created, or its name and description changed."""
    product = event.data
    if not config.items.sync:
        return Filtered("items.sync is off")
    if not product.sku or len(product.sku) > SKU_LENGTH:
        return Filtered("a product without a usable SKU has no item")
    name = f"{product.name} {product.variation}" if product.variation else product.name
    remote_id = known.get(item_ref(product.sku))
    if remote_id is None:
        return Deliver((_find_or_create(product.sku, name, config),))
    # One that is off sale stays active: late sales and refunds may name it, and QuickBooks refuses inactive items.
    changes: dict[str, Any] = {"Name": _item_name(name, product.sku)}
    if product.description:
        changes["Description"] = product.description[:4000]
    return Deliver(
        change_steps(
            "Item", remote_id, changes, target_key=f"item:{product.sku}", event_id=event.id, name="change item"
        )
    )
