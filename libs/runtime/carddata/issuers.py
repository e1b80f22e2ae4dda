"""Which digits are a card number: by issuer prefix, by length, and by check digit.

Ranges as published by the card schemes (ISO/IEC 7812 issuer identification numbers). UATP (prefix 1, airlines only) is
left out: timestamps in milliseconds and many vendors' ids begin so.
"""

from __future__ import annotations

import re

SHORTEST, LONGEST = 12, 19

_SCHEMES = (
    ("4", (13, 16, 19)),  # Visa
    ("5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720", (16,)),  # Mastercard
    ("3[47]", (15,)),  # American Express
    ("30[0-5]|309|36|3[89]", (14, 15, 16, 17, 18, 19)),  # Diners Club
    ("6011|64[4-9]|65", (16, 17, 18, 19)),  # Discover
    ("352[89]|35[3-8]", (16, 17, 18, 19)),  # JCB
    ("2131|1800", (15,)),  # JCB, old
    ("62|81", (16, 17, 18, 19)),  # UnionPay
    ("220[0-4]", (16, 17, 18, 19)),  # Mir
    ("60|82|508|353|356|9792", (16,)),  # RuPay, Troy
    ("636", (16, 17, 18, 19)),  # InterPayment, Elo
    ("50|5[678]|639|67|6304", (12, 13, 14, 15, 16, 17, 18, 19)),  # Maestro and the debit schemes of its ranges
)
_ISSUED = {
    length: re.compile("|".join(prefix for prefix, lengths in _SCHEMES if length in lengths))
    for length in range(SHORTEST, LONGEST + 1)
}
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def passes_luhn(digits: str) -> bool:
    """Whether the check digit is right (ISO/IEC 7812-1, annex B)."""
    values = [ord(digit) - 48 for digit in reversed(digits)]
    return (sum(values[::2]) + sum(_DOUBLED[value] for value in values[1::2])) % 10 == 0


def is_card_number(digits: str) -> bool:
    """Whether the digits (ASCII, without separators) are a card number of a known scheme."""
    issued = _ISSUED.get(len(digits))
    return issued is not None and issued.match(digits) is not None and passes_luhn(digits)
