"""Sales, refunds, customers and stock as Square holds and tells them (Square API reference, version 2025-08-20)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from libs.connectors.square.webhooks import notification, sign
from tools.demo.chain import MERCHANT
from tools.demo.hooks import Deed, Hook, as_json, stable_uuid, utc
from tools.demo.till import CURRENCY, Count, GiveBack, Line, Payment, Person, Sale, Store, code

CONNECTION = "square-main"
PUBLIC_URL = "https://hooks.example.org/webhooks/square-main"
SIGNATURE_KEY = "demo-square-signature-key"
# Square's inventory and catalogue speak of variations.
_SKU_LENGTH = 8
_TENDERS = {"card": "CARD", "cash": "CASH", "gift_card": "SQUARE_GIFT_CARD"}

Object = dict[str, Any]


def money(amount: int) -> Object:
    """Square's Money."""
    return {"amount": amount, "currency": CURRENCY}


def variation_id(goods: str) -> str:
    """The catalogue's variation for those goods."""
    return f"V{code('variation', goods, length=23)}"


def sku_of(goods: str) -> str:
    """The SKU of those goods, the same at both vendors."""
    return f"G{code('sku', goods, length=_SKU_LENGTH - 1)}"


def hook(type_: str, about: Any, tells: str, at: datetime, plus: float = 0.0) -> Hook:
    """A signed notification."""
    event_id = stable_uuid(type_, tells, utc(at, plus))
    body = as_json(notification(type_, about, MERCHANT, event_id, utc(at, plus)))
    return Hook(CONNECTION, sign(body, PUBLIC_URL, SIGNATURE_KEY), body, tells)


# Master data


def locations(stores: Iterable[Store]) -> list[Object]:
    """The stores as Square's locations."""
    return [
        {
            "id": store.location, "name": store.name, "timezone": store.timezone, "status": "ACTIVE", "country": "US",
            "currency": CURRENCY, "type": "PHYSICAL", "merchant_id": MERCHANT,
        }
        for store in stores
    ]  # fmt: skip


def catalogue(lines: Iterable[Line], at: datetime) -> list[Object]:
    """One category for each department, one item with one variation for each kind of goods."""
    goods = {line.goods: line for line in lines if line.goods}
    version = {"updated_at": utc(at), "version": int(at.timestamp()) * 1000, "is_deleted": False}
    departments = sorted({line.department for line in goods.values()})
    found: list[Object] = [
        {"type": "CATEGORY", "id": _category_id(name), **version, "category_data": {"name": name.title()}}
        for name in departments
    ]
    for name, line in sorted(goods.items()):
        item_id = f"I{code('item', name, length=19)}"
        variation = {
            "item_id": item_id, "name": "Regular", "sku": sku_of(name or ""), "pricing_type": "VARIABLE_PRICING",
        }  # fmt: skip
        found.append(
            {
                "type": "ITEM", "id": item_id, **version,
                "item_data": {
                    "name": name, "categories": [{"id": _category_id(line.department)}],
                    "reporting_category": {"id": _category_id(line.department)}, "product_type": "REGULAR",
                    "variations": [
                        {"type": "ITEM_VARIATION", "id": variation_id(name or ""), **version,
                         "item_variation_data": variation}
                    ],
                },
            }
        )  # fmt: skip
    return found


def _category_id(department: str) -> str:
    return f"C{code('category', department, length=19)}"


# Sales


