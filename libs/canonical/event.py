"""One retail fact or state, and how it travels: a CloudEvents 1.0 message in Kafka's binary mode."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import AwareDatetime, BaseModel, SerializeAsAny, ValidationError

from libs.canonical.catalogue import Price, Product, StockCount
from libs.canonical.customer import Customer, CustomerErased
from libs.canonical.day import DayClosed
from libs.canonical.frozen import Frozen
from libs.canonical.identity import Account, amendment_id, entity_key, fact_id, state_id
from libs.canonical.kinds import KINDS, Kind, Nature
from libs.canonical.moments import micros
from libs.canonical.sale import Amendment, Refund, Sale, Voided, money_hash

SCHEMA_MAJOR = 1
TYPE_PREFIX = "tillstream."

Data = TypeVar("Data", bound=BaseModel, covariant=True)


class UnknownKind(Exception):
    """An event of a kind that this version does not know: to be counted as filtered."""


class UnknownSchemaVersion(Exception):
    """An event written by a later major version: to be set aside until this service is upgraded."""


class MalformedEvent(Exception):
    """Bytes that are no canonical event; the message names the first wrong field, never its value."""


class Event(Frozen, Generic[Data]):
    """One event. `version` is comparable among the events of one entity (vendor version, or vendor time in
    microseconds); `refs` are further vendor ids by which people look for it (payments, receipt numbers)."""

    id: str
    kind: Kind
    account: Account
    entity_id: str  # the vendor's id of the object itself
    order_key: str
    occurred_at: AwareDatetime
    recorded_at: AwareDatetime | None = None
    location_id: str | None = None
    version: int = 0
    refs: tuple[str, ...] = ()
    data: SerializeAsAny[Data]

    @property
    def nature(self) -> Nature:
        """Fact or state."""
        return KINDS[self.kind].nature

    @property
    def topic(self) -> str:
        """The one topic in which its order key lives."""
        return KINDS[self.kind].topic


AnyEvent = Event[BaseModel]

# One parametrised model per kind, built once: building one costs far more than reading an event with it.
_READERS: dict[Kind, type[Event[Any]]] = {kind: Event.__class_getitem__(spec.model) for kind, spec in KINDS.items()}  # type: ignore[misc]


def sale_completed(
    account: Account, sale: Sale, *, recorded_at: datetime | None, version: int, refs: Iterable[str] = ()
) -> Event[Sale]:
    """The sale as a fact; the same id however often and by whatever way the vendor shows it."""
    return Event[Sale](
        id=fact_id(account, Kind.SALE_COMPLETED, sale.id),
        kind=Kind.SALE_COMPLETED,
        account=account,
        entity_id=sale.id,
        order_key=entity_key(account, "sale", sale.id),
        occurred_at=sale.closed_at,
        recorded_at=recorded_at,
        location_id=sale.location_id,
        version=version,
        refs=_refs(sale.id, sale.number, *refs),
        data=sale,
    )


def sale_amended(completed: Event[Sale], before: Sale, ordinal: int) -> Event[Amendment]:
    """The n-th change of money of a sale that was completed before; `completed` shows it as it is now."""
    return Event[Amendment](
        **{
            **{name: getattr(completed, name) for name in Event.model_fields},
            "id": amendment_id(completed.account, completed.entity_id, money_hash(completed.data), ordinal),
            "kind": Kind.SALE_AMENDED,
            "occurred_at": completed.recorded_at or completed.occurred_at,
            "data": Amendment(before=before, sale=completed.data),
        }
    )


def sale_voided(account: Account, void: Voided, *, recorded_at: datetime | None, version: int) -> Event[Voided]:
    """A completed sale cancelled whole."""
    return Event[Voided](
        id=fact_id(account, Kind.SALE_VOIDED, void.sale_id),
        kind=Kind.SALE_VOIDED,
        account=account,
        entity_id=void.sale_id,
        order_key=entity_key(account, "sale", void.sale_id),
        occurred_at=void.voided_at,
        recorded_at=recorded_at,
        location_id=void.location_id,
        version=version,
        refs=_refs(void.sale_id),
        data=void,
    )


def refund_completed(
    account: Account, refund: Refund, *, recorded_at: datetime | None, version: int, refs: Iterable[str] = ()
) -> Event[Refund]:
    """A refund as a fact, ordered with its sale; one without a sale is ordered by itself."""
    root = ("sale", refund.sale_id) if refund.sale_id else ("refund", refund.id)
    return Event[Refund](
        id=fact_id(account, Kind.REFUND_COMPLETED, refund.id),
        kind=Kind.REFUND_COMPLETED,
        account=account,
        entity_id=refund.id,
        order_key=entity_key(account, *root),
        occurred_at=refund.refunded_at,
        recorded_at=recorded_at,
        location_id=refund.location_id,
        version=version,
        refs=_refs(refund.id, refund.sale_id, *refs),
        data=refund,
    )


_STATE_TIME = {Kind.CUSTOMER_ERASED: "erased_at", Kind.STOCK_COUNTED: "counted_at"}

State = Customer | CustomerErased | Product | Price | StockCount


def state_changed(
    account: Account, kind: Kind, data: State, *, vendor_version: int | None = None, refs: Iterable[str] = ()
) -> Event[Any]:
    """A new state of a customer, product, price or stock level.

    `vendor_version` is the vendor's own number, where the object has one; else content and vendor time tell versions
    apart. A stock level is the state of one item at one location, a price of one item (at one location).
    """
    spec = KINDS[kind]
    changed_at: datetime = getattr(data, _STATE_TIME.get(kind, "updated_at"))
    location = getattr(data, "location_id", None)
    if isinstance(data, StockCount):
        entity_id = f"{data.item_id}@{data.location_id}"
    elif isinstance(data, Price) and data.location_id:
        entity_id = f"{data.id}@{data.location_id}"
    else:
        entity_id = data.id
    return Event[Any](
        id=state_id(account, kind, entity_id, version=vendor_version, content=data, vendor_time=changed_at),
        kind=kind,
        account=account,
        entity_id=entity_id,
        order_key=entity_key(account, spec.entity, entity_id),
        occurred_at=changed_at,
        recorded_at=changed_at,
        location_id=location,
        version=micros(changed_at) if vendor_version is None else vendor_version,
        refs=_refs(entity_id, getattr(data, "sku", None), *refs),
        data=data,
    )


def day_closed(account: Account, day: DayClosed) -> Event[DayClosed]:
    """One revision of a location's closed day."""
    name = f"{day.location_id}:{day.business_day.isoformat()}:{day.currency}"
    return Event[DayClosed](
        id=fact_id(account, Kind.DAY_CLOSED, name, day.revision),
        kind=Kind.DAY_CLOSED,
        account=account,
        entity_id=name,
        order_key=entity_key(account, "day", name),
        occurred_at=day.closed_at,
        recorded_at=day.closed_at,
        location_id=day.location_id,
        version=day.revision,
        refs=(name,),
        data=day,
    )


