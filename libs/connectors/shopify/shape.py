"""GraphQL answers turned into the one shape in which snapshots are kept: field names as in Shopify's webhooks.

This is the only place that knows both. Webhook, poll and backfill all end in the same query, so they cannot differ.
Amounts are in the shop's currency (`order.currency`). Of a card only brand and last four digits pass. Nothing is
judged here: what is missing stays null and the mapping says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

JSON = dict[str, Any]

_NUMBER = re.compile(r"/([0-9]+)(\?|$)")


def dig(value: Any, *path: str) -> Any:
    """The value at the end of the path; None as soon as there is no object to go into."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def number(value: Any, *path: str) -> str | None:
    """The REST id inside the global id at the end of the path: gid://shopify/Order/42 is "42"."""
    text = dig(value, *path)
    found = _NUMBER.search(text) if isinstance(text, str) else None
    return found.group(1) if found else None


def _amount(value: Any, *path: str) -> Any:
    return dig(value, *path, "shopMoney", "amount")


def _lower(value: Any, *path: str) -> str | None:
    text = dig(value, *path)
    return text.lower() if isinstance(text, str) else None


def _each(values: Any, shape: Callable[[Any], JSON]) -> list[JSON]:
    return [shape(value) for value in values] if isinstance(values, list) else []


def nodes(connection: Any, shape: Callable[[Any], JSON]) -> list[JSON]:
    """The shaped objects of a connection's page."""
    return _each(dig(connection, "nodes"), shape)


def after(connection: Any) -> str | None:
    """The cursor behind a connection's page; None when it was the last one."""
    info = dig(connection, "pageInfo")
    cursor = dig(info, "endCursor")
    return cursor if dig(info, "hasNextPage") is True and isinstance(cursor, str) else None


def _tax(tax: Any) -> JSON:
    rate = dig(tax, "rate")
    # As text: a rate must not pass through a float on its way through JSON, it is part of a sale's money hash.
    return {
        "title": dig(tax, "title"),
        "rate": None if rate is None else str(rate),
        "price": _amount(tax, "priceSet"),
    }


def _discount(allocation: Any) -> JSON:
    """An allocation with its application beside it (REST points to it by index in a list of the order)."""
    applied = dig(allocation, "discountApplication")
    return {
        "amount": _amount(allocation, "allocatedAmountSet"),
        "discount_application_index": dig(applied, "index"),
        "application": {
            "title": dig(applied, "title"),
            "code": dig(applied, "code"),
            "allocation_method": _lower(applied, "allocationMethod"),
            "target_selection": _lower(applied, "targetSelection"),
        },
    }


def _duty(duty: Any) -> JSON:
    return {
        "id": number(duty, "id"),
        "price": _amount(duty, "price"),
        "tax_lines": _each(dig(duty, "taxLines"), _tax),
    }


def line(item: Any) -> JSON:
    """A line of an order."""
    return {
        "id": number(item, "id"),
        "title": dig(item, "title"),
        "name": dig(item, "name"),
        "quantity": dig(item, "quantity"),
        "sku": dig(item, "sku"),
        "gift_card": dig(item, "isGiftCard"),
        "price": _amount(item, "originalUnitPriceSet"),
        "product_id": number(item, "product", "id"),
        "product_type": dig(item, "product", "productType"),
        "variant_id": number(item, "variant", "id"),
        "staff_id": number(item, "staffMember", "id"),
        "discount_allocations": _each(dig(item, "discountAllocations"), _discount),
        "tax_lines": _each(dig(item, "taxLines"), _tax),
        "duties": _each(dig(item, "duties"), _duty),
    }


def _fee(fee: Any) -> JSON:
    return {**_duty(fee), "name": dig(fee, "name")}


def _shipping(item: Any) -> JSON:
    return {
        "id": number(item, "id"),
        "title": dig(item, "title"),
        "price": _amount(item, "originalPriceSet"),
        "discount_allocations": _each(dig(item, "discountAllocations"), _discount),
        "tax_lines": _each(dig(item, "taxLines"), _tax),
    }


def _last4(masked: Any) -> str | None:
    found = re.search(r"([0-9]{4})$", masked) if isinstance(masked, str) else None
    return found.group(1) if found else None