def order(sale: Sale, given_back: GiveBack | None = None) -> Object:
    """The sale's order; `given_back`: goods that were handed back in it and paid for a part (an exchange)."""
    goods = sum(line.total for line in sale.lines)
    total = sale.total
    returned = given_back.total if given_back else 0
    found: Object = {
        "id": sale.id, "location_id": sale.store.location, "state": "COMPLETED",
        "source": {"name": "Square Point of Sale"},
        "created_at": utc(sale.uploaded, -40), "updated_at": utc(sale.changed_at or sale.uploaded, 2),
        "closed_at": utc(sale.uploaded, 1),
        "line_items": [_line(line) for line in sale.lines],
        "taxes": _taxes(sale.lines), "discounts": _discounts(sale.lines),
        "total_money": money(total), "total_tax_money": money(sum(line.tax for line in sale.lines)),
        "total_discount_money": money(sum(off.amount for line in sale.lines for off in line.off)),
        "total_tip_money": money(sale.tip), "total_service_charge_money": money(0),
        "net_amounts": {"total_money": money(total - returned), "tip_money": money(sale.tip)},
        "tenders": [_tender(payment, sale) for payment in sale.payments],
    }  # fmt: skip
    assert goods + sale.tip + sale.stray == total
    if sale.person:
        found["customer_id"] = sale.person.id
    if sale.planted and sale.planted.place == "attribute":
        found["metadata"] = {"kiosk_remark": sale.planted.text}
    if given_back:
        found["returns"] = [_return(given_back)]
        found["return_amounts"] = {"total_money": money(returned)}
    return found


def _line(line: Line) -> Object:
    found: Object = {
        "uid": line.uid, "name": line.name, "quantity": _quantity(line.quantity),
        "item_type": "ITEM" if line.goods else "CUSTOM_AMOUNT",
        "base_price_money": money(line.price), "gross_sales_money": money(line.gross),
        "variation_total_price_money": money(line.gross),
        **_applied(line),
        "total_discount_money": money(sum(off.amount for off in line.off)),
        "total_tax_money": money(line.tax), "total_money": money(line.total),
    }  # fmt: skip
    if line.goods:
        found |= {"catalog_object_id": variation_id(line.goods), "variation_name": "Regular"}
    return found


def _applied(line: Line) -> Object:
    return {
        "applied_taxes": [
            {"uid": f"{line.uid}-{tax.name}", "tax_uid": _uid("tax", tax.name), "applied_money": money(tax.amount)}
            for tax in line.taxes
        ],
        "applied_discounts": [
            {"uid": f"{line.uid}-{off.name}", "discount_uid": _uid("off", off.name), "applied_money": money(off.amount)}
            for off in line.off
        ],
    }


def _quantity(quantity: Decimal) -> str:
    return f"{quantity.normalize():f}" if quantity else "0"


def _uid(*about: str) -> str:
    return code(*about, length=12)


def _taxes(lines: Iterable[Line]) -> list[Object]:
    sums: dict[tuple[str, str], int] = {}
    for line in lines:
        for tax in line.taxes:
            sums[tax.name, tax.rate] = sums.get((tax.name, tax.rate), 0) + tax.amount
    return [
        {"uid": _uid("tax", name), "name": name, "type": "ADDITIVE", "percentage": rate, "scope": "LINE_ITEM",
         "applied_money": money(amount)}
        for (name, rate), amount in sums.items()
    ]  # fmt: skip


def _discounts(lines: Iterable[Line]) -> list[Object]:
    sums: dict[tuple[str, bool], int] = {}
    for line in lines:
        for off in line.off:
            sums[off.name, off.order] = sums.get((off.name, off.order), 0) + off.amount
    return [
        {"uid": _uid("off", name), "name": name, "type": "VARIABLE_AMOUNT",
         "scope": "ORDER" if whole else "LINE_ITEM", "amount_money": money(amount), "applied_money": money(amount)}
        for (name, whole), amount in sums.items()
    ]  # fmt: skip


def _tender(payment: Payment, sale: Sale) -> Object:
    found: Object = {
        "id": payment.id, "payment_id": payment.id, "location_id": sale.store.location, "transaction_id": sale.id,
        "type": _TENDERS[payment.way], "created_at": utc(sale.uploaded),
        "amount_money": money(payment.amount), "tip_money": money(payment.tip),
    }  # fmt: skip
    if payment.way == "cash":
        found["cash_details"] = {
            "buyer_tendered_money": money(payment.given), "change_back_money": money(payment.change),
        }  # fmt: skip
    else:
        found["card_details"] = {"status": "CAPTURED", "card": _card(payment), "entry_method": "EMV"}
    return found


