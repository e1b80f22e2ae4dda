"""What is new in what a snapshot shows, judged by what was told before. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from libs.canonical.event import AnyEvent, Event, sale_amended
from libs.canonical.identity import content_hash
from libs.canonical.kinds import Kind, Nature
from libs.canonical.sale import Sale, money_hash


@dataclass(frozen=True)
class Told:
    """The newest that was told of one entity and kind. `ordinal` counts amendments; `sale` shows what they changed."""

    event_id: str
    content_hash: str
    version: int
    ordinal: int = 0
    sale: dict[str, Any] | None = None


TellingKey = tuple[str, str, str]  # account, kind, entity id


def key_of(event: AnyEvent) -> TellingKey:
    """Under what the event is remembered."""
    return (str(event.account), str(event.kind), event.entity_id)


def keys_needed(event: AnyEvent) -> Iterable[TellingKey]:
    """What must be known of earlier tellings to judge this event."""
    yield key_of(event)
    if event.kind is Kind.SALE_VOIDED:
        yield (str(event.account), str(Kind.SALE_COMPLETED), event.entity_id)


def _keep(sale: Sale) -> dict[str, Any]:
    # No person is remembered here, nor any free text: erasing one must not have to look into this memory.
    lines = tuple(line.model_copy(update={"note": None}) for line in sale.lines)
    return sale.model_copy(update={"customer": None, "note": None, "lines": lines}).model_dump(mode="json")


def judge(event: AnyEvent, told: dict[TellingKey, Told]) -> tuple[AnyEvent | None, Told | None]:
    """The event to write (as it is, or as an amendment), or None; and what is to be remembered, or None."""
    before = told.get(key_of(event))
    if event.kind is Kind.SALE_COMPLETED:
        assert isinstance(event.data, Sale)
        return _sale(event, event.data, before)
    if event.kind is Kind.SALE_VOIDED:
        completed = told.get((str(event.account), str(Kind.SALE_COMPLETED), event.entity_id))
        if completed is None or before is not None:
            return None, None  # it never was a sale to us, or it is known to be void
        return event, Told(event.id, "", event.version)
    if event.nature is Nature.FACT:
        return (None, None) if before is not None else (event, Told(event.id, "", event.version))
    return _state(event, before)


def _sale(event: AnyEvent, sale: Sale, before: Told | None) -> tuple[AnyEvent | None, Told | None]:
    now = money_hash(sale)
    if before is None:
        return event, Told(event.id, now, event.version, 0, _keep(sale))
    if event.version < before.version:
        return None, None  # an older picture, arrived late
    if now == before.content_hash:
        newer = Told(before.event_id, now, event.version, before.ordinal, before.sale)
        return None, newer if event.version > before.version else None
    ordinal = before.ordinal + 1
    earlier = Sale.model_validate(before.sale)
    amended = sale_amended(Event[Sale].model_validate(event.model_dump()), earlier, ordinal)
    return amended, Told(event.id, now, event.version, ordinal, _keep(sale))


def _state(event: AnyEvent, before: Told | None) -> tuple[AnyEvent | None, Told | None]:
    content = event.data.model_dump(mode="json", exclude={"updated_at", "counted_at", "erased_at"})
    now = content_hash(content)
    if before is not None and (event.version < before.version or event.id == before.event_id):
        return None, None
    if before is not None and now == before.content_hash:
        return None, Told(before.event_id, now, event.version)
    return event, Told(event.id, now, event.version)
