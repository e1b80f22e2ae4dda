"""Sales as sales receipts, refunds as refund receipts: one document each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from libs.canonical.event import AnyEvent, Event
from libs.canonical.identity import entity_key
from libs.canonical.sale import Amendment, Refund, Sale, Voided
from libs.connectors.contract.target import Deliver, Filtered, Hold, Plan, Ref, Step
from libs.connectors.quickbooks.calls import change_steps, query, read, reference, write
from libs.connectors.quickbooks.config import Choices, Settings
from libs.connectors.quickbooks.customers import customer_ref
from libs.connectors.quickbooks.document_numbers import receipt_number
from libs.connectors.quickbooks.items import item_steps
from libs.connectors.quickbooks.journal import foreign_currency
from libs.connectors.quickbooks.notes import note
from libs.connectors.quickbooks.receipt_parts import (
    Document,
    Parts,
    deposit_account,
    differences,
    lines_as_json,
    parts_of,
)

Receipt = Literal["SalesReceipt", "RefundReceipt"]

NO_MONEY = "zero total"
NOT_HERE = "the sale has no sales receipt here"
PAID_OUT = Hold("the sale pays out, so its document is a refund receipt: correct that by hand")


def sale_ref(event: AnyEvent) -> Ref:
    """Under which the remote id of a sale's receipt is kept; several tills' accounts may post into one company."""
    return Ref("sale", event.order_key)


def sale_refs(event: AnyEvent) -> tuple[Ref, Ref]:
    """The remote ids that a sale's document may have: of a sales receipt, or of a refund receipt if it pays out."""
    return sale_ref(event), _paid_out_ref(event.order_key)


def _paid_out_ref(key: str) -> Ref:
    # A refund receipt cannot be changed or voided as a sales receipt, so it is kept under another name.
    return Ref("sale_paid_out", key)


def refund_key(event: Event[Refund]) -> str:
    """The refund's own name."""
    return entity_key(event.account, "refund", event.entity_id)


@dataclass(frozen=True)
class _Written:
    """A receipt ready to send."""

    entity: Receipt
    body: dict[str, Any]


def plan_sale(event: Event[Sale], config: Settings, known: Mapping[Ref, str]) -> Plan:
    """A completed sale as a new sales receipt."""
    return _create(event, event.data, event.order_key, sale_ref(event), config, known)


def plan_refund(event: Event[Refund], config: Settings, known: Mapping[Ref, str]) -> Plan:
    """A refund as a refund receipt, which stands by itself: it needs no receipt of its sale."""
    key = refund_key(event)
    return _create(event, event.data, key, Ref("refund", key), config, known)


def plan_amendment(event: Event[Amendment], config: Settings, known: Mapping[Ref, str]) -> Plan:
    """The sale's receipt changed to what the sale is now.

    A sale that moved no money before has no receipt yet and gets one.
    """
    if _paid_out_ref(event.order_key) in known:
        return PAID_OUT
    remote_id = known.get(sale_ref(event))
    amendment = event.data
    if remote_id is None:
        if parts_of(amendment.before, config, Choices()).nothing:
            return _create(event, amendment.sale, event.order_key, sale_ref(event), config, known)
        return Filtered(NOT_HERE)
    written = _write(event, amendment.sale, event.order_key, config, known)
    if isinstance(written, Hold):
        return written
    if written.entity != "SalesReceipt":
        return PAID_OUT
    # The note names this amendment, so that the receipt itself tells whether it has been changed already.
    body = written.body | {"PrivateNote": note(f"{event.order_key}:{event.id}", *_remarks(amendment.sale))}
    change = change_steps(
        "SalesReceipt",
        remote_id,
        body,
        target_key=event.order_key,
        event_id=event.id,
        name="change receipt",
        lookup=read("SalesReceipt", remote_id),
    )
    return Deliver((*item_steps(amendment.sale, config), *change), document=f"SalesReceipt {body['DocNumber']}")


def plan_void(event: Event[Voided], config: Settings, known: Mapping[Ref, str]) -> Plan:
    """The sale's receipt voided: it stays in the books with all amounts zero."""
    if _paid_out_ref(event.order_key) in known:
        return PAID_OUT
    remote_id = known.get(sale_ref(event))
    if remote_id is None:
        return Filtered(NOT_HERE)
    steps = change_steps(
        "SalesReceipt",
        remote_id,
        {},
        target_key=event.order_key,
        event_id=event.id,
        name="void receipt",
        lookup=read("SalesReceipt", remote_id),
        operation="update",
        include="void",
    )
    number = receipt_number(config.document_prefix, event.order_key)
    return Deliver(steps, document=f"SalesReceipt {number}")


