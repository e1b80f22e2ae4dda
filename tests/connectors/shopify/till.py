"""A shop to test with: orders in webhook shape, and the connector driven against the simulator."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from libs.canonical.event import AnyEvent
from libs.connectors.contract.http import Request, Response
from libs.connectors.contract.simulator import SimRequest, SimResponse
from libs.connectors.contract.source import Notification, Outcome, Period, Root, Snapshot, SourceSettings, Via
from libs.connectors.shopify import connector
from libs.connectors.shopify.sandbox import ShopifySimulator, webhook_headers
from tools.golden import write_json

SHOP = "sandbox.myshopify.com"
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
ALL_TIME = Period(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
ORDER_ID = 5900000000001

assert connector.source is not None
SOURCE = connector.source


def line(line_id: int, price: str, quantity: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "id": line_id,
        "product_id": 81,
        "variant_id": 91,
        "sku": f"S-{line_id}",
        "title": "Shirt",
        "name": "Shirt - M",
        "quantity": quantity,
        "price": price,
        **more,
    }


def payment(payment_id: int, amount: str, gateway: str = "shopify_payments", kind: str = "sale") -> dict[str, Any]:
    card = {"credit_card_company": "Visa", "credit_card_number": "•••• •••• •••• 4242"}
    return {
        "id": payment_id,
        "kind": kind,
        "status": "success",
        "gateway": gateway,
        "amount": amount,
        "created_at": "2026-02-01T12:36:30-05:00",
        "payment_details": card if gateway == "shopify_payments" else None,
    }


def order(total: str, lines: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "id": ORDER_ID,
        "name": "#1042",
        "source_name": "pos",
        "location_id": 579177,
        "user_id": 109650,
        "device_id": 32921,
        "test": False,
        "currency": "USD",
        "taxes_included": False,
        "created_at": "2026-02-01T12:36:31-05:00",
        "processed_at": "2026-02-01T12:36:30-05:00",
        "updated_at": "2026-02-01T12:36:33-05:00",
        "financial_status": "paid",
        "total_price": total,
        "line_items": list(lines),
        "refunds": [],
        **more,
    }


def refund(refund_id: int, lines: Sequence[tuple[int, int, str]], paid: str | None, **more: Any) -> dict[str, Any]:
    """A refund of (line, quantity, subtotal), created that many days after the sale as its id's last digit says."""
    created = (datetime(2026, 2, 1, 15, tzinfo=UTC) + timedelta(days=refund_id % 10)).isoformat()
    return {
        "id": refund_id,
        "order_id": ORDER_ID,
        "created_at": created,
        "processed_at": created,
        "refund_line_items": [
            {
                "id": 10 * refund_id + index,
                "line_item_id": line_id,
                "quantity": quantity,
                "subtotal": subtotal,
                "restock_type": "return",
            }
            for index, (line_id, quantity, subtotal) in enumerate(lines)
        ],
        "transactions": [payment(100 + refund_id, paid, kind="refund")] if paid else [],
        **more,
    }


def shop_with(order_: dict[str, Any], payments: Sequence[dict[str, Any]]) -> ShopifySimulator:
    shop = ShopifySimulator()
    shop.load({"orders": [order_], "transactions": {order_["id"]: list(payments)}})
    return shop


def answered(response: SimResponse) -> Response:
    """The simulator's answer as it comes over the wire."""
    body = response.body if isinstance(response.body, bytes) else write_json(response.body).encode()
    return Response(response.status, {name.lower(): value for name, value in response.headers.items()}, body)


def ask(
    shop: ShopifySimulator, asked: Request, *, token: str | None = "shpat-sandbox-token", now: datetime = NOW
) -> Response:
    headers = {} if token is None else {"x-shopify-access-token": token}
    sent = SimRequest(asked.method, asked.path, {}, headers, write_json(asked.json).encode())
    return answered(shop.handle(sent, now))


def webhook(topic: str, body: Mapping[str, Any], *, webhook_id: str = "w-1") -> Notification:
    """A webhook as it arrives: header names in lower case, numbers exact."""
    headers = webhook_headers(topic, SHOP, webhook_id, "e-1", NOW)
    read = json.loads(write_json(dict(body)), parse_float=Decimal)
    return Notification({name.lower(): value for name, value in headers.items()}, read)


def snapshot(shop: ShopifySimulator, root: Root, *, account: str = SHOP, via: Via = "webhook") -> Snapshot:
    """The root with everything fetched, and once through JSON, as it travels."""
    parts = dict(root.have)
    assert SOURCE.judge is not None
    while wanted := SOURCE.assemble(root.kind, root.id, parts):
        for fetch in wanted:
            asked: Request | None = fetch.request
            found: Any = None
            while asked is not None:
                answer = ask(shop, asked)
                assert SOURCE.judge(answer) is None
                assert fetch.items is not None
                read = fetch.items(answer)
                found = read if found is None else found + read
                asked = fetch.next_page(asked, answer) if fetch.next_page else None
            parts[fetch.part] = found
    taken = Snapshot(
        vendor="shopify",
        account_id=account,
        connection="shop",
        root_kind=root.kind,
        root_id=root.id,
        parts=parts,
        via=via,
        notified_as="test",
        received_at=NOW,
        assembled_at=NOW,
    )
    return Snapshot.model_validate_json(taken.model_dump_json())


def outcome(shop: ShopifySimulator, notification: Notification, settings: SourceSettings | None = None) -> Outcome:
    """What a notification with one root comes to."""
    identified = SOURCE.identify(notification)
    (root,) = identified.roots
    return SOURCE.to_canonical(snapshot(shop, root, account=identified.account_id), settings or SourceSettings())


def events_of(order_: dict[str, Any], payments: Sequence[dict[str, Any]]) -> tuple[AnyEvent, ...]:
    """The events of one order."""
    return outcome(shop_with(order_, payments), webhook("orders/updated", order_)).events


def pulled(
    shop: ShopifySimulator, feed: str, period: Period = ALL_TIME, places: Sequence[str] = ()
) -> list[Notification]:
    """Everything that a feed lists, over all its pages."""
    listed: list[Notification] = []
    asked: Request | None = SOURCE.pull.first(feed, period, SHOP, places)
    while asked is not None:
        answer = ask(shop, asked)
        listed += SOURCE.pull.found(feed, answer)
        asked = SOURCE.pull.following(feed, asked, answer)
    return listed
