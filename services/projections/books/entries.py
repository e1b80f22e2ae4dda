"""From events to entries in the books. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from libs.canonical.day import DayLine, lines_of_refund, lines_of_sale, merge, paid_for, paid_with, reverse
from libs.canonical.event import AnyEvent
from libs.canonical.kinds import Kind
from libs.canonical.sale import Amendment, Difference, Refund, Sale, Voided, check_refund, check_sale


@dataclass(frozen=True)
class Standing:
    """What the books hold of a sale now: its figures and where they stand."""

    lines: tuple[DayLine, ...]
    reason: str | None
    location_id: str
    business_day: date
    currency: str
    timezone: str


@dataclass(frozen=True)
class BookEntry:
    """One event's effect on a day. `difference` in minor units: how it was paid minus what was paid for."""

    event: AnyEvent
    location_id: str
    business_day: date
    currency: str
    timezone: str
    sales: int
    refunds: int
    lines: tuple[DayLine, ...]
    reason: str | None

    @property
    def difference(self) -> int:
        """Minor units by which the entry does not add up."""
        return (paid_with(self.lines, self.currency) - paid_for(self.lines, self.currency)).minor


def _reason(differences: Sequence[Difference]) -> str | None:
    return "; ".join(str(difference) for difference in differences) or None


def _standing(sale: Sale) -> Standing:
    return Standing(
        lines_of_sale(sale),
        _reason(check_sale(sale)),
        sale.location_id,
        sale.business_day,
        sale.currency,
        sale.timezone,
    )


def _entry(event: AnyEvent, standing: Standing, lines: tuple[DayLine, ...], sales: int, refunds: int) -> BookEntry:
    return BookEntry(
        event,
        standing.location_id,
        standing.business_day,
        standing.currency,
        standing.timezone,
        sales,
        refunds,
        lines,
        standing.reason,
    )


def enter(event: AnyEvent, before: Standing | None) -> tuple[BookEntry, Standing | None]:
    """The entry that an event makes, and what the books hold of its sale afterwards (None: as before).

    `before` is what they hold of the sale now. An amendment enters the change alone, on the sale's own day; a void
    takes back everything; a refund stands on its own day.
    """
    match event.data:
        case Sale():
            now = _standing(event.data)
            return _entry(event, now, now.lines, 1, 0), now
        case Amendment():
            earlier = before or _standing(event.data.before)
            changed = _standing(event.data.sale)
            # The day of the first telling stays: a sale does not move when a tip is adjusted.
            now = Standing(
                changed.lines, changed.reason, earlier.location_id, earlier.business_day, earlier.currency,
                earlier.timezone,
            )  # fmt: skip
            return _entry(event, now, merge([*now.lines, *reverse(earlier.lines)]), 0, 0), now
        case Voided():
            void = event.data
            place = before or Standing((), None, void.location_id, void.business_day, void.currency, void.timezone)
            now = Standing((), None, place.location_id, place.business_day, place.currency, place.timezone)
            return _entry(event, place, reverse(place.lines), -1 if before else 0, 0), now
        case Refund():
            refund = event.data
            own = Standing(
                lines_of_refund(refund), _reason(check_refund(refund)), refund.location_id, refund.business_day,
                refund.currency, refund.timezone,
            )  # fmt: skip
            return _entry(event, own, own.lines, 0, 1), None
        case _:
            raise TypeError(f"{event.kind} has no place in the books")


BOOKED = frozenset((Kind.SALE_COMPLETED, Kind.SALE_AMENDED, Kind.SALE_VOIDED, Kind.REFUND_COMPLETED))


def lines_as_json(lines: tuple[DayLine, ...]) -> list[dict[str, Any]]:
    """Lines as they are stored."""
    return [line.model_dump(mode="json") for line in lines]


def lines_from_json(stored: Sequence[Any]) -> tuple[DayLine, ...]:
    """Stored lines."""
    return tuple(DayLine.model_validate(line) for line in stored)