def _card(payment: Payment) -> Object:
    return {
        "card_brand": payment.brand, "last_4": payment.last4, "exp_month": 12, "exp_year": 2029, "bin": "411111",
        "fingerprint": f"sq-1-{code('print', payment.id)}",
    }  # fmt: skip


def payments(sale: Sale, refunds: Iterable[GiveBack] = ()) -> list[Object]:
    """The sale's payments, with what was refunded of each."""
    listed = list(refunds)
    return [_payment(payment, sale, listed) for payment in sale.payments]


def _payment(payment: Payment, sale: Sale, refunds: list[GiveBack]) -> Object:
    back = [(each, amount) for each in refunds for of, amount in each.paid_out if of.id == payment.id]
    found: Object = {
        "id": payment.id, "status": "COMPLETED", "order_id": sale.id, "location_id": sale.store.location,
        "source_type": "CASH" if payment.way == "cash" else "CARD",
        "amount_money": money(payment.amount - payment.tip), "tip_money": money(payment.tip),
        "total_money": money(payment.amount), "approved_money": money(payment.amount),
        "refunded_money": money(sum(amount for _, amount in back)),
        "team_member_id": f"TM{code('staff', sale.store.location, sale.staff, length=12)}",
        "device_details": {"device_id": f"DEV-{sale.store.number}-{sale.till}", "device_name": f"Till {sale.till}"},
        "application_details": {"square_product": "SQUARE_POS"},
        "receipt_number": sale.number, "version_token": code("token", payment.id, payment.amount),
        "created_at": utc(sale.uploaded), "updated_at": utc(sale.changed_at or sale.uploaded, 2),
    }  # fmt: skip
    if back:
        found["refund_ids"] = [refund_id(each, payment) for each, _ in back]
    if sale.person:
        found["customer_id"] = sale.person.id
    if payment.way == "cash":
        found["cash_details"] = {
            "buyer_supplied_money": money(payment.given), "change_back_money": money(payment.change),
        }  # fmt: skip
    else:
        found["card_details"] = {"status": "CAPTURED", "entry_method": "EMV", "card": _card(payment)}
    if sale.planted and sale.planted.place == "note":
        found["note"] = sale.planted.text
    if sale.offline:
        found |= {"is_offline_payment": True, "offline_payment_details": {"client_created_at": utc(sale.at)}}
    return found


def sale_deed(sale: Sale, given_back: GiveBack | None = None) -> Deed:
    """A sale: Square tells of the order, of each payment twice, and of the order again."""
    whole, paid = order(sale, given_back), payments(sale)
    opened = {**whole, "state": "OPEN", "tenders": []}
    hooks = [hook("order.created", opened, sale.id, sale.uploaded, -40)]
    for payment in paid:
        hooks.append(hook("payment.created", {**payment, "status": "APPROVED"}, sale.id, sale.uploaded, 0.2))
        hooks.append(hook("payment.updated", payment, sale.id, sale.uploaded, 1.2))
    hooks.append(hook("order.updated", whole, sale.id, sale.uploaded, 2))
    loaded = {"square": {"orders": [whole], "payments": paid}}
    return Deed(sale.day, sale.uploaded, "sale", sale.id, loaded, tuple(hooks))


def changed_deed(sale: Sale, day: int) -> Deed:
    """The sale as it is after a change of its tip."""
    assert sale.changed_at is not None
    whole, paid = order(sale), payments(sale)
    hooks = [hook("payment.updated", each, sale.id, sale.changed_at, 1) for each in paid]
    hooks.append(hook("order.updated", whole, sale.id, sale.changed_at, 2))
    loaded = {"square": {"orders": [whole], "payments": paid}}
    return Deed(day, sale.changed_at, "change", sale.id, loaded, tuple(hooks))


# Refunds


def refund_id(back: GiveBack, payment: Payment) -> str:
    """Square's id of the refund of one payment."""
    return f"{payment.id}_{code('refund', back.id, payment.id)}"


