"""The simulator's stored objects (REST shape, as in webhooks) as GraphQL shows them.

Written from Shopify's published schema, not from what the connector reads: the tests execute every answer against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

JSON = dict[str, Any]
REST = Mapping[str, Any]


def gid(resource: str, number: object) -> str:
    """Shopify's global id."""
    return f"gid://shopify/{resource}/{number}"


def _ref(resource: str, number: object) -> JSON | None:
    return None if number is None else {"id": gid(resource, number)}


def _upper(word: object) -> Any:
    return word.upper() if isinstance(word, str) else None


def _amount(rest: REST, key: str) -> str:
    """The shop-money amount of a REST field, as the text that GraphQL gives ("60.46"; "0.0" for none)."""
    bag = rest.get(f"{key}_set")
    value = bag["shop_money"]["amount"] if bag else rest.get(key)
    return "0.0" if value is None else str(value)


def _shop_money(rest: REST, key: str) -> JSON:
    return {"shopMoney": {"amount": _amount(rest, key)}}


def connection(nodes: list[JSON], after: str | None = None, first: int = 250) -> JSON:
    """A page of a connection; the cursor is the place in the list."""
    begin = int(after) if after else 0
    page = nodes[begin : begin + first]
    more = begin + first < len(nodes)
    info = {"hasNextPage": more, "endCursor": str(begin + len(page)) if page else None}
    return {"nodes": page, "pageInfo": info}


def _taxes(rest: REST) -> list[JSON]:
    return [
        {"title": tax.get("title") or "Tax", "rate": tax.get("rate"), "priceSet": _shop_money(tax, "price")}
        for tax in rest.get("tax_lines") or ()
    ]


_APPLICATIONS = {
    "manual": "ManualDiscountApplication",
    "automatic": "AutomaticDiscountApplication",
    "discount_code": "DiscountCodeApplication",
    "script": "ScriptDiscountApplication",
}


def _discounts(rest: REST, applications: list[REST]) -> list[JSON]:
    shown = []
    for allocation in rest.get("discount_allocations") or ():
        index = int(allocation.get("discount_application_index") or 0)
        application = applications[index] if index < len(applications) else {}
        name = _APPLICATIONS[application.get("type") or "manual"]
        labelled = (
            {"code": application.get("code") or ""}
            if name == "DiscountCodeApplication"
            else {"title": application.get("title") or ""}
        )
        applied = {
            "__typename": name,
            "index": index,
            "allocationMethod": _upper(application.get("allocation_method")) or "ACROSS",
            "targetSelection": _upper(application.get("target_selection")) or "ALL",
        }
        shown.append(
            {"allocatedAmountSet": _shop_money(allocation, "amount"), "discountApplication": {**applied, **labelled}}
        )
    return shown


def _duties(duties: Iterable[REST]) -> list[JSON]:
    return [
        {"id": gid("Duty", duty["id"]), "price": _shop_money(duty, "price"), "taxLines": _taxes(duty)}
        for duty in duties
    ]


def _line(item: REST, applications: list[REST]) -> JSON:
    staff = (item.get("attributed_staffs") or [{}])[0].get("id")
    product = _ref("Product", item.get("product_id"))
    return {
        "id": gid("LineItem", item["id"]),
        "title": item.get("title") or "",
        "name": item.get("name") or item.get("title") or "",
        "quantity": item["quantity"],
        "sku": item.get("sku"),
        "isGiftCard": bool(item.get("gift_card")),
        "originalUnitPriceSet": _shop_money(item, "price"),
        "product": product and {**product, "productType": item.get("product_type") or ""},
        "variant": _ref("ProductVariant", item.get("variant_id")),
        "staffMember": _ref("StaffMember", str(staff).rpartition("/")[2] if staff else None),
        "discountAllocations": _discounts(item, applications),
        "taxLines": _taxes(item),
        "duties": _duties(item.get("duties") or ()),
    }


def _shipping(item: REST, applications: list[REST]) -> JSON:
    return {
        "id": gid("ShippingLine", item["id"]),
        "title": item.get("title") or "",
        "originalPriceSet": _shop_money(item, "price"),
        "discountAllocations": _discounts(item, applications),
        "taxLines": _taxes(item),
    }


