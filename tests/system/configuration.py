"""The configuration of a test installation: one Square account, two QuickBooks companies, one HubSpot account."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SECRETS = {
    "SQUARE_SIGNATURE_KEY": "square-key",
    "SQUARE_TOKEN": "square-sandbox-token",
    "SHOPIFY_SECRET": "shopify-secret",
    "SHOPIFY_TOKEN": "shpat-sandbox-token",
    "QBO_CLIENT": "sandbox-client",
    "QBO_SECRET": "sandbox-secret",
    "QBO_REFRESH_RECEIPTS": "sandbox-refresh-receipts",
    "QBO_REFRESH_JOURNAL": "sandbox-refresh-journal",
    "HUBSPOT_TOKEN": "pat-sandbox",
}

_CASES = Path(__file__).parents[2] / "libs/connectors/quickbooks/cases"


def _quickbooks_settings(mode: str) -> dict[str, Any]:
    case: dict[str, Any] = json.loads((_CASES / "journal_sale/in.json").read_text())
    return {**case["settings"], "mode": mode}


def _quickbooks(name: str, realm: str, mode: str, sandbox: str) -> dict[str, Any]:
    return {
        "id": name,
        "vendor": "quickbooks",
        "role": "target",
        "account": realm,
        "environment": "sandbox",
        "base_url": f"{sandbox}/quickbooks/v3/company/{{account}}",
        "token_url": f"{sandbox}/quickbooks/oauth2/v1/tokens/bearer",
        "start": "beginning",
        "secrets": {
            "client_id": {"env": "QBO_CLIENT"},
            "client_secret": {"env": "QBO_SECRET"},
            "refresh_token": {"env": f"QBO_REFRESH_{mode.split('_')[-1].upper()}"},
        },
        "limits": {"windows": [{"calls": 100, "seconds": 1}], "concurrency": 10},
        "parking": {"delays_seconds": [0.5, 1, 2]},
        "settings": _quickbooks_settings(mode),
    }


def configuration(sandbox: str, http_port: int) -> dict[str, Any]:
    """The whole `tillstream.yaml`."""
    return {
        "organisation": "test",
        "books": {"grace_seconds": 7200, "revision_every_seconds": 0},
        "connections": [
            {
                "id": "square-main",
                "vendor": "square",
                "role": "source",
                "account": "ML1",
                "environment": "sandbox",
                "base_url": f"{sandbox}/square",
                "public_url": f"http://127.0.0.1:{http_port}/webhooks/square-main",
                "start": "beginning",
                "limits": {"windows": [{"calls": 500, "seconds": 1}], "concurrency": 16},
                "secrets": {
                    "signature_key": {"env": "SQUARE_SIGNATURE_KEY"},
                    "access_token": {"env": "SQUARE_TOKEN"},
                },
            },
            _quickbooks("qbo-receipts", "1001", "receipts", sandbox),
            _quickbooks("qbo-journal", "1002", "daily_journal", sandbox),
            {
                "id": "hubspot-main",
                "vendor": "hubspot",
                "role": "target",
                "account": "portal-1",
                "environment": "sandbox",
                "base_url": f"{sandbox}/hubspot",
                "start": "beginning",
                "limits": {"windows": [{"calls": 100, "seconds": 1}], "concurrency": 8},
                "secrets": {"access_token": {"env": "HUBSPOT_TOKEN"}},
                "parking": {"delays_seconds": [0.5, 1, 2]},
                "settings": {},
            },
        ],
    }
