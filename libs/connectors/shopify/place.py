"""Where, by which channel and by whom: what a sale and its refunds share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from libs.canonical.moments import TimeError, business_day
from libs.canonical.normalise import email, names, phone
from libs.canonical.sale import CustomerRef
from libs.connectors.contract.source import SourceSettings, Unmappable
from libs.connectors.shopify.node import Node

# Orders of the web shop have no location; they get one of their own, in the shop's time zone.
ONLINE = "online"

_CHANNELS = {None: "online", "web": "online", "pos": "pos"}


@dataclass(frozen=True)
class Place:
    """The shop as a sale sees it: currency, zone, channel. Shopify's locations have no time zone, only the shop has."""

    settings: SourceSettings
    currency: str
    shop_timezone: str | None
    location_id: str
    channel: str
    taxes_included: bool
    customer: CustomerRef | None

    def zone(self, location_id: str) -> ZoneInfo:
        """The location's time zone; raises Unmappable when it is unknown."""
        try:
            return self.settings.timezone(location_id, self.shop_timezone)
        except TimeError:
            raise Unmappable("is no known time zone", "shop.iana_timezone") from None

    def day(self, location_id: str, moment: datetime) -> date:
        """The business day of that moment at the location."""
        return business_day(moment, self.zone(location_id), self.settings.cut_off(location_id))


def place_of(order: Node, shop: Node, settings: SourceSettings) -> Place:
    """The place of an order; raises Unmappable."""
    location_id = order.id("location_id") or ONLINE
    source = order.text("source_name")
    return Place(
        settings=settings,
        currency=order.currency("currency"),
        shop_timezone=shop.text("iana_timezone"),
        location_id=location_id,
        channel=_CHANNELS.get(source) or source or "online",
        taxes_included=order.flag("taxes_included"),
        customer=_buyer(order.maybe_node("customer"), settings.region(location_id)),
    )


def place_without_order(shop: Node, location_id: str | None, settings: SourceSettings) -> Place:
    """The place of a refund whose order is out of reach; raises Unmappable."""
    return Place(
        settings=settings,
        currency=shop.currency("currency"),
        shop_timezone=shop.text("iana_timezone"),
        location_id=location_id or ONLINE,
        channel="pos" if location_id else "online",
        taxes_included=False,
        customer=None,
    )


def _buyer(customer: Node | None, region: str | None) -> CustomerRef | None:
    if customer is None:
        return None
    given, family = names(customer.text("first_name"), customer.text("last_name"))
    return CustomerRef(
        id=customer.need_id("id"),
        email=email(customer.text("email")),
        phone=phone(customer.text("phone"), region),
        given_name=given,
        family_name=family,
    )