def transaction(rest: REST) -> JSON:
    """An OrderTransaction."""
    details = rest.get("payment_details") or {}
    card = {
        "__typename": "CardPaymentDetails",
        "company": details.get("credit_card_company"),
        "number": details.get("credit_card_number"),
    }
    return {
        "id": gid("OrderTransaction", rest["id"]),
        "kind": _upper(rest["kind"]),
        "status": _upper(rest["status"]),
        "gateway": rest.get("gateway"),
        "test": bool(rest.get("test")),
        "createdAt": rest.get("created_at"),
        "processedAt": rest.get("processed_at") or rest.get("created_at"),
        "amountSet": _shop_money(rest, "amount"),
        "amountRoundingSet": _shop_money(rest, "amount_rounding") if rest.get("amount_rounding") else None,
        "parentTransaction": _ref("OrderTransaction", rest.get("parent_id")),
        "user": _ref("StaffMember", rest.get("user_id")),
        "device": _ref("PointOfSaleDevice", rest.get("device_id")),
        "location": _ref("Location", rest.get("location_id")),
        "paymentDetails": card if details.get("credit_card_company") else None,
    }


def refund_line(rest: REST) -> JSON:
    """A RefundLineItem."""
    return {
        "id": gid("RefundLineItem", rest["id"]),
        "quantity": rest["quantity"],
        "restockType": _upper(rest.get("restock_type")) or "NO_RESTOCK",
        "subtotalSet": _shop_money(rest, "subtotal"),
        "totalTaxSet": _shop_money(rest, "total_tax"),
        "lineItem": {"id": gid("LineItem", rest["line_item_id"])},
    }


def _adjustment(rest: REST) -> JSON:
    return {
        "id": gid("OrderAdjustment", rest["id"]),
        "reason": _upper((rest.get("reason") or "").replace(" ", "_")) or None,
        "amountSet": _shop_money(rest, "amount"),
        "taxAmountSet": _shop_money(rest, "tax_amount"),
    }


def _shipping_refund(rest: REST) -> JSON:
    return {
        "id": gid("RefundShippingLine", rest["id"]),
        "subtotalAmountSet": _shop_money(rest, "subtotal_amount"),
        "taxAmountSet": _shop_money(rest, "tax_amount"),
        "shippingLine": {"id": gid("ShippingLine", rest.get("shipping_line_id"))},
    }


def _refund(rest: REST) -> JSON:
    return {
        "id": gid("Refund", rest["id"]),
        "createdAt": rest["created_at"],
        "processedAt": rest.get("processed_at") or rest["created_at"],
        "note": rest.get("note"),
        "staffMember": _ref("StaffMember", rest.get("user_id")),
        "refundLineItems": connection([refund_line(line) for line in rest.get("refund_line_items") or ()], first=20),
        "refundShippingLines": connection(
            [_shipping_refund(line) for line in rest.get("refund_shipping_lines") or ()], first=10
        ),
        "orderAdjustments": connection([_adjustment(each) for each in rest.get("order_adjustments") or ()], first=10),
        "duties": [
            {"amountSet": _shop_money(duty, "amount"), "originalDuty": _ref("Duty", duty.get("duty_id"))}
            for duty in rest.get("duties") or ()
        ],
        "transactions": connection([transaction(each) for each in rest.get("transactions") or ()], first=10),
    }


def _buyer(rest: REST) -> JSON:
    return {
        "id": gid("Customer", rest["id"]),
        "firstName": rest.get("first_name"),
        "lastName": rest.get("last_name"),
        "defaultEmailAddress": {"emailAddress": rest["email"]} if rest.get("email") else None,
        "defaultPhoneNumber": {"phoneNumber": rest["phone"]} if rest.get("phone") else None,
    }


def lines(order: REST) -> list[JSON]:
    """The LineItems of an order."""
    applications = list(order.get("discount_applications") or ())
    return [_line(item, applications) for item in order.get("line_items") or ()]


