"""Customers: their newest state, and their erasure."""

from __future__ import annotations

from libs.canonical.customer import Address, Customer, CustomerErased
from libs.canonical.event import state_changed
from libs.canonical.kinds import Kind
from libs.canonical.normalise import email, names, phone
from libs.connectors.contract.source import Outcome, Snapshot, SourceSettings
from libs.connectors.shopify.node import Node

_CONSENT = {"subscribed": True, "not_subscribed": False, "unsubscribed": False, "pending": False}


def customer_outcome(snapshot: Snapshot, settings: SourceSettings) -> Outcome:
    """What a customer's snapshot shows; raises Unmappable."""
    parts = Node(snapshot.parts, "parts")
    if erasure := parts.maybe_node("erasure"):
        erased = CustomerErased(
            id=snapshot.root_id,
            # Shopify's header tells when; a delivery without it leaves only our own time of receipt.
            erased_at=erasure.time("at") or snapshot.received_at,
            on_request=erasure.flag("on_request"),
        )
        return Outcome((state_changed(snapshot.account, Kind.CUSTOMER_ERASED, erased),))
    found = parts.maybe_node("customer")
    if found is None:
        return Outcome(reason="Shopify does not show the customer (any more)")
    return Outcome((state_changed(snapshot.account, Kind.CUSTOMER_CHANGED, _customer(found, settings)),))


def _customer(found: Node, settings: SourceSettings) -> Customer:
    address = found.maybe_node("default_address")
    given, family = names(
        found.text("first_name"), found.text("last_name"), single=address.text("name") if address else None
    )
    region = (address.text("country_code") if address else None) or settings.default_region
    tags = found.value.get("tags") or []
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        found.fail("tags", "is no list of texts")
    return Customer(
        id=found.need_id("id"),
        given_name=given,
        family_name=family,
        company=address.text("company") if address else None,
        email=email(found.text("email")),
        phone=phone(found.text("phone") or (address.text("phone") if address else None), region),
        address=_address(address) if address else None,
        accepts_marketing=_CONSENT.get(found.text("email_marketing_state") or ""),
        note=found.text("note"),
        groups=tuple(_tag(found, index) for index in range(len(tags))),
        created_at=found.time("created_at"),
        updated_at=found.need_time("updated_at"),
    )


def _tag(found: Node, index: int) -> str:
    tags = Node({"tag": found.value["tags"][index]}, f"{found.path}.tags[{index}]")
    return tags.text("tag") or ""


def _address(address: Node) -> Address:
    return Address(
        lines=tuple(line for key in ("address1", "address2") if (line := address.text(key))),
        city=address.text("city"),
        region=address.text("province_code"),
        postal_code=address.text("zip"),
        country=address.text("country_code"),
    )
