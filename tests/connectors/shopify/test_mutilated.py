"""Whatever is missing or wrong in a message, what comes out is an outcome or a reason, never another exception."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from libs.connectors.contract.dry_run import map_notification
from libs.connectors.contract.http import Response
from libs.connectors.contract.source import MalformedNotification, Notification, SourceSettings, Unmappable
from libs.connectors.shopify import connector
from libs.connectors.shopify.assembly import assemble
from libs.connectors.shopify.pull import following, found
from tests.connectors.shopify.test_queries import QUERIES, everything
from tests.connectors.shopify.till import SOURCE, ask
from tools.golden import read_json, write_json

# Between them these hold every field that is read.
CASES = (
    "custom_amount_split_tender",
    "customer_redacted",
    "customer_with_split_names",
    "exchange_for_less",
    "fees_and_duties",
    "inclusive_tax",
    "online_order_shipping_refunded",
    "product_with_two_variants",
    "refund_whose_sale_is_out_of_reach",
    "sold_in_another_currency",
    "stock_level",
)
GONE = object()
WRONG: tuple[Any, ...] = (
    GONE,
    None,
    "",
    "x",
    "\ud800",
    True,
    -1,
    10**30,
    Decimal("1e400"),
    "9" * 40,
    "-12.5",
    "0001-01-01T00:00:00+14:00",
    [],
    [None],
    {},
)

Path = tuple[str | int, ...]


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every place in it, of a list only the first two items."""
    if path:
        yield path
    items: Any = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def spoilt(value: Any, path: Path, wrong: Any) -> Any:
    """A copy with that one place made wrong."""
    if not path:
        return wrong
    key, *rest = path
    spoiled: Any = dict(value) if isinstance(value, dict) else list(value)
    if wrong is GONE and not rest:
        del spoiled[key]
    else:
        spoiled[key] = spoilt(value[key], tuple(rest), wrong)
    return spoiled


@pytest.mark.parametrize("name", CASES)
def test_a_spoilt_message_is_an_outcome_or_a_reason(name: str) -> None:
    given = read_json((connector.folder / "cases" / name / "in.json").read_bytes())
    settings = SourceSettings.model_validate(given["settings"])
    untouched = copy.deepcopy(given)
    reasons: list[str] = []
    for path in places({"notification": given["notification"], "parts": given["parts"]}):
        for wrong in WRONG:
            message = spoilt(given, path, wrong)
            note, parts = message.get("notification"), message.get("parts")
            headers = note.get("headers") if isinstance(note, dict) else None
            if not isinstance(headers, dict) or not isinstance(parts, dict):
                continue  # the frame of a case, which no vendor writes
            texts = {key: value for key, value in headers.items() if isinstance(value, str)}
            try:
                _, mapped = map_notification(SOURCE, Notification(texts, note.get("body")), parts, settings)
                for each in mapped:
                    for event in each.outcome.events if each.outcome else ():
                        event.model_dump_json()
            except (Unmappable, MalformedNotification) as reason:
                reasons.append(str(reason))
    assert reasons
    # A reason names a field; it never repeats what was in it.
    assert max(map(len, reasons)) < 200
    assert not any(secret in reason for reason in reasons for secret in ("@example", "Moreau", "9999999999"))
    assert given == untouched


@pytest.mark.parametrize("part", ["more_line_items", "more_refund_line_items:801", "till", "shop", "order"])
@pytest.mark.parametrize("wrong", [wrong for wrong in WRONG if wrong is not GONE])
def test_a_spoilt_part_is_an_outcome_or_a_reason(part: str, wrong: Any) -> None:
    given = read_json((connector.folder / "cases/more_lines_than_one_page/in.json").read_bytes())
    note = Notification(given["notification"]["headers"], given["notification"]["body"])
    try:
        _, (mapped,) = map_notification(SOURCE, note, {**given["parts"], part: wrong}, SourceSettings())
    except Unmappable:
        return
    assert mapped.outcome or mapped.missing


@pytest.mark.parametrize("operation", QUERIES)
def test_a_spoilt_answer_is_read_or_refused(operation: str) -> None:
    answer = ask(everything(), QUERIES[operation]).json
    feeds = {"Orders": "orders", "Customers": "customers", "Products": "products", "Levels": "inventory"}
    roots = {
        "Order": ("order", "1"),
        "Shop": ("order", "1"),
        "Customer": ("customer", "1"),
        "Product": ("product", "1"),
        "Stock": ("stock", "1@2"),
        "OrderLines": ("order", "1"),
        "RefundLines": ("order", "1"),
        "ProductVariants": ("product", "1"),
    }
    more: dict[str, Any] = {
        "order": {"line_items_after": "c", "refunds": [{"id": "801", "refund_line_items_after": "c"}]},
        "product": {"variants_after": "c"},
    }
    parts = more if operation in ("OrderLines", "RefundLines", "ProductVariants") else {}
    refused = 0
    for path in places(answer):
        for wrong in WRONG:
            body = json.dumps(json.loads(write_json(ascii_only(spoilt(answer, path, wrong))))).encode()
            response = Response(200, {}, body)
            try:
                if operation in feeds:
                    found(feeds[operation], response)
                    following(feeds[operation], QUERIES[operation], response)
                    continue
                for fetch in assemble(*roots[operation], parts):
                    if fetch.request.json["operationName"] == operation:
                        assert fetch.items
                        fetch.items(response)
                        if fetch.next_page:
                            fetch.next_page(fetch.request, response)
            except Unmappable:
                refused += 1
    assert refused


def ascii_only(value: Any) -> Any:
    """What JSON can carry: no half characters, no numbers out of all bounds."""
    if isinstance(value, dict):
        return {key: ascii_only(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [ascii_only(inner) for inner in value]
    if value == "\ud800":
        return "?"
    return (
        int(value)
        if isinstance(value, Decimal) and value == 0
        else str(value)
        if isinstance(value, Decimal)
        else (str(value) if isinstance(value, int) and abs(value) > 10**15 else value)
    )
