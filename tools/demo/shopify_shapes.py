"""Sales, refunds, customers and stock as Shopify holds and tells them (webhooks of version 2026-07)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any
from zlib import crc32

from libs.connectors.shopify.headers import webhook_headers
from libs.connectors.shopify.signature import sign
from tools.demo.chain import SHOP, SHOP_ZONE
from tools.demo.hooks import Deed, Hook, as_json, stable_uuid, utc
from tools.demo.square_shapes import sku_of
from tools.demo.till import CURRENCY, Count, GiveBack, Line, Payment, Person, Sale, Store

CONNECTION = "shopify-main"
PUBLIC_URL = "https://hooks.example.org/webhooks/shopify-main"
CLIENT_SECRET = "demo-shopify-client-secret"
_GATEWAYS = {"card": "shopify_payments", "cash": "cash", "gift_card": "gift_card"}
_COMPANIES = {
    "VISA": "Visa", "MASTERCARD": "Mastercard", "AMERICAN_EXPRESS": "American Express", "DISCOVER": "Discover",
}  # fmt: skip

Object = dict[str, Any]


def amount(cents: int) -> str:
    """Cents as Shopify writes money."""
    return f"{Decimal(cents).scaleb(-2):.2f}"


def _number(kind: str, *about: object) -> int:
    """A thirteen-digit id that is the same in every run."""
    return 8_000_000_000_000 + crc32(":".join(map(str, (kind, *about))).encode()) * 97


def hook(topic: str, body: Object, tells: str, at: datetime) -> Hook:
    """A signed webhook."""
    raw = as_json(body)
    delivery = stable_uuid("delivery", topic, tells, utc(at))
    headers = webhook_headers(topic, SHOP, delivery, stable_uuid("event", topic, tells, utc(at)), at)
    return Hook(CONNECTION, {**headers, "X-Shopify-Hmac-Sha256": sign(raw, CLIENT_SECRET)}, raw, tells)


# Master data


def shop() -> Object:
    """The shop."""
    return {"id": 1, "myshopify_domain": SHOP, "iana_timezone": SHOP_ZONE, "currency": CURRENCY}


def locations(stores: Iterable[Store]) -> list[Object]:
    """The stores as Shopify's locations, which have no time zone."""
    return [{"id": int(store.location), "name": store.name, "country_code": "US"} for store in stores]


def products(lines: Iterable[Line], at: datetime) -> list[Object]:
    """One product with one variant for each kind of goods."""
    goods = {line.goods: line for line in lines if line.goods}
    return [
        {
            "id": _number("product", name), "title": name, "product_type": line.department.title(),
            "status": "active", "updated_at": utc(at),
            "variants": [
                {"id": _number("variant", name), "product_id": _number("product", name), "title": "Default Title",
                 "sku": sku_of(name or ""), "price": amount(line.price),
                 "inventory_item_id": _number("inventory", name), "updated_at": utc(at)}
            ],
        }
        for name, line in sorted(goods.items())
    ]  # fmt: skip


# Sales


