"""What was found, and what is put in its place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

REMOVED = "[card data removed]"
# What may already stand where something was cut.
MARKER = re.compile(r"\[card data removed(?:, ends [0-9]{4})?\]")


class Rule(StrEnum):
    """By what card data was recognised."""

    CARD_FIELD = "card_field"  # a field that holds a card number, or that the vendor's manifest names
    SENSITIVE_FIELD = "sensitive_field"  # a field that holds a security code, a track or a PIN
    NUMBER = "number"  # digits that are a card number
    TRACK = "track"  # a magnetic stripe, or a chip's equivalent of it
    SECURITY_CODE = "security_code"  # named so in a text
    ENCODED = "encoded"  # one of these inside percent-encoded or base64 text


@dataclass(frozen=True)
class Finding:
    """One place from which card data was cut: `order.notes[2].text`. It never holds a value."""

    path: str
    rule: Rule


def number_removed(digits: str) -> str:
    """What replaces a card number: of its digits at most the last four are kept (PCI DSS 4.0, requirement 3.4.1)."""
    return f"[card data removed, ends {digits[-4:]}]"