def _transaction(transaction: Any) -> JSON:
    details = dig(transaction, "paymentDetails")
    return {
        "id": number(transaction, "id"),
        "parent_id": number(transaction, "parentTransaction", "id"),
        "kind": _lower(transaction, "kind"),
        "status": _lower(transaction, "status"),
        "gateway": dig(transaction, "gateway"),
        "amount": _amount(transaction, "amountSet"),
        "amount_rounding": _amount(transaction, "amountRoundingSet"),
        "created_at": dig(transaction, "createdAt"),
        "processed_at": dig(transaction, "processedAt"),
        "user_id": number(transaction, "user", "id"),
        "device_id": number(transaction, "device", "id"),
        "location_id": number(transaction, "location", "id"),
        "card_brand": dig(details, "company"),
        "card_last4": _last4(dig(details, "number")),
    }


def refund_line(item: Any) -> JSON:
    """A line of a refund."""
    return {
        "id": number(item, "id"),
        "line_item_id": number(item, "lineItem", "id"),
        "quantity": dig(item, "quantity"),
        "restock_type": _lower(item, "restockType"),
        "subtotal": _amount(item, "subtotalSet"),
        "total_tax": _amount(item, "totalTaxSet"),
    }


def _shipping_refund(item: Any) -> JSON:
    return {
        "id": number(item, "id"),
        "shipping_line_id": number(item, "shippingLine", "id"),
        "subtotal": _amount(item, "subtotalAmountSet"),
        "total_tax": _amount(item, "taxAmountSet"),
    }


def _adjustment(item: Any) -> JSON:
    return {
        "id": number(item, "id"),
        "reason": _lower(item, "reason"),
        "amount": _amount(item, "amountSet"),
        "tax_amount": _amount(item, "taxAmountSet"),
    }


def _refund_duty(duty: Any) -> JSON:
    return {"duty_id": number(duty, "originalDuty", "id"), "amount": _amount(duty, "amountSet")}


# Lists that are never this long at a till; one that is cannot be read and must not be cut silently.
_SHORT_REFUND_LISTS = ("refundShippingLines", "orderAdjustments", "transactions")


def _refund(refund: Any) -> JSON:
    return {
        "id": number(refund, "id"),
        "created_at": dig(refund, "createdAt"),
        "processed_at": dig(refund, "processedAt"),
        "note": dig(refund, "note"),
        "user_id": number(refund, "staffMember", "id"),
        "refund_line_items": nodes(dig(refund, "refundLineItems"), refund_line),
        "refund_line_items_after": after(dig(refund, "refundLineItems")),
        "refund_shipping_lines": nodes(dig(refund, "refundShippingLines"), _shipping_refund),
        "order_adjustments": nodes(dig(refund, "orderAdjustments"), _adjustment),
        "duties": _each(dig(refund, "duties"), _refund_duty),
        "transactions": nodes(dig(refund, "transactions"), _transaction),
        "too_long": [name for name in _SHORT_REFUND_LISTS if after(dig(refund, name))],
    }


def _buyer(customer: Any) -> JSON | None:
    return customer and {
        "id": number(customer, "id"),
        "first_name": dig(customer, "firstName"),
        "last_name": dig(customer, "lastName"),
        "email": dig(customer, "defaultEmailAddress", "emailAddress"),
        "phone": dig(customer, "defaultPhoneNumber", "phoneNumber"),
    }


def _money_set(bag: Any) -> JSON:
    return {
        rest: {"amount": dig(bag, name, "amount"), "currency_code": dig(bag, name, "currencyCode")}
        for rest, name in (("shop_money", "shopMoney"), ("presentment_money", "presentmentMoney"))
    }


