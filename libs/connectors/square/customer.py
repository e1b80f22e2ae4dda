"""Customers: the newest known state, or that one was deleted."""

from __future__ import annotations

from datetime import date

from libs.canonical import normalise
from libs.canonical.customer import Address, Customer, CustomerErased
from libs.canonical.event import AnyEvent, state_changed
from libs.canonical.identity import Account
from libs.canonical.kinds import Kind
from libs.connectors.contract.source import Outcome
from libs.connectors.square.node import Node
from libs.connectors.square.trade import Trade


def read_customer(root_id: str, root: Node, account: Account, trade: Trade) -> Outcome:
    """The customer's state, by Square's own version where it has one (Square API reference, Customer.version)."""
    deleted_at = root.moment("deleted_at")
    if deleted_at is not None:
        erased = CustomerErased(id=root_id, erased_at=deleted_at)
        return Outcome((state_changed(account, Kind.CUSTOMER_ERASED, erased),))
    customer = trade.find("customer", root_id)
    if not customer:
        return Outcome(reason="the customer is no longer at Square")
    return Outcome((_changed(customer, account, trade),))


def _changed(customer: Node, account: Account, trade: Trade) -> AnyEvent:
    address = customer.child("address")
    country = address.text("country")
    given, family = normalise.names(
        customer.text("given_name"), customer.text("family_name"), customer.text("nickname")
    )
    unsubscribed = customer.child("preferences")
    state = Customer(
        id=customer.need("id"),
        given_name=given,
        family_name=family,
        company=customer.text("company_name"),
        email=normalise.email(customer.text("email_address")),
        phone=normalise.phone(customer.text("phone_number"), country or trade.settings.default_region),
        address=_address(address, country) if address else None,
        birthday=_birthday(customer.text("birthday")),
        accepts_marketing=not unsubscribed.flag("email_unsubscribed") if unsubscribed else None,
        note=customer.text("note"),
        groups=customer.texts("group_ids"),
        created_at=customer.moment("created_at"),
        updated_at=customer.need_moment("updated_at"),
    )
    return state_changed(account, Kind.CUSTOMER_CHANGED, state, vendor_version=customer.whole("version"))


def _address(address: Node, country: str | None) -> Address:
    lines = (address.text(f"address_line_{number}") for number in (1, 2, 3))
    return Address(
        lines=tuple(line for line in lines if line),
        city=address.text("locality"),
        region=address.text("administrative_district_level_1"),
        postal_code=address.text("postal_code"),
        country=country,
    )


def _birthday(text: str | None) -> date | None:
    """A whole date; Square writes year 0000 for a birthday without a year, which is no date (Customer.birthday)."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None
