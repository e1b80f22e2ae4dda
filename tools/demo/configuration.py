"""The demo's `tillstream.yaml`, and what the independent check must know of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from tools.demo import shopify_shapes, square_shapes
from tools.demo.chain import MERCHANT, SHOP
from tools.demo.ringing import UNTAXED
from tools.demo.till import CURRENCY, Store

# One QuickBooks company for each way of booking.
REALMS = {"qbo-receipts": "9130000000000001", "qbo-journal": "9130000000000002"}
CUT_OFF = "03:00"
TIPS_ITEM = "16"

# The vendors' limits, in the simulators as well as here. Square and Shopify answer reads: fifteen days within minutes
# need more of them than a shop needs in fifteen days, so Shopify is on its Plus plan (1,000 points a second), and of
# Square, which publishes no limit, more is assumed than usual. Of the targets, QuickBooks has the only limits it has
# (500 calls a minute, 10 a second); HubSpot is a Professional account (190 calls in 10 seconds; a small one has 100).
HUBSPOT_CALLS_PER_10_SECONDS = 190
SQUARE_CALLS_PER_SECOND = 400
SHOPIFY_POINTS_PER_SECOND = 1_000
SHOPIFY_POINTS_MAXIMUM = 20_000

# Ids of accounts and items in the simulated companies' chart (QuickBooks' README shows the same ones).
_TENDER_ACCOUNTS = {"card": "91", "cash": "92", "exchange": "94"}
_TENDER_ITEMS = {"card": "21", "cash": "22", "gift_card": "24", "exchange": "26"}
_TAX_ITEM, _GOODS_ITEM, _DIFFERENCE_ITEM = "18", "11", "19"
_FOOD = sorted(name.title() for name in UNTAXED - {"FUEL", "COUPON"})

SECRETS = {
    "DEMO_SQUARE_TOKEN": "square-sandbox-token",
    "DEMO_SQUARE_SIGNATURE_KEY": square_shapes.SIGNATURE_KEY,
    "DEMO_SHOPIFY_TOKEN": "shpat-sandbox-token",
    "DEMO_SHOPIFY_CLIENT_SECRET": shopify_shapes.CLIENT_SECRET,
    "DEMO_HUBSPOT_TOKEN": "pat-sandbox",
    "DEMO_QBO_CLIENT_ID": "sandbox-client",
    "DEMO_QBO_CLIENT_SECRET": "sandbox-secret",
    # QuickBooks gives each company a refresh token of its own, and a new one at every use.
    "DEMO_QBO_RECEIPTS_REFRESH_TOKEN": "sandbox-refresh-receipts",
    "DEMO_QBO_JOURNAL_REFRESH_TOKEN": "sandbox-refresh-journal",
}


def department(store: Store, stores: Iterable[Store]) -> str:
    """The store's department in QuickBooks."""
    return str(101 + [each.location for each in stores].index(store.location))


def departments(stores: tuple[Store, ...]) -> list[dict[str, str]]:
    """The stores as QuickBooks' departments, to be put into both companies."""
    return [{"Id": department(store, stores), "Name": store.name} for store in stores]


def configuration(stores: tuple[Store, ...], sandbox: str) -> str:
    """`tillstream.yaml`."""
    return yaml.safe_dump(
        {
            "version": 1,
            "organisation": "Demo chain",
            "books": {"grace_seconds": 7200, "revision_every_seconds": 3600},
            "connections": [
                _square(sandbox),
                _shopify(stores, sandbox),
                _quickbooks("qbo-receipts", stores, sandbox, _receipts(stores)),
                _quickbooks("qbo-journal", stores, sandbox, _journal(stores)),
                _hubspot(stores, sandbox),
            ],
        },
        sort_keys=False,
    )


def _secrets(**names: str) -> dict[str, dict[str, str]]:
    return {name: {"env": variable} for name, variable in names.items()}


def _square(sandbox: str) -> dict[str, Any]:
    return {
        "id": square_shapes.CONNECTION, "vendor": "square", "role": "source", "account": MERCHANT,
        "environment": "sandbox", "base_url": f"{sandbox}/square", "start": "beginning",
        "public_url": square_shapes.PUBLIC_URL,
        "secrets": _secrets(access_token="DEMO_SQUARE_TOKEN", signature_key="DEMO_SQUARE_SIGNATURE_KEY"),
        "limits": {"windows": [{"calls": SQUARE_CALLS_PER_SECOND, "seconds": 1}], "concurrency": 16},
        "settings": {"default_cut_off": CUT_OFF, "default_region": "US"},
    }  # fmt: skip


