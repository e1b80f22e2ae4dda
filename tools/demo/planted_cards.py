"""Card numbers planted where none belong. They are the payment industry's published test numbers, no real cards."""

from __future__ import annotations

import base64

from tools.demo.till import Planted


def _forms(number: str, *written: str) -> tuple[str, ...]:
    """How the number could be found again: bare, as it was written, in base64."""
    return tuple(dict.fromkeys((number, *written, base64.b64encode(number.encode()).decode().rstrip("="))))


def _plant(place: str, text: str, number: str, *written: str) -> Planted:
    assert place in ("note", "attribute", "number")
    return Planted(place, text, _forms(number, *written))  # type: ignore[arg-type]


_IN_BASE64 = base64.b64encode(b"card 4012888888881881 exp 12/29").decode()

# In which vendor's sale, and what.
PLANTS: tuple[tuple[str, Planted], ...] = (
    ("square", _plant("note", "paid w/ 4111 1111 1111 1111", "4111111111111111", "4111 1111 1111 1111")),
    ("square", _plant("note", "Card 5555-5555-5555-4444 declined once", "5555555555554444", "5555-5555-5555-4444")),
    ("square", _plant("attribute", "378282246310005", "378282246310005")),
    ("square", _plant("attribute", f"ref {_IN_BASE64}", "4012888888881881", _IN_BASE64)),
    ("shopify", _plant("note", "customer read out 6011.1111.1111.1117", "6011111111111117", "6011.1111.1111.1117")),
    ("shopify", _plant("number", "3530111333300000", "3530111333300000")),
    ("shopify", _plant("attribute", "4242 4242-4242 4242", "4242424242424242", "4242 4242-4242 4242")),
)
