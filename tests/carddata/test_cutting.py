"""What is cut and what stays, case by case. All numbers are the schemes' published test numbers."""

from __future__ import annotations

import base64
import json
import time
from decimal import Decimal
from typing import Any

import pytest

from libs.runtime.carddata import Finding, Rule, TooDeep, cut, cut_text
from libs.runtime.carddata.issuers import is_card_number

VISA, AMEX = "4111111111111111", "378282246310005"
GONE = "[card data removed]"
VISA_GONE = "[card data removed, ends 1111]"


@pytest.mark.parametrize(
    "number",
    [VISA, AMEX, "4222222222222", "5555555555554444", "2223003122003222", "6011111111111117", "30569309025904"]
    + ["3530111333300000", "6200000000000005", "6759649826438453", "6304000000000000", "2200000000000004"],
)
def test_a_number_of_every_scheme_is_known(number: str) -> None:
    assert is_card_number(number)
    assert cut({"note": f"paid by {number}, thanks"}).document == {
        "note": f"paid by [card data removed, ends {number[-4:]}], thanks"
    }


@pytest.mark.parametrize("digits", ["4111111111111112", "9111111111111111", "411111111111111", "7783321050000000"])
def test_a_wrong_check_digit_prefix_or_length_is_no_card_number(digits: str) -> None:
    assert cut({"note": digits}).document == {"note": digits}


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("4111 1111 1111 1111", VISA_GONE),
        ("4111-1111.1111 1111", VISA_GONE),
        ("4111 - 1111 - 1111 - 1111", VISA_GONE),
        ("4111\u00a01111\u20111111\u202f1111", VISA_GONE),
        ("٤١١١١١١١١١١١١١١١", VISA_GONE),
        ("４１１１１１１１１１１１１１１１", VISA_GONE),
        ("VISA4111111111111111", f"VISA{VISA_GONE}"),
        ("2024-12-05 4111 1111 1111 1111 12/27", f"2024-12-05 {VISA_GONE} 12/27"),
        ("4111111111111111 5555555555554444", f"{VISA_GONE} [card data removed, ends 4444]"),
        ("41111111111111111227123456", f"{VISA_GONE}1227123456"),
        ("https://x.example/?q=4111%201111%201111%201111", f"https://x.example/?q={VISA_GONE}"),
        ("https://x.example/?q=%34111111111111111", f"https://x.example/?q={VISA_GONE}"),
        ("https://x.example/?q=%2534111111111111111", f"https://x.example/?q={VISA_GONE}"),
        ("%B4111111111111111^DOE/JANE^27121010000000000?", GONE),
        (";4111111111111111=27121010000?", GONE),
        ("4111111111111111D27121010000F", GONE),
        ("9F02065713 57134111111111111111D27121010000F 9A", f"9F02065713 {GONE} 9A"),
        ("5A0841111111111111115F2403271231", f"{VISA_GONE}5F2403271231"),
        ("5A08378282246310005F", "[card data removed, ends 0005]"),
        ("cvv 123", f"cvv {GONE}"),
        ("the CVC2 is: 1234!", f"the CVC2 is: {GONE}!"),
        ("card security code 123", f"card security code {GONE}"),
    ],
)
def test_in_text(text: str, cleaned: str) -> None:
    for document, expected in ((text, cleaned), ({"a": [{"note": text}]}, {"a": [{"note": cleaned}]})):
        assert cut(document).document == expected
    assert cut_text(text).document == cleaned


@pytest.mark.parametrize(
    "hidden",
    [VISA, f"card={VISA}", f'{{"note": "{VISA}"}}', "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", '{"cvv": "123", "exp": "12"}'],
)
def test_in_base64(hidden: str) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        token = encode(hidden.encode()).decode()
        for text in (token, token.rstrip("="), f"blob {token} end"):
            assert token.rstrip("=") not in cut({"note": text}).document["note"]
    twice = base64.b64encode(base64.b64encode(hidden.encode())).decode()
    assert cut([twice]).document == [GONE]


def test_in_a_long_or_displaced_base64_token() -> None:
    far = base64.b64encode(b"\xff\x00" * 50_000 + VISA.encode()).decode()
    assert cut([far]).document == [GONE]
    displaced = "path/" + base64.b64encode(f"zz{VISA}zz".encode()).decode()
    assert cut([displaced]).document == [GONE]
    chip = base64.b64encode(
        bytes.fromhex("9F0206000000001000" + "5A084111111111111111" + "5F2403271231" + "FF")
    ).decode()
    assert cut([chip]).document == [GONE]


