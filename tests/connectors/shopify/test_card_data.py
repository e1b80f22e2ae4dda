"""Card data is cut, and Shopify's ids, many of which look like card numbers, are not."""

from __future__ import annotations

import re
from typing import Any

from libs.connectors.shopify import connector
from libs.runtime.carddata import cut
from tests.connectors.shopify.till import ORDER_ID, SOURCE, outcome, shop_with, snapshot, webhook
from tools.golden import read_json, write_json

FACTS = SOURCE.manifest.source
# 13 digits, beginning like a card number and passing its check digit.
LIKE_A_CARD = "4000000000006"


def whole(document: Any) -> Any:
    assert FACTS
    return cut(document, card_fields=FACTS.card_fields, not_cards=FACTS.not_cards).document


def test_ids_that_look_like_cards_pass() -> None:
    assert whole({"anything": LIKE_A_CARD}) != {"anything": LIKE_A_CARD}
    for folder in sorted((connector.folder / "cases").iterdir()):
        text = (folder / "in.json").read_text()
        text = re.sub(r"\b[0-9]{13,14}\b", LIKE_A_CARD, text)
        text = re.sub(r'("(?:\w+_)?id": )"[0-9]+"', rf'\1"{LIKE_A_CARD}"', text)
        parts = read_json(text)["parts"]
        assert whole(parts) == parts, folder.name


def test_a_refund_webhook_full_of_card_data_comes_out_clean() -> None:
    number = "4242424242424242"
    body = {
        "id": 801,
        "order_id": ORDER_ID,
        "created_at": "2026-02-03T10:00:00-05:00",
        "refund_line_items": [],
        "transactions": [
            {
                "id": 911,
                "kind": "refund",
                "status": "success",
                "gateway": "shopify_payments",
                "amount": "20.00",
                "authorization": "ch_secret",
                "receipt": {
                    "payment_method_details": {"card_present": {"cardholder_name": "A BUYER", "iin": "424242"}}
                },
                "payment_details": {
                    "credit_card_bin": "424242",
                    "credit_card_number": number,
                    "credit_card_name": "A BUYER",
                    "cvv_result_code": "M",
                },
            }
        ],
        "note": f"card {number}",
    }
    clean = whole(read_json(write_json(body)))
    assert not re.search(r"BUYER|424242|ch_secret", write_json(clean))
    shop = shop_with({"id": 1}, [])
    (refunded,) = outcome(shop, webhook("refunds/create", clean)).events
    assert refunded.entity_id == "801"
    (root,) = SOURCE.identify(webhook("refunds/create", clean)).roots
    assert not re.search(r"BUYER|424242|ch_secret", snapshot(shop, root).model_dump_json())
