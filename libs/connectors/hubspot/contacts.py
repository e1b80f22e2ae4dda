"""Customers as contacts."""

from __future__ import annotations

from libs.canonical.customer import Customer, CustomerErased
from libs.canonical.event import AnyEvent
from libs.canonical.identity import Account, digest, entity_key
from libs.canonical.normalise import email as valid_email
from libs.canonical.sale import CustomerRef
from libs.connectors.contract.http import Request
from libs.connectors.contract.target import Deliver, Filtered, Plan, Ref, Remote, Step
from libs.connectors.hubspot.batching import batch_call
from libs.connectors.hubspot.config import CUSTOMER_KEY, Config
from libs.connectors.hubspot.properties import Values, flag, moment, shape

NO_EMAIL = "customer without an e-mail address (contact_key is email)"


def contact_ref(account: Account, customer_id: str) -> Ref:
    """The name under which the customer's contact is remembered."""
    return Ref("contact", entity_key(account, "customer", customer_id))


def stand_in(account: Account, customer: CustomerRef, config: Config) -> Step | None:
    """The contact of a sale, as far as the sale knows the customer; skipped when the contact is known, so that an
    old sale never overwrites a newer customer. None when the contact cannot be named."""
    values = _known_values(customer)
    return _upsert(contact_ref(account, customer.id), values, config, once=True)


def customer_steps(account: Account, customer: Customer, config: Config) -> tuple[Step, ...]:
    """The newest state of a customer; empty when the contact cannot be named.

    HubSpot allows one contact per e-mail address, and there may be one from a web form. So the address is claimed
    first: the step finds our contact, makes it, or is told the id of the one that has the address. What follows is
    written to that record, which thereby becomes this customer's.
    """
    ref = contact_ref(account, customer.id)
    values = _customer_values(customer)
    facts = _customer_facts(customer)
    if config.contact_key == "email" or not values["email"]:
        step = _upsert(ref, values, config, facts=facts)
        return (step,) if step else ()
    claim = _upsert(ref, {"email": values["email"]}, config)
    full = shape(values, facts, config.contacts, clear=config.clear_missing) | {CUSTOMER_KEY: ref.key}
    path = f"{config.objects_path}/contacts/batch/update"
    details = Step(
        name="contact details",
        request=batch_call(path, [{"id": Remote(ref), "properties": full}]),
        target_key=f"contact:{ref.key}",
        batch="contacts/update",
    )
    return (claim, details) if claim else ()


def changed(event: AnyEvent, customer: Customer, config: Config) -> Plan:
    """The plan for a customer's new state."""
    steps = customer_steps(event.account, customer, config)
    return Deliver(steps, document=steps[0].target_key) if steps else Filtered(NO_EMAIL)


def erased(event: AnyEvent, customer: CustomerErased, config: Config, known: bool) -> Plan:
    """The plan for a customer's erasure.

    Only a record id can be archived (HubSpot, CRM Objects, batch archive). One that is not on record is found by an
    upsert that changes nothing; a contact that never was is made empty and archived at once.
    """
    fate = config.on_erasure if customer.on_request else config.on_deletion
    if fate == "keep":
        return Filtered("deleted customer: the contact is kept (on_deletion)")
    ref = contact_ref(event.account, customer.id)
    find = None if known else _upsert(ref, {}, config)
    if not known and find is None:
        return Filtered("erased customer was never sent (contact_key is email)")
    remove = Step(
        name="delete contact" if fate == "gdpr_delete" else "archive contact",
        request=_removal(fate, ref, config),
        target_key=f"contact:{ref.key}",
    )
    return Deliver((find, remove) if find else (remove,), document=f"contact:{ref.key}")


def _removal(fate: str, ref: Ref, config: Config) -> Request:
    if fate == "gdpr_delete":
        return Request("POST", f"{config.objects_path}/contacts/gdpr-delete", json={"objectId": Remote(ref)})
    return Request("POST", f"{config.objects_path}/contacts/batch/archive", json={"inputs": [{"id": Remote(ref)}]})


def _upsert(
    ref: Ref, values: Values, config: Config, *, facts: Values | None = None, once: bool = False
) -> Step | None:
    """The contact by its key with these values; None without an e-mail address where that is the key."""
    email = values.get("email")
    if config.contact_key == "email" and not email:
        return None
    # Without facts it is a stand-in or a claim, which must not empty anything.
    properties = shape(values, facts or {}, config.contacts, clear=config.clear_missing and facts is not None)
    by_email = config.contact_key == "email"
    if email and by_email:
        unique = {"idProperty": "email", "id": email}
        # Two customers with one address are one contact here; the address itself must not be in a key.
        target_key = f"contact:{digest('email', email.casefold())}"
    else:
        unique = {"idProperty": CUSTOMER_KEY, "id": ref.key}
        properties |= {CUSTOMER_KEY: ref.key}
        target_key = f"contact:{ref.key}"
    return Step(
        name="contact",
        request=batch_call(f"{config.objects_path}/contacts/batch/upsert", [{**unique, "properties": properties}]),
        target_key=target_key,
        provides=ref,
        once=once,
        shared=True,
        lookup=_by_email(email, config) if email and not by_email else None,
        batch="contacts/upsert",
    )


def _by_email(email: str, config: Config) -> Request:
    """Which contact has the address? A POST, so that no address is in a URL."""
    body = {"idProperty": "email", "inputs": [{"id": email}], "properties": ["email"]}
    return Request("POST", f"{config.objects_path}/contacts/batch/read", json=body)


def _known_values(customer: CustomerRef | Customer) -> dict[str, str | None]:
    return {
        "email": valid_email(customer.email),
        "firstname": customer.given_name,
        "lastname": customer.family_name,
        "phone": customer.phone,
    }


def _customer_values(customer: Customer) -> dict[str, str | None]:
    address = customer.address
    return _known_values(customer) | {
        "company": customer.company,
        "address": ", ".join(address.lines) if address else None,
        "city": address.city if address else None,
        "state": address.region if address else None,
        "zip": address.postal_code if address else None,
        "country": address.country if address else None,
    }


def _customer_facts(customer: Customer) -> dict[str, str | None]:
    return {
        "accepts_marketing": flag(customer.accepts_marketing),
        "birthday": customer.birthday.isoformat() if customer.birthday else None,
        "created_at": moment(customer.created_at),
        "groups": ";".join(customer.groups),
        "note": customer.note,
    }