@pytest.mark.parametrize("number", [int(VISA), -int(VISA), float(VISA), Decimal(VISA), Decimal(f"{VISA}.00")])
def test_as_a_json_number(number: Any) -> None:
    assert cut({"memo": number}).document == {"memo": VISA_GONE}


def test_as_a_name() -> None:
    found = cut({"attributes": {VISA: None, "4111 1111 1111 1111": {"cvv": 123}}})
    assert found.document == {"attributes": {VISA_GONE: None, f"{VISA_GONE} (2)": {"cvv": GONE}}}
    assert found.findings == (
        Finding(f"attributes.{VISA_GONE}", Rule.NUMBER),
        Finding(f"attributes.{VISA_GONE}", Rule.NUMBER),
        Finding(f"attributes.{VISA_GONE}.cvv", Rule.SENSITIVE_FIELD),
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"cvv": "123", "CVC2": 1234, "card-security-code": "0123"},
            dict.fromkeys(("cvv", "CVC2", "card-security-code"), GONE),
        ),
        ({"track_data": {"track1": "B4", "raw": ["9", "x"]}}, {"track_data": {"track1": GONE, "raw": [GONE, "x"]}}),
        ({"pinBlock": "A1B2", "pin": "1234", "cid": "123"}, {"pinBlock": GONE, "pin": GONE, "cid": GONE}),
        ({"card_number": "4111 1111 1111 1112"}, {"card_number": "[card data removed, ends 1112]"}),
        ({"pan": {"value": 9111111111111111}}, {"pan": {"value": VISA_GONE}}),
        ({"card": {"number": "4111111111111112"}}, {"card": {"number": "[card data removed, ends 1112]"}}),
    ],
)
def test_by_field_name(given: Any, expected: Any) -> None:
    assert cut(given).document == expected


@pytest.mark.parametrize(
    "document",
    [
        {
            "cvv_result_code": "M",
            "cvv": None,
            "cvc": "",
            "cvv_status": "CVV_ACCEPTED",
            "cvc_check": "pass",
            "cvn": True,
        },
        {
            "track": True,
            "tracking_number": "1Z999AA10123456784",
            "pin": "see note",
            "cid": "cust_12345",
            "track_inventory": 1,
        },
        {
            "last_4": "1111",
            "credit_card_number": "•••• •••• •••• 4444",
            "card_number": "************4444",
            "bin": "411111",
        },
        {"id": VISA, "order_id": int(VISA), "lineItemId": VISA, "variant_ids": [int(VISA), VISA], "customerID": VISA},
        {"note": f"gid://shopify/Order/{VISA}", "admin_graphql_api_id": f"gid://shopify/Order/{VISA}"},
        {"sku": "4222222222222", "barcode": "5000000000009", "gtin": "30569309025904"},
        {"phone": "+4222222222222", "mobile_phone": "4222222222222", "fax": "+378282246310005"},
        {"created_at": "2024-12-05T10:30:00.123456-05:00", "at": 1733394600123, "nanos": 1733394600123456789},
        {"lat": "51.50735091234567", "lng": -0.1277583123456789, "rate": Decimal("4.111111111111111")},
        {"uuid": "41111111-1111-4111-8111-11111111111f", "etag": "4111111111111111aaaabbbbccccdddd"},
        {"address": "PIN: 560001", "note": "gate code 1234", "number": "4111111111111112", "number2": "1001"},
    ],
)
def test_what_only_looks_alike_stays(document: Any) -> None:
    found = cut(document)
    assert found.document is document
    assert found.findings == ()


def test_what_explains_an_id_does_not_explain_a_number_in_words() -> None:
    assert cut({"order_id": "4111 1111 1111 1111"}).document == {"order_id": VISA_GONE}
    assert cut({"id": f"card {VISA}"}).document == {"id": f"card {VISA_GONE}"}
    assert cut({"note": f"id: {VISA}"}).document == {"note": f"id: {VISA_GONE}"}
    assert cut({"phone": VISA}).document == {"phone": VISA_GONE}
    assert cut({"barcode": VISA}).document == {"barcode": VISA_GONE}


