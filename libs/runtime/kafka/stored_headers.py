"""Record headers as they are kept in the database: readable where they are text, base64 where they are not."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from typing import Any

Headers = tuple[tuple[str, bytes | None], ...]


def printable(text: str) -> str:
    """Text that the database can keep: it takes every character but NUL."""
    return text.replace("\x00", "\ufffd")


def headers_to_json(headers: Iterable[tuple[str, bytes | None]]) -> list[list[str | None]]:
    """`[name, text]` each; `[name, base64, "base64"]` for bytes that are no text; `[name, null]` for a null header."""
    stored: list[list[str | None]] = []
    for name, value in headers:
        if value is None:
            stored.append([printable(name), None])
            continue
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = "\x00"
        if "\x00" in text:
            stored.append([printable(name), base64.b64encode(value).decode(), "base64"])
        else:
            stored.append([printable(name), text])
    return stored


def headers_from_json(stored: Sequence[Sequence[Any]] | None) -> Headers:
    """The headers as they were."""
    headers: list[tuple[str, bytes | None]] = []
    for name, value, *coding in stored or ():
        if value is None:
            headers.append((name, None))
        else:
            headers.append((name, base64.b64decode(value) if coding else str(value).encode()))
    return tuple(headers)