def _return(back: GiveBack) -> Object:
    return {
        "uid": "r1", "source_order_id": back.sale.id,
        "return_line_items": [
            {
                "uid": f"r-{line.uid}", "source_line_item_uid": line.uid, "name": line.name,
                "quantity": _quantity(line.quantity), "item_type": "ITEM" if line.goods else "CUSTOM_AMOUNT",
                "base_price_money": money(line.price), "variation_total_price_money": money(line.gross),
                "gross_return_money": money(line.gross), **_applied(line),
                "total_discount_money": money(sum(off.amount for off in line.off)),
                "total_tax_money": money(line.tax), "total_money": money(line.total),
                **({"catalog_object_id": variation_id(line.goods)} if line.goods else {}),
            }
            for line in back.lines
        ],
        "return_taxes": _taxes(back.lines), "return_discounts": _discounts(back.lines),
        "return_amounts": {
            "total_money": money(back.total), "tax_money": money(sum(line.tax for line in back.lines)),
        },
    }  # fmt: skip


def refund_deed(back: GiveBack, earlier: Iterable[GiveBack] = ()) -> Deed:
    """Goods brought back for money: a refund of each payment, and an order that lists what came back."""
    sale = back.sale
    listed = {
        "id": f"{back.id}", "location_id": sale.store.location, "state": "COMPLETED",
        "created_at": utc(back.at), "updated_at": utc(back.at, 2), "closed_at": utc(back.at, 1),
        "returns": [_return(back)], "return_amounts": {"total_money": money(back.total)},
        "total_money": money(0), "net_amounts": {"total_money": money(-back.total)},
    }  # fmt: skip
    refunds = [
        {
            "id": refund_id(back, payment), "status": "COMPLETED", "amount_money": money(amount),
            "payment_id": payment.id, "order_id": listed["id"], "location_id": sale.store.location,
            "destination_type": "CASH" if payment.way == "cash" else "CARD", "reason": "Returned goods",
            "team_member_id": f"TM{code('staff', sale.store.location, sale.staff, length=12)}",
            "created_at": utc(back.at), "updated_at": utc(back.at, 2),
        }
        for payment, amount in back.paid_out
    ]  # fmt: skip
    paid = payments(sale, [*earlier, back])
    hooks = []
    for refund in refunds:
        hooks.append(hook("refund.created", {**refund, "status": "PENDING"}, back.id, back.at, 0.2))
        hooks.append(hook("refund.updated", refund, back.id, back.at, 2))
    hooks += [hook("payment.updated", payment, back.id, back.at, 2.5) for payment in paid]
    loaded = {"square": {"orders": [listed], "refunds": refunds, "payments": paid}}
    return Deed(back.day, back.at, "refund", back.id, loaded, tuple(hooks))


# Customers and stock


def customer_deed(person: Person, day: int, at: datetime) -> Deed:
    """A customer made known, or changed."""
    found = {
        "id": person.id, "given_name": person.given, "family_name": person.family, "email_address": person.email,
        "phone_number": person.phone, "created_at": utc(person.since), "updated_at": utc(at),
        "version": person.version, "preferences": {"email_unsubscribed": person.household % 3 == 0},
    }  # fmt: skip
    type_ = "customer.updated" if person.version else "customer.created"
    loaded = {"square": {"customers": [found]}}
    return Deed(day, at, "customer", person.id, loaded, (hook(type_, found, person.id, at),))


def stock_deed(counts: list[Count]) -> Deed:
    """A store's daily count of a few goods: one notification with all of them."""
    first = counts[0]
    found = [
        {
            "catalog_object_id": variation_id(count.goods), "catalog_object_type": "ITEM_VARIATION",
            "state": "IN_STOCK", "location_id": count.store.location, "quantity": str(count.quantity),
            "calculated_at": utc(count.at),
        }
        for count in counts
    ]  # fmt: skip
    tells = f"{first.store.location}:{first.day}"
    told = hook("inventory.count.updated", found, tells, first.at)
    return Deed(first.day, first.at, "stock", tells, {"square": {"counts": found}}, (told,))
