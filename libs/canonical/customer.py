"""A customer, as the till or shop knows one."""

from __future__ import annotations

from datetime import date, datetime

from libs.canonical.frozen import Frozen


class Address(Frozen):
    """A postal address; `country` is ISO 3166-1 alpha-2."""

    lines: tuple[str, ...] = ()
    city: str | None = None
    region: str | None = None
    postal_code: str | None = None
    country: str | None = None


class Customer(Frozen):
    """The newest known state of a customer. Phone in E.164; names split as well as a single string allows."""

    id: str
    given_name: str | None = None
    family_name: str | None = None
    company: str | None = None
    email: str | None = None
    phone: str | None = None
    address: Address | None = None
    birthday: date | None = None
    accepts_marketing: bool | None = None
    note: str | None = None
    groups: tuple[str, ...] = ()
    created_at: datetime | None = None
    updated_at: datetime


class CustomerErased(Frozen):
    """The customer was deleted at the vendor, or asked to be forgotten."""

    id: str
    erased_at: datetime
    on_request: bool = False  # a privacy request, not a mere deletion