def order(rest: REST, transactions: Sequence[REST]) -> JSON:
    """An Order with its transactions and refunds."""
    currency = rest["currency"]
    shown = (rest.get("total_price_set") or {}).get("presentment_money")
    total = {"amount": _amount(rest, "total_price"), "currency_code": currency}
    customer = rest.get("customer")
    applications = list(rest.get("discount_applications") or ())
    return {
        "id": gid("Order", rest["id"]),
        "name": rest.get("name") or f"#{rest.get('order_number')}",
        "createdAt": rest["created_at"],
        "processedAt": rest.get("processed_at") or rest["created_at"],
        "updatedAt": rest["updated_at"],
        "cancelledAt": rest.get("cancelled_at"),
        "cancelReason": _upper(rest.get("cancel_reason")),
        "test": bool(rest.get("test")),
        "sourceName": rest.get("source_name"),
        "sourceIdentifier": rest.get("source_identifier"),
        "note": rest.get("note"),
        "currencyCode": currency,
        "taxesIncluded": bool(rest.get("taxes_included")),
        "displayFinancialStatus": _upper(rest.get("financial_status")),
        "retailLocation": _ref("Location", rest.get("location_id")),
        "staffMember": _ref("StaffMember", rest.get("user_id")),
        "customer": _buyer(customer) if customer else None,
        "totalPriceSet": {"shopMoney": _coin(total), "presentmentMoney": _coin(shown or total)},
        "totalTipReceivedSet": _shop_money(rest, "total_tip_received"),
        "additionalFees": [
            {**duty, "id": gid("AdditionalFee", fee["id"]), "name": fee["name"]}
            for fee, duty in zip(
                rest.get("additional_fees") or (), _duties(rest.get("additional_fees") or ()), strict=True
            )
        ],
        "lineItems": connection(lines(rest), first=50),
        "shippingLines": connection(
            [_shipping(item, applications) for item in rest.get("shipping_lines") or ()], first=10
        ),
        "transactions": [transaction(each) for each in transactions],
        "refunds": [_refund(each) for each in rest.get("refunds") or ()],
    }


def _coin(rest: REST) -> JSON:
    return {"amount": str(rest["amount"]), "currencyCode": rest["currency_code"]}


def shop(rest: REST) -> JSON:
    """The Shop."""
    return {
        "myshopifyDomain": rest["myshopify_domain"],
        "ianaTimezone": rest["iana_timezone"],
        "currencyCode": rest["currency"],
    }


def _address(rest: REST) -> JSON:
    parts = ("first_name", "last_name")
    return {
        "name": rest.get("name") or " ".join(rest[part] for part in parts if rest.get(part)) or None,
        "company": rest.get("company"),
        "address1": rest.get("address1"),
        "address2": rest.get("address2"),
        "city": rest.get("city"),
        "provinceCode": rest.get("province_code"),
        "zip": rest.get("zip"),
        "countryCodeV2": rest.get("country_code"),
        "phone": rest.get("phone"),
    }


def customer(rest: REST) -> JSON:
    """A Customer."""
    address = rest.get("default_address")
    shown = _buyer(rest)
    consent = _upper((rest.get("email_marketing_consent") or {}).get("state")) or "NOT_SUBSCRIBED"
    if shown["defaultEmailAddress"]:
        shown["defaultEmailAddress"]["marketingState"] = consent
    tags = rest.get("tags") or ""
    return {
        **shown,
        "createdAt": rest.get("created_at"),
        "updatedAt": rest["updated_at"],
        "note": rest.get("note"),
        "tags": [tag.strip() for tag in tags.split(",") if tag.strip()],
        "defaultAddress": _address(address) if address else None,
    }


def variants(product: REST) -> list[JSON]:
    """The ProductVariants of a product."""
    return [
        {
            "id": gid("ProductVariant", rest["id"]),
            "sku": rest.get("sku"),
            "barcode": rest.get("barcode"),
            "title": rest.get("title") or "Default Title",
            "price": str(rest["price"]),
            "compareAtPrice": rest.get("compare_at_price"),
            "updatedAt": rest.get("updated_at") or product["updated_at"],
            "inventoryItem": {"id": gid("InventoryItem", rest.get("inventory_item_id"))},
        }
        for rest in product.get("variants") or ()
    ]


def product(rest: REST) -> JSON:
    """A Product with its first variants."""
    return {
        "id": gid("Product", rest["id"]),
        "title": rest.get("title") or "",
        "description": rest.get("description") or rest.get("body_html") or "",
        "productType": rest.get("product_type") or "",
        "status": _upper(rest.get("status")) or "ACTIVE",
        "updatedAt": rest["updated_at"],
        "variants": connection(variants(rest), first=100),
    }


def stock(level: REST, sku: str | None, variant_id: object) -> JSON:
    """An InventoryItem with its level at one location."""
    quantity = {"name": "available", "quantity": level["available"], "updatedAt": level["updated_at"]}
    return {
        "id": gid("InventoryItem", level["inventory_item_id"]),
        "sku": sku,
        "variants": {"nodes": [] if variant_id is None else [{"id": gid("ProductVariant", variant_id)}]},
        "inventoryLevel": {"updatedAt": level["updated_at"], "quantities": [quantity]},
    }
