"""Canonical events and plans as people read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from libs.canonical.day import DayClosed, merge, paid_for, paid_with
from libs.canonical.event import AnyEvent
from libs.canonical.money import Money, total
from libs.canonical.sale import Amendment, Difference, Refund, Sale, check_refund, check_sale


def event_picture(event: AnyEvent) -> RenderableType:
    """An event: what it is, and for sales and refunds lines, sums, tenders, and whether it all adds up."""
    draw = _PICTURES.get(type(event.data).__name__, _plain_data)
    head = Text.assemble(
        (f"{event.entity_id}", "bold"), f"  {event.occurred_at:%Y-%m-%d %H:%M:%S %Z}",
        f"  location {event.location_id}" if event.location_id else "",
        (f"\nevent {event.id}  order key {event.order_key}  version {event.version}", "dim"),
    )  # fmt: skip
    return Panel(Group(head, *draw(event.data)), title=str(event.kind), title_align="left")


def _amounts(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(
            column, justify="right" if column in ("quantity", "each", "amount", "off", "tax", "total") else "left"
        )
    return table


def _taxes(taxes: Iterable[Any], currency: str) -> str:
    taxes = tuple(taxes)
    if not taxes:
        return ""
    amount = total((tax.amount for tax in taxes), currency)
    return f"{amount.major}{' incl.' if all(tax.inclusive for tax in taxes) else ''}"


def _lines(data: Sale | Refund) -> Table:
    table = _amounts("line", "sku", "quantity", "amount", "off", "tax", "total")
    for line in data.lines:
        off = total((discount.amount for discount in line.discounts), data.currency)
        table.add_row(
            line.name, line.sku or "-", str(line.quantity), str(line.gross.major), f"-{off.major}" if off else "",
            _taxes(line.taxes, data.currency), str(line.total.major),
        )  # fmt: skip
    for charge in data.service_charges:
        table.add_row(
            charge.name,
            "",
            "",
            str(charge.amount.major),
            "",
            _taxes(charge.taxes, data.currency),
            str(charge.total.major),
        )
    extra: list[tuple[str, Money]] = [("tip", data.tip), ("rounding", data.rounding)]
    extra += [("not itemised", data.unitemised)] if isinstance(data, Refund) else []
    for name, amount in extra:
        if amount:
            table.add_row(name, "", "", "", "", "", str(amount.major))
    table.add_row("total", "", "", "", "", "", str(data.total), style="bold")
    return table


def _tenders(data: Sale | Refund) -> Table:
    table = _amounts("paid with" if isinstance(data, Sale) else "paid out by", "of it tip", "amount")
    for tender in data.tenders:
        name = " ".join(
            part
            for part in (
                str(tender.type),
                tender.label,
                tender.card_brand,
                f"..{tender.card_last4}" if tender.card_last4 else None,
            )
            if part
        )
        table.add_row(name, str(tender.tip.major) if tender.tip else "", str(tender.amount.major))
    return table


def _verdict(differences: Iterable[Difference]) -> Text:
    found = tuple(differences)
    if not found:
        return Text("adds up", style="green")
    return Text("does not add up: " + "; ".join(str(difference) for difference in found), style="red")


def _sale(sale: Sale) -> list[RenderableType]:
    facts = [f"business day {sale.business_day}", sale.channel]
    facts += [f"receipt {sale.number}"] if sale.number else []
    facts += [f"staff {sale.staff_id}"] if sale.staff_id else []
    facts += [f"customer {sale.customer.id}"] if sale.customer else []
    facts += ["offline"] if sale.offline else []
    facts += ["clock suspect"] if sale.clock_suspect else []
    return [Text(", ".join(facts)), _lines(sale), _tenders(sale), _verdict(check_sale(sale))]


def _refund(refund: Refund) -> list[RenderableType]:
    of = f"of sale {refund.sale_id}" if refund.sale_id else "of no known sale"
    return [
        Text(f"business day {refund.business_day}, {of}"),
        _lines(refund),
        _tenders(refund),
        _verdict(check_refund(refund)),
    ]


def _amendment(amendment: Amendment) -> list[RenderableType]:
    return [Text(f"was {amendment.before.total}, is now {amendment.sale.total}"), *_sale(amendment.sale)]


def _day(day: DayClosed) -> list[RenderableType]:
    table = _amounts("component", "group", "amount")
    for line in day.lines:
        table.add_row(str(line.component), line.group, str(line.amount.major))
    everything = merge([*day.lines, *(line for member in day.flagged for line in member.lines)])
    off = paid_with(everything, day.currency) - paid_for(everything, day.currency)
    facts = f"{day.location_id}, {day.business_day}, revision {day.revision}: {day.sales} sales, {day.refunds} refunds"
    verdict = Text(f"differs by {off}", style="red") if off else Text("adds up", style="green")
    return [Text(facts), table, verdict]


def _plain_data(data: Any) -> list[RenderableType]:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    for name, value in data.model_dump(mode="json", exclude_none=True).items():
        table.add_row(Text(name, style="dim"), _short(value))
    return [table]


def _short(value: Any) -> str:
    if isinstance(value, dict) and set(value) == {"minor", "currency"}:
        return str(Money.model_validate(value))
    return str(value)[:200]


_PICTURES: dict[str, Callable[[Any], list[RenderableType]]] = {
    "Sale": _sale,
    "Refund": _refund,
    "Amendment": _amendment,
    "DayClosed": _day,
}