def _shopify(stores: tuple[Store, ...], sandbox: str) -> dict[str, Any]:
    places = {
        store.location: {"timezone": store.timezone, "cut_off": CUT_OFF, "region": "US"}
        for store in stores
        if store.vendor == "shopify"
    }
    return {
        "id": shopify_shapes.CONNECTION, "vendor": "shopify", "role": "source", "account": SHOP,
        "environment": "sandbox", "base_url": f"{sandbox}/shopify", "start": "beginning",
        "public_url": shopify_shapes.PUBLIC_URL,
        "secrets": _secrets(access_token="DEMO_SHOPIFY_TOKEN", client_secret="DEMO_SHOPIFY_CLIENT_SECRET"),
        "limits": {"windows": [{"calls": 25, "seconds": 1}], "concurrency": 8},
        "settings": {"default_cut_off": CUT_OFF, "default_region": "US", "locations": places},
    }  # fmt: skip


def _target(connection: str, vendor: str, account: str, base_url: str) -> dict[str, Any]:
    return {
        "id": connection, "vendor": vendor, "role": "target", "account": account, "environment": "sandbox",
        "base_url": base_url, "start": "beginning",
        "parking": {"delays_seconds": [2, 5, 10, 20], "attempts": 20},
    }  # fmt: skip


def _quickbooks(connection: str, stores: tuple[Store, ...], sandbox: str, settings: dict[str, Any]) -> dict[str, Any]:
    realm = REALMS[connection]
    return {
        **_target(connection, "quickbooks", realm, f"{sandbox}/quickbooks/v3/company/{realm}"),
        "token_url": f"{sandbox}/quickbooks/oauth2/v1/tokens/bearer",
        "locations": [store.location for store in stores if store.books == connection],
        "secrets": _secrets(
            client_id="DEMO_QBO_CLIENT_ID",
            client_secret="DEMO_QBO_CLIENT_SECRET",
            refresh_token=f"DEMO_{connection.replace('-', '_').upper()}_REFRESH_TOKEN",
        ),
        "settings": {"home_currency": CURRENCY, **settings},
    }


def _receipts(stores: tuple[Store, ...]) -> dict[str, Any]:
    return {
        "mode": "receipts",
        "walk_in_customer": "58",
        "refund_account": "35",
        "departments": _departments_of("qbo-receipts", stores),
        "accounts": {"tenders": {"groups": _TENDER_ACCOUNTS}, "gift_cards": {"default": "96"}},
        "items": {
            "default_item": _GOODS_ITEM, "custom_amount": _GOODS_ITEM, "tips": TIPS_ITEM, "rounding": "17",
            "taxes": {"default": _TAX_ITEM}, "tenders": {"groups": _TENDER_ITEMS},
            "unexplained_differences": _DIFFERENCE_ITEM,
        },
    }  # fmt: skip


def _journal(stores: tuple[Store, ...]) -> dict[str, Any]:
    return {
        "mode": "daily_journal",
        "departments": _departments_of("qbo-journal", stores),
        "accounts": {
            "sales": {"default": "79", "groups": dict.fromkeys(_FOOD, "80")},
            "discounts": {"default": "81"}, "returns": {"default": "82"}, "taxes": {"default": "90"},
            "tips": {"default": "95"}, "gift_cards": {"default": "96"}, "rounding": {"default": "86"},
            "tenders": {"groups": _TENDER_ACCOUNTS}, "unexplained_differences": "87",
        },
    }  # fmt: skip


def _departments_of(books: str, stores: tuple[Store, ...]) -> dict[str, str]:
    return {store.location: department(store, stores) for store in stores if store.books == books}


def _hubspot(stores: tuple[Store, ...], sandbox: str) -> dict[str, Any]:
    return {
        **_target("hubspot-main", "hubspot", "1", f"{sandbox}/hubspot"),
        "secrets": _secrets(access_token="DEMO_HUBSPOT_TOKEN"),
        "limits": {
            "windows": [
                {"calls": HUBSPOT_CALLS_PER_10_SECONDS, "seconds": 10},
                {"calls": 250_000, "seconds": 86_400},
            ],
            "concurrency": 8,
        },
        "settings": {"account_label": "Demo chain", "stores": {store.location: store.name for store in stores}},
    }


def setup(stores: tuple[Store, ...], days: list[str]) -> dict[str, Any]:
    """What `tools/verify_demo.py` is told: which store goes to which books, and what the ids in them stand for."""
    return {
        "currency": CURRENCY,
        "cut_off": CUT_OFF,
        "days": days,
        "accounts": {"square": MERCHANT, "shopify": SHOP},
        "stores": {
            store.location: {
                "name": store.name, "vendor": store.vendor, "timezone": store.timezone, "books": store.books,
                "department": department(store, stores),
            }
            for store in stores
        },
        "realms": REALMS,
        "journal_accounts": {
            "tenders": {account: way for way, account in _TENDER_ACCOUNTS.items()} | {"96": "gift_card"},
            "sales": ["79", "80"], "discounts": ["81"], "returns": ["82"], "tax": ["90"], "tips": ["95"],
            "difference": ["87"],
        },
        "receipt_items": {
            "tenders": {item: way for way, item in _TENDER_ITEMS.items()},
            "goods": [_GOODS_ITEM], "tax": [_TAX_ITEM], "tips": [TIPS_ITEM], "difference": [_DIFFERENCE_ITEM],
        },
        "hubspot": "hubspot-main",
    }  # fmt: skip
