"""The objects of a snapshot that belong to one trade: its orders, their payments and refunds, goods and buyers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from libs.canonical import normalise
from libs.canonical.moments import TimeError, business_day
from libs.canonical.sale import CustomerRef
from libs.connectors.contract.source import SourceSettings, Unmappable
from libs.connectors.square.assembly import category_of
from libs.connectors.square.node import Node


@dataclass(frozen=True)
class Goods:
    """What the catalogue says of a line. Square's order lines carry no SKU (Square API reference, OrderLineItem)."""

    sku: str | None = None
    category: str | None = None
    donation: bool = False


@dataclass(frozen=True)
class Day:
    """Where and when in the books: the location's zone and its business day."""

    zone: ZoneInfo
    date: date


class Trade:
    """Everything fetched around a root, by kind and id, with the connection's settings."""

    def __init__(self, parts: Mapping[str, Any], settings: SourceSettings) -> None:
        self._parts = parts
        self.settings = settings

    def find(self, kind: str, object_id: str | None) -> Node:
        """The object; empty when it was not found at Square."""
        part = f"{kind}:{object_id}"
        return Node(self._parts.get(part) if object_id else None, part)

    def all(self, kind: str) -> tuple[Node, ...]:
        """Every object of that kind that was found."""
        prefix = f"{kind}:"
        nodes = (Node(value, part) for part, value in self._parts.items() if part.startswith(prefix))
        return tuple(node for node in nodes if node)

    def day(self, location_id: str, moment: datetime) -> Day:
        """The business day of a moment at a location; raises Unmappable when the zone is unknown."""
        location = self.find("location", location_id)
        try:
            zone = self.settings.timezone(location_id, location.text("timezone"))
        except TimeError as error:
            raise Unmappable(str(error), location.at("timezone")) from None
        return Day(zone, business_day(moment, zone, self.settings.cut_off(location_id)))

    def goods(self, line: Node) -> Goods:
        """The catalogue's facts for a line; nothing for one that is not from the catalogue or no longer in it."""
        answer = self.find("catalog", line.text("catalog_object_id"))
        variation = answer.child("object").child("item_variation_data")
        item_id = variation.text("item_id")
        item = next((each for each in answer.children("related_objects") if each.text("id") == item_id), Node(None))
        return Goods(
            sku=self.settings.sku.apply(variation.text("sku")),
            category=self._category(item),
            donation=item.child("item_data").text("product_type") == "DONATION",
        )

    def _category(self, item: Node) -> str | None:
        category_id = category_of(item.child("item_data").value)
        if category_id is None:
            return None
        answer = self.find("catalog", category_id)
        name = answer.child("object").child("category_data").text("name")
        return self.settings.categories.get(category_id) or self.settings.categories.get(name or "") or name

    def buyer(self, customer_ids: tuple[str | None, ...], location_id: str) -> CustomerRef | None:
        """The first customer that the order or its payments name."""
        customer_id = next((each for each in customer_ids if each), None)
        if customer_id is None:
            return None
        customer = self.find("customer", customer_id)
        given, family = normalise.names(
            customer.text("given_name"), customer.text("family_name"), customer.text("nickname")
        )
        return CustomerRef(
            id=customer_id,
            email=normalise.email(customer.text("email_address")),
            phone=normalise.phone(customer.text("phone_number"), self.region(location_id)),
            given_name=given,
            family_name=family,
        )

    def region(self, location_id: str) -> str | None:
        """The country in which phone numbers without a country code are read: configured, else the location's own."""
        return self.settings.region(location_id) or self.find("location", location_id).text("country")