def test_the_manifest_says_what_else_is_cut_and_what_is_not() -> None:
    given = {"receipt": {"a": 1}, "exp_month": 12, "reference": VISA, "cvv": 123, "holder": "", "live": False}
    found = cut(given, card_fields=("receipt", "exp_month", "holder", "live"), not_cards=["reference", "cvv"])
    assert found.document == {
        "receipt": GONE, "exp_month": GONE, "reference": VISA, "cvv": GONE, "holder": "", "live": GONE,
    }  # fmt: skip
    masked = {"credit_card_number": "•••• •••• •••• 4444"}
    assert cut(masked, card_fields=["credit_card_number"]).document == masked
    assert cut({"credit_card_number": VISA}, card_fields=["credit_card_number"]).document == {
        "credit_card_number": VISA_GONE
    }


@pytest.mark.parametrize(
    ("body", "cleaned"),
    [
        (f"number={VISA}&id={VISA}&cvv=123", f"number={VISA_GONE}&id={VISA}&cvv={GONE}"),
        ("card%5Bnumber%5D=4111111111111111&x=1", f"card%5Bnumber%5D={VISA_GONE}&x=1"),
        ("card%5Bcvc%5D=123&x=1", f"card[cvc]={GONE}&x=1"),
        (
            "<pan>4111111111111112</pan><cvv2>123</cvv2>",
            f"<pan>[card data removed, ends 1112]</pan><cvv2>{GONE}</cvv2>",
        ),
        ('{"track2": "1 2", "pin": "1234", broken', f'{{"track2": "{GONE}", "pin": "{GONE}", broken'),
        ("pin=1234", f"pin={GONE}"),
        (VISA.encode("utf-16-le").decode("latin-1"), f"{VISA_GONE}\x00"),
    ],
)
def test_a_body_that_is_no_json(body: str, cleaned: str) -> None:
    found = cut_text(body)
    assert found.document == cleaned
    assert found.findings


def test_findings_name_place_and_rule_and_never_a_value() -> None:
    found = cut({"tenders": [{"note": "ok"}, {"note": f"{VISA} cvv 123"}], "card": {"cvv": "987"}})
    assert found.findings == (
        Finding("tenders[1].note", Rule.NUMBER),
        Finding("tenders[1].note", Rule.SECURITY_CODE),
        Finding("card.cvv", Rule.SENSITIVE_FIELD),
    )
    shown = repr(found.findings)
    assert "1111" not in shown
    assert "987" not in shown


def nested(levels: int) -> Any:
    document: Any = VISA
    for _ in range(levels // 2):
        document = [{"a": document}]
    return document


def test_sixty_four_levels_are_searched_and_more_are_refused() -> None:
    assert VISA not in json.dumps(cut(nested(64)).document)
    with pytest.raises(TooDeep, match="64 levels"):
        cut(nested(66))
    with pytest.raises(TooDeep):
        cut(nested(100_000))


def test_an_order_is_searched_at_the_pace_of_ingest() -> None:
    line = {
        "id": 14500000000007, "admin_graphql_api_id": "gid://shopify/LineItem/14500000000007", "name": "Freestyle 151",
        "price": "199.00", "quantity": 1, "sku": "00012345678905", "variant_id": 44000000000001, "taxable": True,
        "properties": [{"name": "gift note", "value": "Happy birthday to you, dear friend"}], "grams": 1200,
        "tax_lines": [{"title": "State Tax", "price": "11.94", "rate": Decimal("0.06")}], "vendor": "Burton",
    }  # fmt: skip
    order = {
        "id": 5512345678901, "created_at": "2024-12-05T10:30:00-05:00", "email": "bob.norman@mail.example.com",
        "checkout_token": "bd5a8aa1ecd019dd3520ff791ee3a24c", "phone": "+4915112345678", "currency": "USD",
        "note": "Please leave the parcel at the back door, thanks a lot", "line_items": [line] * 9,
    }  # fmt: skip
    assert 3500 < len(json.dumps(order, default=str)) < 4500
    assert cut(order).findings == ()
    fastest = float("inf")
    for _ in range(200):
        start = time.perf_counter()
        cut(order)
        fastest = min(fastest, time.perf_counter() - start)
    # 150 microseconds are the aim; twice that fails, so that a busy machine does not.
    assert fastest < 300e-6
