"""Document numbers: deterministic, at most 21 characters, unique within a company."""

from __future__ import annotations

import base64
import hashlib
from datetime import date

MAX_LENGTH = 21  # XSD, Transaction.DocNumber


def code(name: str, length: int) -> str:
    """The first characters of a digest in capitals and digits: QuickBooks' search does not tell small from capital."""
    return base64.b32encode(hashlib.sha256(name.encode()).digest()).decode()[:length]


def day_number(prefix: str, books: str, day: date, revision: int) -> str:
    """The number of a day's journal entry, such as `POS-261121-K7Q2MA-1`.

    `books` names account, location and currency; its code is the same on every day, so that people recognise it.
    """
    readable = f"{prefix}{day:%y%m%d}-{code(books, 6)}-{revision}"
    if len(readable) <= MAX_LENGTH:
        return readable
    return prefix + code(f"{books} {day.isoformat()} {revision}", MAX_LENGTH - len(prefix))


def receipt_number(prefix: str, entity: str) -> str:
    """The number of a sale's or refund's receipt, made of its entity key."""
    return prefix + code(entity, 13)