def order(sale: Sale, refunds: Iterable[GiveBack] = ()) -> Object:
    """The sale's order with its transactions and refunds."""
    listed = list(refunds)
    goods = sum(line.gross for line in sale.lines)
    off = sum(each.amount for line in sale.lines for each in line.off)
    tax = sum(line.tax for line in sale.lines)
    back = sum(each.total for each in listed)
    applications = list(dict.fromkeys((each.name, each.order) for line in sale.lines for each in line.off))
    newest = max([sale.uploaded, *(each.at for each in listed), *([sale.voided_at] if sale.voided_at else [])])
    status = (
        "voided"
        if sale.voided_at
        else "paid"
        if not back
        else "refunded"
        if back >= sale.total
        else "partially_refunded"
    )
    return {
        "id": int(sale.id), "admin_graphql_api_id": f"gid://shopify/Order/{sale.id}", "name": sale.number,
        "order_number": int(sale.number[1:]), "source_name": "pos",
        "source_identifier": f"{sale.store.number}-{sale.till}-{sale.number[1:]}",
        "location_id": int(sale.store.location), "user_id": _number("staff", sale.store.location, sale.staff),
        "device_id": sale.store.number * 10 + sale.till, "test": False, "currency": CURRENCY,
        "presentment_currency": CURRENCY, "taxes_included": False,
        "created_at": utc(sale.uploaded), "processed_at": utc(sale.at), "updated_at": utc(newest, 2),
        "cancelled_at": utc(sale.voided_at) if sale.voided_at else None,
        "cancel_reason": "customer" if sale.voided_at else None,
        "financial_status": status, "fulfillment_status": "fulfilled",
        "total_line_items_price": amount(goods), "total_discounts": amount(off), "total_tax": amount(tax),
        "subtotal_price": amount(goods - off), "total_tip_received": amount(sale.tip),
        "total_price": amount(sale.total),
        "discount_applications": [
            {"type": "manual", "title": name, "target_type": "line_item", "value_type": "fixed_amount",
             "allocation_method": "across" if whole else "each",
             "target_selection": "all" if whole else "explicit"}
            for name, whole in applications
        ],
        "line_items": [_line(line, sale, applications) for line in sale.lines],
        "shipping_lines": [], "note": _planted(sale, "note"), "tags": "",
        "note_attributes": [
            {"name": "kiosk_remark", "value": int(text) if place == "number" else text}
            for place in ("attribute", "number") if (text := _planted(sale, place))
        ],
        "customer": _buyer(sale.person) if sale.person else None,
        "refunds": [_refund(each) for each in listed],
    }  # fmt: skip


def _planted(sale: Sale, place: str) -> str | None:
    return sale.planted.text if sale.planted and sale.planted.place == place else None


def _line(line: Line, sale: Sale, applications: list[tuple[str, bool]]) -> Object:
    return {
        "id": line_id(sale, line), "product_id": _number("product", line.goods) if line.goods else None,
        "variant_id": _number("variant", line.goods) if line.goods else None,
        "sku": sku_of(line.goods) if line.goods else None, "title": line.name, "name": line.name,
        "product_type": line.department.title(), "quantity": int(line.quantity), "current_quantity": int(line.quantity),
        "price": amount(line.price), "total_discount": "0.00", "gift_card": False, "taxable": bool(line.taxes),
        "discount_allocations": [
            {"amount": amount(off.amount), "discount_application_index": applications.index((off.name, off.order))}
            for off in line.off
        ],
        "tax_lines": [
            {"title": tax.name, "rate": Decimal(tax.rate) / 100, "price": amount(tax.amount)} for tax in line.taxes
        ],
        "properties": [],
    }  # fmt: skip


def line_id(sale: Sale, line: Line) -> int:
    """Shopify's id of a line."""
    return _number("line", sale.id, line.uid)


def transactions(sale: Sale, refunds: Iterable[GiveBack] = ()) -> list[Object]:
    """How it was paid, and paid back. Cash appears as what was handed over, less the change."""
    found = []
    for payment in sale.payments:
        given = payment.given if payment.way == "cash" else payment.amount
        found.append(_transaction(payment, sale, "sale", given, int(payment.id)))
        if payment.change:
            found.append(_transaction(payment, sale, "change", payment.change, _number("change", payment.id)))
    return found + [each for back in refunds for each in _payouts(back)]


def _transaction(payment: Payment, sale: Sale, kind: str, cents: int, number: int) -> Object:
    found: Object = {
        "id": number, "order_id": int(sale.id), "kind": kind, "status": "success",
        "gateway": _GATEWAYS[payment.way], "amount": amount(cents), "currency": CURRENCY, "test": False,
        "created_at": utc(sale.uploaded), "processed_at": utc(sale.at), "location_id": int(sale.store.location),
        "device_id": sale.store.number * 10 + sale.till,
        "user_id": _number("staff", sale.store.location, sale.staff),
    }  # fmt: skip
    if payment.way == "card":
        found["payment_details"] = {
            "credit_card_company": _COMPANIES[payment.brand],
            "credit_card_number": f"•••• •••• •••• {payment.last4}", "credit_card_bin": "411111",
        }  # fmt: skip
    return found


