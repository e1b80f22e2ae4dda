"""Customers, under a display name that no other customer, vendor or employee has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from libs.canonical.customer import Address, Customer, CustomerErased
from libs.canonical.event import Event
from libs.canonical.identity import Account, entity_key
from libs.connectors.contract.target import Deliver, Filtered, Plan, Ref, Step
from libs.connectors.quickbooks.calls import change_steps, query, write
from libs.connectors.quickbooks.config import Settings
from libs.connectors.quickbooks.document_numbers import code
from libs.connectors.quickbooks.items import clean_name

NAME_LENGTH = 100
EMAIL_LENGTH = 100  # XSD, EmailAddress.Address
PHONE_LENGTH = 21  # XSD, TelephoneNumber.FreeFormNumber
PLAIN_NAME = "customer by name"  # the step that tries the name as it is; judged leniently
_OFF = Filtered("customers is off")


def customer_ref(account: Account, customer_id: str) -> Ref:
    """Under which the remote id of a customer is kept; several tills' accounts may post into one company."""
    return Ref("customer", entity_key(account, "customer", customer_id))


def plan_customer(event: Event[Customer], config: Settings, known: Mapping[Ref, str]) -> Plan:
    """The customer created, or changed; the display name stays as it is in QuickBooks, where people may have set it.

    A new one is tried under the plain name, after a look whether that customer is there already. When the name belongs
    to somebody else the second step creates it with a suffix; when the first one had its effect it is skipped.
    """
    if not config.customers:
        return _OFF
    ref = customer_ref(event.account, event.data.id)
    details = _details(event.data)
    if ref in known:
        return Deliver(
            change_steps("Customer", known[ref], details, target_key=ref.key, event_id=event.id, name="change customer")
        )
    plain = _display_name(event.data, ref)
    suffixed = _with_code(plain, ref)
    details["Notes"] = ref.key
    by_code = _create("customer by name and code", suffixed, details, ref)
    if plain == suffixed:
        return Deliver((by_code,))
    return Deliver((_create(PLAIN_NAME, plain, details, ref), by_code))


def _create(step: str, name: str, details: Mapping[str, Any], ref: Ref) -> Step:
    return Step(
        step,
        write("Customer", {"DisplayName": name, **details}),
        target_key=ref.key,
        provides=ref,
        once=True,
        lookup=query("Customer", DisplayName=name),
        ask_first=True,
    )


def plan_erasure(event: Event[CustomerErased], config: Settings, known: Mapping[Ref, str]) -> Plan:
    """On a privacy request the customer is stripped of everything personal; the books refer to it, so it stays.

    It also stays active: a later refund of an old sale may name it, and QuickBooks refuses inactive customers.
    """
    if not config.customers:
        return _OFF
    if not event.data.on_request:
        return Filtered("deleted at the till, kept in the books")
    ref = customer_ref(event.account, event.data.id)
    if ref not in known:
        return Filtered("the customer is not in QuickBooks")
    changes = {"DisplayName": _with_code("Erased customer", ref), **_NOTHING}
    return Deliver(
        change_steps("Customer", known[ref], changes, target_key=ref.key, event_id=event.id, name="erase customer")
    )


_NOTHING: Mapping[str, Any] = {
    "PrintOnCheckName": "",
    "Notes": "",
    "GivenName": "",
    "FamilyName": "",
    "CompanyName": "",
    "PrimaryEmailAddr": {"Address": ""},
    "PrimaryPhone": {"FreeFormNumber": ""},
    "BillAddr": dict.fromkeys(
        ("Line1", "Line2", "Line3", "Line4", "Line5", "City", "CountrySubDivisionCode", "PostalCode", "Country"), ""
    ),
}


def _display_name(customer: Customer, ref: Ref) -> str:
    person = " ".join(part for part in (customer.given_name, customer.family_name) if part)
    for candidate in (person, customer.company, customer.email, customer.phone):
        if candidate and (name := clean_name(candidate)):
            return name[:NAME_LENGTH].rstrip()
    return _with_code("Customer", ref)


def _with_code(name: str, ref: Ref) -> str:
    suffix = f" (POS {code(ref.key, 8)})"
    return name if name.endswith(suffix) else name[: NAME_LENGTH - len(suffix)].rstrip() + suffix


def _details(customer: Customer) -> dict[str, Any]:
    """What is known of the customer; what is not known is left as it is in QuickBooks."""
    names = {
        "GivenName": customer.given_name,
        "FamilyName": customer.family_name,
        "CompanyName": customer.company,
    }
    details: dict[str, Any] = {key: clean_name(name)[:NAME_LENGTH] for key, name in names.items() if name}
    # A cut address or number would be somebody else's: it is left out instead.
    if customer.email and len(customer.email) <= EMAIL_LENGTH:
        details["PrimaryEmailAddr"] = {"Address": customer.email}
    if customer.phone and len(customer.phone) <= PHONE_LENGTH:
        details["PrimaryPhone"] = {"FreeFormNumber": customer.phone}
    if customer.address:
        details["BillAddr"] = _address(customer.address)
    return details


def _address(address: Address) -> dict[str, str]:
    fields = {f"Line{number}": line for number, line in enumerate(address.lines[:5], 1)}
    fields |= {
        "City": address.city or "",
        "CountrySubDivisionCode": address.region or "",
        "PostalCode": address.postal_code or "",
        "Country": address.country or "",
    }
    return {key: value for key, value in fields.items() if value}
