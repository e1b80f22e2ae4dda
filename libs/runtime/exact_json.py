"""JSON with exact numbers: a fraction is read as Decimal and written as the same number, never as a float."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

_encoder = msgspec.json.Encoder(decimal_format="number", enc_hook=str)
_sorted = msgspec.json.Encoder(decimal_format="number", enc_hook=str, order="sorted")
_decoder = msgspec.json.Decoder(float_hook=Decimal)

DecodeError = msgspec.DecodeError


def encode(value: Any) -> bytes:
    """The value as JSON. What JSON has no word for (an enum, a date) is written as text."""
    return _encoder.encode(value)


def encode_sorted(value: Any) -> bytes:
    """The same bytes for the same value, whatever the order of its fields."""
    return _sorted.encode(value)


def decode(data: bytes | str) -> Any:
    """The JSON value; raises DecodeError for anything else, invalid UTF-8 included."""
    return _decoder.decode(data)