def sale_deed(sale: Sale) -> Deed:
    """A sale: Shopify tells of the order three times at once."""
    whole = order(sale)
    topics = ("orders/create", "orders/paid", "orders/updated")
    hooks = tuple(hook(topic, whole, sale.id, sale.uploaded) for topic in topics)
    return Deed(sale.day, sale.uploaded, "sale", sale.id, _loaded(whole, transactions(sale)), hooks)


def _loaded(whole: Object, paid: list[Object]) -> dict[str, dict[str, list[Any]]]:
    return {"shopify": {"orders": [{**whole, "transactions": paid}]}}


def void_deed(sale: Sale) -> Deed:
    """The whole sale cancelled, without a refund."""
    assert sale.voided_at is not None
    whole = order(sale)
    told = hook("orders/cancelled", whole, sale.id, sale.voided_at)
    return Deed(sale.day, sale.voided_at, "change", sale.id, _loaded(whole, transactions(sale)), (told,))


# Refunds


def _payouts(back: GiveBack) -> list[Object]:
    found = []
    for payment, cents in back.paid_out:
        each = _transaction(payment, back.sale, "refund", cents, _number("payout", back.id, payment.id))
        each |= {"created_at": utc(back.at), "processed_at": utc(back.at), "parent_id": int(payment.id)}
        found.append(each)
    return found


def _refund(back: GiveBack) -> Object:
    return {
        "id": int(back.id), "order_id": int(back.sale.id), "created_at": utc(back.at), "processed_at": utc(back.at),
        "note": "Returned goods", "user_id": _number("staff", back.sale.store.location, back.sale.staff),
        "refund_line_items": [
            {"id": _number("returned", back.id, line.uid), "line_item_id": line_id(back.sale, line),
             "quantity": int(line.quantity), "subtotal": Decimal(line.net).scaleb(-2),
             "total_tax": Decimal(line.tax).scaleb(-2), "restock_type": "return",
             "location_id": int(back.sale.store.location)}
            for line in back.lines
        ],
        "transactions": _payouts(back), "order_adjustments": [],
    }  # fmt: skip


def refund_deed(back: GiveBack, earlier: Iterable[GiveBack] = ()) -> Deed:
    """Goods brought back for money."""
    listed = [*earlier, back]
    whole = order(back.sale, listed)
    hooks = (
        hook("refunds/create", _refund(back), back.id, back.at),
        hook("orders/updated", whole, f"{back.sale.id} after {back.id}", back.at),
    )
    return Deed(back.day, back.at, "refund", back.id, _loaded(whole, transactions(back.sale, listed)), hooks)


# Customers and stock


def _buyer(person: Person) -> Object:
    return {
        "id": int(person.id), "first_name": person.given, "last_name": person.family, "email": person.email,
        "phone": person.phone, "created_at": utc(person.since),
    }  # fmt: skip


def customer_deed(person: Person, day: int, at: datetime) -> Deed:
    """A customer made known, or changed."""
    state = "subscribed" if person.household % 3 else "unsubscribed"
    found = {**_buyer(person), "updated_at": utc(at), "email_marketing_consent": {"state": state}, "tags": ""}
    topic = "customers/update" if person.version else "customers/create"
    loaded = {"shopify": {"customers": [found]}}
    return Deed(day, at, "customer", person.id, loaded, (hook(topic, found, person.id, at),))


def stock_deed(counts: list[Count]) -> Deed:
    """A store's daily count of a few goods: one webhook for each."""
    first = counts[0]
    found = [
        {"inventory_item_id": _number("inventory", count.goods), "location_id": int(count.store.location),
         "available": count.quantity, "updated_at": utc(count.at)}
        for count in counts
    ]  # fmt: skip
    tells = f"{first.store.location}:{first.day}"
    hooks = tuple(
        hook("inventory_levels/update", each, f"{tells}:{each['inventory_item_id']}", first.at) for each in found
    )
    return Deed(first.day, first.at, "stock", tells, {"shopify": {"inventory_levels": found}}, hooks)