def _create(
    event: AnyEvent, document: Document, key: str, ref: Ref, config: Settings, known: Mapping[Ref, str]
) -> Plan:
    if parts_of(document, config, Choices()).nothing:
        return Filtered(NO_MONEY)
    written = _write(event, document, key, config, known)
    if isinstance(written, Hold):
        return written
    number = written.body["DocNumber"]
    step = Step(
        "receipt",
        write(written.entity, written.body),
        target_key=key,
        provides=_paid_out_ref(key) if isinstance(document, Sale) and written.entity == "RefundReceipt" else ref,
        lookup=query(written.entity, DocNumber=number, TxnDate=written.body["TxnDate"]),
    )
    return Deliver((*item_steps(document, config), step), document=f"{written.entity} {number}")


def _write(
    event: AnyEvent, document: Document, key: str, config: Settings, known: Mapping[Ref, str]
) -> _Written | Hold:
    """The receipt, or why it cannot be written."""
    if foreign := foreign_currency(document.currency, config):
        return foreign
    wrong = differences(document)
    if wrong and config.items.unexplained_differences is None:
        found = "; ".join(str(difference) for difference in wrong)
        return Hold(f"it does not add up ({found}) and items.unexplained_differences is not mapped")
    choices = Choices()
    parts = parts_of(document, config, choices)
    negative = _pays_out(parts)
    entity: Receipt = "RefundReceipt" if isinstance(document, Refund) != negative else "SalesReceipt"
    body = {
        "DocNumber": receipt_number(config.document_prefix, key),
        "TxnDate": document.business_day.isoformat(),
        "PrivateNote": note(key, *_remarks(document)),
        "CustomerRef": reference(_customer(event, document, config, known, choices)),
        **({"CurrencyRef": reference(document.currency)} if config.multi_currency else {}),
        **_money_references(entity, parts, config, choices),
        **_department(document, config),
        **({"GlobalTaxCalculation": config.tax_calculation} if config.tax_calculation else {}),
        "Line": lines_as_json(parts, config, -1 if negative else 1),
        **({} if config.tax_as_line else {"TxnTaxDetail": {"TotalTax": abs(parts.tax.major)}}),
    }
    return Hold(choices.missing) if choices.missing else _Written(entity, body)


def _pays_out(parts: Parts) -> bool:
    """A receipt of QuickBooks cannot be negative: a sale that pays out is a refund receipt, and the other way round."""
    return parts.deposit.minor < 0


def _customer(event: AnyEvent, document: Document, config: Settings, known: Mapping[Ref, str], choices: Choices) -> str:
    if document.customer and config.customers:
        remote_id = known.get(customer_ref(event.account, document.customer.id))
        if remote_id:
            return remote_id
    return choices.take(config.walk_in_customer, "walk_in_customer")


def _money_references(entity: Receipt, parts: Parts, config: Settings, choices: Choices) -> dict[str, Any]:
    """Where the money goes, or comes from, and how it was paid."""
    account = deposit_account(parts, config, choices)
    if account is None and entity == "RefundReceipt":
        account = choices.take(config.refund_account, "refund_account")
    method = config.payment_methods.of_tender(parts.deposit_group) if parts.deposit_group else None
    return {
        **({"DepositToAccountRef": reference(account)} if account is not None else {}),
        **({"PaymentMethodRef": reference(method)} if method else {}),
    }


def _department(document: Document, config: Settings) -> dict[str, Any]:
    department = config.departments.get(document.location_id)
    return {"DepartmentRef": reference(department)} if department else {}


def _remarks(document: Document) -> tuple[str, ...]:
    """What helps a person to find it at the till; no personal data."""
    if isinstance(document, Sale):
        named = f", receipt {document.number}" if document.number else ""
        return (f"Sale {document.id}{named}, location {document.location_id}.",)
    whose = f" of sale {document.sale_id}" if document.sale_id else " without a sale"
    return (f"Refund {document.id}{whose}, location {document.location_id}.",)