def order(found: Any) -> JSON | None:
    """An order with its transactions and refunds; None when Shopify does not show it (any more)."""
    if found is None:
        return None
    return {
        "id": number(found, "id"),
        "name": dig(found, "name"),
        "created_at": dig(found, "createdAt"),
        "processed_at": dig(found, "processedAt"),
        "updated_at": dig(found, "updatedAt"),
        "cancelled_at": dig(found, "cancelledAt"),
        "cancel_reason": _lower(found, "cancelReason"),
        "test": dig(found, "test"),
        "source_name": dig(found, "sourceName"),
        "source_identifier": dig(found, "sourceIdentifier"),
        "note": dig(found, "note"),
        "currency": dig(found, "currencyCode"),
        "taxes_included": dig(found, "taxesIncluded"),
        "financial_status": _lower(found, "displayFinancialStatus"),
        "location_id": number(found, "retailLocation", "id"),
        "user_id": number(found, "staffMember", "id"),
        "customer": _buyer(dig(found, "customer")),
        "total_price_set": _money_set(dig(found, "totalPriceSet")),
        "total_tip_received": _amount(found, "totalTipReceivedSet"),
        "additional_fees": _each(dig(found, "additionalFees"), _fee),
        "line_items": nodes(dig(found, "lineItems"), line),
        "line_items_after": after(dig(found, "lineItems")),
        "shipping_lines": nodes(dig(found, "shippingLines"), _shipping),
        "transactions": _each(dig(found, "transactions"), _transaction),
        "refunds": _each(dig(found, "refunds"), _refund),
        "too_long": ["shippingLines"] if after(dig(found, "shippingLines")) else [],
    }


def shop(found: Any) -> JSON:
    """What is needed of the shop: its domain, time zone and currency."""
    return {
        "myshopify_domain": dig(found, "myshopifyDomain"),
        "iana_timezone": dig(found, "ianaTimezone"),
        "currency": dig(found, "currencyCode"),
    }


def _address(found: Any) -> JSON | None:
    return found and {
        "name": dig(found, "name"),
        "company": dig(found, "company"),
        "address1": dig(found, "address1"),
        "address2": dig(found, "address2"),
        "city": dig(found, "city"),
        "province_code": dig(found, "provinceCode"),
        "zip": dig(found, "zip"),
        "country_code": dig(found, "countryCodeV2"),
        "phone": dig(found, "phone"),
    }


def customer(found: Any) -> JSON | None:
    """A customer; None when there is none of that id (any more)."""
    return found and {
        **(_buyer(found) or {}),
        "created_at": dig(found, "createdAt"),
        "updated_at": dig(found, "updatedAt"),
        "note": dig(found, "note"),
        "tags": dig(found, "tags"),
        "email_marketing_state": _lower(found, "defaultEmailAddress", "marketingState"),
        "default_address": _address(dig(found, "defaultAddress")),
    }


def variant(found: Any) -> JSON:
    """A variant of a product."""
    return {
        "id": number(found, "id"),
        "sku": dig(found, "sku"),
        "barcode": dig(found, "barcode"),
        "title": dig(found, "title"),
        "price": dig(found, "price"),
        "compare_at_price": dig(found, "compareAtPrice"),
        "updated_at": dig(found, "updatedAt"),
        "inventory_item_id": number(found, "inventoryItem", "id"),
    }


def product(found: Any) -> JSON | None:
    """A product with its variants; None when there is none of that id (any more)."""
    return found and {
        "id": number(found, "id"),
        "title": dig(found, "title"),
        "description": dig(found, "description"),
        "product_type": dig(found, "productType"),
        "status": _lower(found, "status"),
        "updated_at": dig(found, "updatedAt"),
        "variants": nodes(dig(found, "variants"), variant),
        "variants_after": after(dig(found, "variants")),
    }


def stock(found: Any) -> JSON | None:
    """An inventory item and how much of it is available at the location asked; None when it is not kept there."""
    level = dig(found, "inventoryLevel")
    if level is None:
        return None
    quantities = _each(dig(level, "quantities"), lambda quantity: quantity)
    available = next((quantity for quantity in quantities if dig(quantity, "name") == "available"), None)
    variants = nodes(dig(found, "variants"), lambda item: {"id": number(item, "id")})
    return {
        "inventory_item_id": number(found, "id"),
        "sku": dig(found, "sku"),
        "variant_id": variants[0]["id"] if variants else None,
        "available": dig(available, "quantity"),
        "updated_at": dig(available, "updatedAt") or dig(level, "updatedAt"),
    }
