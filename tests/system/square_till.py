"""What a Square till makes: orders, payments, refunds and a catalogue, in Square's own shape."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from tests.system.sales import NOON

LOCATION = {
    "id": "L1",
    "name": "Main street",
    "timezone": "America/New_York",
    "country": "US",
    "currency": "USD",
    "merchant_id": "ML1",
    "status": "ACTIVE",
}


def _money(amount: int) -> dict[str, Any]:
    return {"amount": amount, "currency": "USD"}


def _time(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def variation(sku: str) -> dict[str, Any]:
    """A catalogue variation with that SKU; its id is `VAR-<sku>`."""
    return {
        "type": "ITEM_VARIATION",
        "id": f"VAR-{sku}",
        "updated_at": _time(NOON),
        "version": 1,
        "is_deleted": False,
        "item_variation_data": {
            "item_id": f"ITEM-{sku}",
            "name": "Regular",
            "sku": sku,
            "pricing_type": "FIXED_PRICING",
            "price_money": _money(1000),
        },
    }


def order(
    number: int, *, price: int = 1000, tax: int = 80, tip: int = 0, note: str = "", at: datetime | None = None
) -> dict[str, Any]:
    """A completed order of one line, paid by one card payment."""
    moment = at or NOON + timedelta(seconds=number)
    total = price + tax + tip
    return {
        "id": f"ORD{number}",
        "location_id": "L1",
        "state": "COMPLETED",
        "version": 4,
        "source": {"name": "Point of Sale"},
        "created_at": _time(moment),
        "updated_at": _time(moment + timedelta(seconds=1)),
        "closed_at": _time(moment),
        "note": note,
        "line_items": [
            {
                "uid": "li1",
                "name": "Coffee",
                "quantity": "1",
                "item_type": "ITEM",
                "catalog_object_id": "VAR-SKU1",
                "base_price_money": _money(price),
                "gross_sales_money": _money(price),
                "total_tax_money": _money(tax),
                "total_discount_money": _money(0),
                "total_money": _money(price + tax),
                "variation_total_price_money": _money(price),
                "applied_taxes": [{"uid": "at1", "tax_uid": "tax1", "applied_money": _money(tax)}],
            }
        ],
        "taxes": [
            {
                "uid": "tax1",
                "name": "Sales tax",
                "percentage": "8.0",
                "type": "ADDITIVE",
                "scope": "LINE_ITEM",
                "applied_money": _money(tax),
            }
        ],
        "tenders": [
            {
                "id": f"PAY{number}",
                "payment_id": f"PAY{number}",
                "type": "CARD",
                "location_id": "L1",
                "transaction_id": f"ORD{number}",
                "created_at": _time(moment),
                "amount_money": _money(total),
                "tip_money": _money(tip),
                "card_details": {"status": "CAPTURED", "card": {"card_brand": "VISA", "last_4": "1111"}},
            }
        ],
        "total_money": _money(total),
        "total_tax_money": _money(tax),
        "total_tip_money": _money(tip),
        "total_discount_money": _money(0),
        "total_service_charge_money": _money(0),
        "net_amount_due_money": _money(0),
    }


def payment(of: dict[str, Any], *, refunded: int = 0, refund_ids: tuple[str, ...] = ()) -> dict[str, Any]:
    """The card payment of an order."""
    tender = of["tenders"][0]
    tip = tender["tip_money"]["amount"]
    return {
        "id": tender["payment_id"],
        "status": "COMPLETED",
        "source_type": "CARD",
        "order_id": of["id"],
        "location_id": "L1",
        "created_at": of["created_at"],
        "updated_at": of["updated_at"],
        "version_token": "v1",
        "amount_money": _money(tender["amount_money"]["amount"] - tip),
        "tip_money": _money(tip),
        "total_money": tender["amount_money"],
        "approved_money": tender["amount_money"],
        "refunded_money": _money(refunded),
        "refund_ids": list(refund_ids),
        "team_member_id": "TM1",
        "card_details": {"status": "CAPTURED", "entry_method": "EMV", "card": {"card_brand": "VISA", "last_4": "1111"}},
        "application_details": {"square_product": "SQUARE_POS"},
        "receipt_number": tender["payment_id"][:4],
    }


def refund(of: dict[str, Any], amount: int) -> dict[str, Any]:
    """A completed refund of part of an order's payment, without saying for what."""
    return {
        "id": f"{of['tenders'][0]['payment_id']}_R1",
        "status": "COMPLETED",
        "location_id": "L1",
        "order_id": of["id"],
        "payment_id": of["tenders"][0]["payment_id"],
        "amount_money": _money(amount),
        "reason": "Not hot",
        "created_at": _time(NOON + timedelta(hours=1)),
        "updated_at": _time(NOON + timedelta(hours=1)),
        "unlinked": False,
    }
