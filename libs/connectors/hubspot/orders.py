"""A sale as an order: its properties, its refunds and its cancellation."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from libs.canonical.event import AnyEvent
from libs.canonical.identity import entity_key
from libs.canonical.money import total
from libs.canonical.sale import CustomerRef, LineKind, Refund, Sale, Tender, Voided
from libs.connectors.contract.http import Request
from libs.connectors.contract.target import Deliver, Filtered, Plan, Ref, Remote, Step
from libs.connectors.hubspot.batching import batch_call
from libs.connectors.hubspot.config import ORDER_KEY, REFUNDED, Config
from libs.connectors.hubspot.contacts import contact_ref
from libs.connectors.hubspot.properties import Values, amount, flag, moment, shape

NO_SALE = "refund without a sale"
NO_TOTAL = "refund without the sale's refunds to date"


def order_ref(event: AnyEvent, sale_id: str) -> Ref:
    """The name under which the sale's order is remembered; its key is also the value of pos_order_id."""
    return Ref("order", entity_key(event.account, "sale", sale_id))


def order_step(event: AnyEvent, sale: Sale, config: Config, *, amended: bool) -> Step:
    """The order by its key. An amendment empties what is gone, and leaves status and stage as they are: a refund or
    void may have set them since."""
    ref = order_ref(event, sale.id)
    status = {} if amended else _standing(config.completed_status, config.completed_stage, config)
    properties = shape(_values(sale, config) | status, _facts(sale), config.orders, clear=amended)
    unique = {"idProperty": ORDER_KEY, "id": ref.key, "properties": properties | {ORDER_KEY: ref.key}}
    return Step(
        name="order",
        request=batch_call(f"{config.objects_path}/orders/batch/upsert", [unique]),
        target_key=f"order:{ref.key}",
        provides=ref,
        batch="orders/upsert",
    )


def buyer_step(event: AnyEvent, sale: Sale, customer: CustomerRef, config: Config) -> Step:
    """The order and the contact brought together."""
    ref = order_ref(event, sale.id)
    pair = {"from": {"id": Remote(ref)}, "to": {"id": Remote(contact_ref(event.account, customer.id))}}
    return Step(
        name="contact of order",
        request=batch_call(f"{config.associations_path}/orders/contacts/batch/associate/default", [pair]),
        target_key=f"order:{ref.key}",
        batch="orders/contacts",
    )


def voided(event: AnyEvent, void: Voided, config: Config) -> Plan:
    """The plan for a void: the order stays, with the status and stage of a void."""
    standing = _standing(config.voided_status, config.voided_stage, config)
    return _update(event, void.sale_id, "void order", shape(standing, {}, config.orders, clear=False), config)


def refunded(event: AnyEvent, refund: Refund, config: Config) -> Plan:
    """The plan for a refund: the order gets the absolute total of its refunds to date.

    HubSpot has no refund object. A sum kept by adding could count twice, so a refund whose source does not tell the
    total is left out.
    """
    if refund.sale_id is None:
        return Filtered(NO_SALE)
    if refund.refunded_to_date is None:
        return Filtered(NO_TOTAL)
    standing = _standing(config.refunded_status, config.refunded_stage, config)
    values = {REFUNDED: amount(refund.refunded_to_date)} | standing
    return _update(event, refund.sale_id, "refund on order", shape(values, {}, config.orders, clear=False), config)


def _update(event: AnyEvent, sale_id: str, name: str, properties: Mapping[str, str], config: Config) -> Plan:
    """An update that never creates: 404 tells that the order is not there (HubSpot, CRM Objects, PATCH)."""
    ref = order_ref(event, sale_id)
    path = f"{config.objects_path}/orders/{quote(ref.key, safe='')}"
    request = Request("PATCH", path, query={"idProperty": ORDER_KEY}, json={"properties": dict(properties)})
    step = Step(name=name, request=request, target_key=f"order:{ref.key}", provides=ref)
    return Deliver((step,), document=f"order:{ref.key}")


def _standing(status: str, stage: str | None, config: Config) -> dict[str, str | None]:
    return {
        "hs_external_order_status": status,
        "hs_pipeline": config.pipeline if stage else None,
        "hs_pipeline_stage": stage,
    }


def _values(sale: Sale, config: Config) -> dict[str, str | None]:
    """The order's figures: total = subtotal - discount + shipping + taxes on top + charges + tip + rounding.

    The subtotal is before discounts with inclusive tax inside; hs_tax is all tax, inclusive or not.
    """
    shipping = [line.gross for line in sale.lines if line.kind is LineKind.SHIPPING]
    goods = [line.gross for line in sale.lines if line.kind is not LineKind.SHIPPING]
    discounts = [discount for line in sale.lines for discount in line.discounts]
    taxes = [tax.amount for line in sale.lines for tax in line.taxes]
    taxes += [tax.amount for charge in sale.service_charges for tax in charge.taxes]
    return {
        "hs_order_name": f"{config.account_label} #{sale.number.lstrip('#')}"
        if sale.number
        else f"{config.account_label} {sale.id}",
        "hs_currency_code": sale.currency,
        "hs_external_created_date": moment(sale.opened_at or sale.closed_at),
        "hs_processed_date": moment(sale.closed_at),
        "hs_source_store": config.stores.get(sale.location_id, sale.location_id),
        "hs_total_price": amount(sale.total),
        "hs_subtotal_price": amount(total(goods, sale.currency)),
        "hs_shipping_cost": amount(total(shipping, sale.currency)),
        "hs_tax": amount(total(taxes, sale.currency)),
        "hs_order_discount": amount(total((discount.amount for discount in discounts), sale.currency)),
        "hs_discount_codes": ", ".join(dict.fromkeys(discount.code for discount in discounts if discount.code)),
        "hs_payment_processing_method": ", ".join(dict.fromkeys(tender.type for tender in sale.tenders)),
    }


def _facts(sale: Sale) -> Values:
    charges = [charge.amount for charge in sale.service_charges]
    change = [tender.cash_change for tender in sale.tenders if tender.cash_change]
    return {
        "business_day": sale.business_day.isoformat(),
        "cash_change": amount(total(change, sale.currency)),
        "channel": sale.channel,
        "exchange_refund_id": sale.exchange_refund_id,
        "location_id": sale.location_id,
        "note": sale.note,
        "offline": flag(sale.offline),
        "receipt_number": sale.number,
        "register_id": sale.register_id,
        "rounding": amount(sale.rounding),
        "service_charges": amount(total(charges, sale.currency)),
        "staff_id": sale.staff_id,
        "tenders": ", ".join(_tender(tender) for tender in sale.tenders),
        "tip": amount(sale.tip),
    }


def _tender(tender: Tender) -> str:
    return f"{tender.label or tender.type} {amount(tender.amount)}"
