"""A sale's lines as line items of its order."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from libs.canonical.event import AnyEvent
from libs.canonical.money import times, total
from libs.canonical.sale import Sale, SaleLine
from libs.connectors.contract.target import Ref, Remote, Step
from libs.connectors.hubspot.batching import JOINED_INPUTS, Input, batch_call, chunks
from libs.connectors.hubspot.config import LINE_KEY, Config
from libs.connectors.hubspot.orders import order_ref
from libs.connectors.hubspot.properties import Values, amount, number, per_unit, shape


def line_key(order: Ref, line: SaleLine) -> str:
    """The value of pos_line_id: a line item belongs to one order only, so the order's key is part of it."""
    return f"{order.key}:line:{line.id}"


def line_steps(event: AnyEvent, sale: Sale, gone: Sequence[SaleLine], config: Config, *, amended: bool) -> list[Step]:
    """The line items, their place in the order, and the end of those that an amendment took away.

    Only a record id can be archived, and the ids on record are hints. So a line that is gone is first written once
    more, as nothing: the answer has its id, and should the call after it be late, the order is already right.
    """
    order = order_ref(event, sale.id)
    written = [_input(order, line, sale, config, amended=amended) for line in sale.lines]
    emptied = [_emptied(order, line, sale) for line in gone]
    upsert_path = f"{config.objects_path}/line_items/batch/upsert"
    steps = _calls("line items", "line_items/upsert", upsert_path, order, [*written, *emptied])
    associate_path = f"{config.associations_path}/orders/line_items/batch/associate/default"
    pairs = [{"from": {"id": Remote(order)}, "to": {"id": Remote(Ref("line_item", item["id"]))}} for item in written]
    steps += _calls("line items of order", "orders/line_items", associate_path, order, pairs)
    ended = [{"id": Remote(Ref("line_item", item["id"]))} for item in emptied]
    return steps + _calls("archive lines", None, f"{config.objects_path}/line_items/batch/archive", order, ended)


def _calls(name: str, batch: str | None, path: str, order: Ref, inputs: Sequence[Input]) -> list[Step]:
    """One step for as many inputs as a call can take; small ones may be joined with those of other sales."""
    parts = list(chunks(inputs))
    return [
        Step(
            name=name if len(parts) == 1 else f"{name} {n} of {len(parts)}",
            request=batch_call(path, part),
            target_key=f"order:{order.key}",
            batch=batch if len(part) <= JOINED_INPUTS else None,
        )
        for n, part in enumerate(parts, 1)
    ]


def _input(order: Ref, line: SaleLine, sale: Sale, config: Config, *, amended: bool) -> Input:
    key = line_key(order, line)
    properties = shape(_values(line, sale), _facts(line, sale), config.line_items, clear=amended)
    return {"idProperty": LINE_KEY, "id": key, "properties": properties | {LINE_KEY: key}}


def _emptied(order: Ref, line: SaleLine, sale: Sale) -> Input:
    key = line_key(order, line)
    return {"idProperty": LINE_KEY, "id": key, "properties": {LINE_KEY: key, "name": line.name, "quantity": "0"}}


def _values(line: SaleLine, sale: Sale) -> Values:
    """HubSpot computes the line's amount as quantity x price - quantity x discount (Knowledge base, unit discounts).

    The price is that of one with its modifiers. A line with money but no quantity is written as one, since nothing
    times a price is nothing.
    """
    quantity = line.quantity if line.quantity or not line.gross else Decimal(1)
    off = total((discount.amount for discount in line.discounts), sale.currency)
    plain = times(line.unit_price, quantity) == line.gross
    return {
        "name": line.name or "Item",
        "quantity": number(quantity),
        "price": amount(line.unit_price) if plain else per_unit(line.gross, quantity),
        "discount": per_unit(off, quantity) if off and quantity else None,
        "hs_sku": line.sku,
        "hs_line_item_currency_code": sale.currency,
    }


def _facts(line: SaleLine, sale: Sale) -> Values:
    return {
        "category": line.category,
        "discount_total": amount(total((discount.amount for discount in line.discounts), sale.currency)),
        "item_id": line.item_id,
        "kind": line.kind,
        "modifiers": ", ".join(modifier.name for modifier in line.modifiers),
        "note": line.note,
        "staff_id": line.staff_id,
        "tax": amount(total((tax.amount for tax in line.taxes), sale.currency)),
        "total": amount(line.total),
    }