def _refs(*candidates: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(ref for ref in candidates if ref))


def encode(event: AnyEvent) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """Key, value and headers of the Kafka record. No personal data is in key or headers."""
    headers = {
        "ce_specversion": "1.0",
        "ce_id": event.id,
        "ce_type": f"{TYPE_PREFIX}{event.kind}.v{SCHEMA_MAJOR}",
        "ce_source": f"/{event.account.vendor}/{event.account.id}",
        "ce_time": event.occurred_at.isoformat(),
        "content-type": "application/json",
    }
    return (
        event.order_key.encode(),
        event.model_dump_json().encode(),
        [(name, value.encode()) for name, value in headers.items()],
    )


def kind_of(headers: Mapping[str, str]) -> Kind:
    """The kind that the headers state.

    Raises MalformedEvent without a readable type, UnknownSchemaVersion for a later major version, UnknownKind for a
    kind this version does not know.
    """
    stated = headers.get("ce_type", "")
    name, _, major = stated.removeprefix(TYPE_PREFIX).rpartition(".v")
    if not stated.startswith(TYPE_PREFIX) or not major.isdecimal() or len(major) > 9:
        raise MalformedEvent("header ce_type is missing or unreadable")
    if int(major) != SCHEMA_MAJOR:
        raise UnknownSchemaVersion(f"{name} version {int(major)}")
    try:
        return Kind(name)
    except ValueError:
        raise UnknownKind(name[:80]) from None


def decode(kind: Kind, value: bytes | None) -> AnyEvent:
    """The event in a record's value; raises MalformedEvent naming the first wrong field, never its value."""
    if not value:
        raise MalformedEvent("the record has no value (a tombstone)")
    try:
        event: AnyEvent = _READERS[kind].model_validate_json(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise MalformedEvent(f"{where}: {first['type']}") from None
    if event.kind is not kind:
        raise MalformedEvent("header ce_type and the body disagree about the kind")
    return event
