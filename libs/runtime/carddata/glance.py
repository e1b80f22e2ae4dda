"""A glance at a whole document: most hold no card data, and that can be told without looking at each value by itself.

All texts of the document are put side by side and searched in a few passes that run in C, for anything that the search
of single values could take for card data. What such a pass points at is then read as the search would read it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from libs.runtime.carddata.fields import Field, FieldNames
from libs.runtime.carddata.issuers import SHORTEST
from libs.runtime.carddata.texts import SHORTEST_BASE64, SHORTEST_TEXT, clean, is_harmless

_LEAST_NUMBER = 10 ** (SHORTEST - 1)
# A longer integer than any id or number that is looked at here.
_TOO_GREAT = 10**64
_KNOWN_NAMES, _LONGEST_KNOWN_NAME = 4096, 64
_KNOWN_WORDS, _WORD = 1024, re.compile("[a-z_]{16,40}")


def _table(**signs: bytes) -> bytes:
    """For `bytes.translate`: each of the bytes becomes its sign (`d`, `m`, `w`), all others a space."""
    table = bytearray(b" " * 256)
    for sign, given in signs.items():
        for byte in given:
            table[byte] = ord(sign)
    return bytes(table)


_DIGITS = b"0123456789"
_LETTERS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
# Digits and whatever may stand between them (ASCII's part of the separators); marks of a name before a value or of an
# encoding. A run of the former that is as long as the shortest card number may be one.
_NUMBERS = _table(d=_DIGITS + b" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f.+_-\x00", m=b"=>:%")
_LONG_NUMBER = b"d" * SHORTEST
_MARK = b"m"
# What base64 is written in.
_TOKENS = _table(w=_DIGITS + _LETTERS + b"+/_-")
_LONG_TOKEN = b"w" * SHORTEST_BASE64
# Between two texts; stands for nothing in any of these, and a text that holds it is not glanced at.
_BESIDE, _BESIDE_BYTE = "\x01", b"\x01"


class Glance:
    """Glances at documents of one vendor; it remembers what their names mean."""

    def __init__(self, names: FieldNames, levels: int) -> None:
        self._names, self._levels = names, levels
        # Names that decide nothing; those of them under which digits are an id; and names that may decide.
        self._plain: set[str] = set()
        self._ids: set[str] = set()
        self._deciding: dict[str, Field] = {}
        # Long words that come again and again, such as `partially_refunded`, and could be base64 but are not.
        self._words: set[str] = set()

    def is_clean(self, document: Any) -> bool:
        """Whether a search would find nothing. False says only that it has to be searched."""
        texts = self._texts(document) if type(document) in (dict, list) else None
        return texts is not None and self._all_harmless(texts)

    def _texts(self, document: Any) -> list[str] | None:
        """All that could be card data by its pattern; None when a name decides, or nothing can be said at a glance."""
        texts: list[str] = []
        plain, ids = self._plain, self._ids
        level: list[Any] = [document]
        for _ in range(self._levels):
            deeper: list[Any] = []
            for container in level:
                if type(container) is dict:
                    if not plain.issuperset(container) and self._decides(container):
                        return None
                    pairs: Iterable[tuple[str, Any]] = container.items()
                else:
                    pairs = (("", item) for item in container)
                for name, item in pairs:
                    kind = type(item)
                    if kind is str:
                        texts.append(item)
                    elif kind is int:
                        if not -_LEAST_NUMBER < item < _LEAST_NUMBER and name not in ids:
                            if abs(item) > _TOO_GREAT:
                                return None
                            texts.append(str(abs(item)))
                    elif kind is dict or kind is list or kind is tuple:
                        if item:
                            deeper.append(item)
                    elif (kind is Decimal or kind is float) and not _is_small(item):
                        return None
            if not deeper:
                return texts
            level = deeper
        return None

    def _decides(self, container: Mapping[str, Any]) -> bool:
        """Whether the name of a field, or a name that is itself card data, may be enough for something to be cut."""
        return any(name not in self._plain and self._name_decides(name, item) for name, item in container.items())

    def _name_decides(self, name: str, item: Any) -> bool:
        field = self._deciding.get(name) or self._names.field(name)
        if field.decides or field is Field.NUMBER_OF_CARD:
            self._remember(name, field)
            if item is None or item == "":
                return False
            # `number` is mostly a number of something else, too short for a card's.
            short = (type(item) is int and abs(item) < _LEAST_NUMBER) or (type(item) is str and len(item) < SHORTEST)
            return not (short and field is Field.NUMBER_OF_CARD)
        if not self._is_harmless(name):
            return True
        self._remember(name, field)
        return False

    def _remember(self, name: str, field: Field) -> None:
        if len(name) > _LONGEST_KNOWN_NAME:
            return
        if len(self._plain) + len(self._deciding) >= _KNOWN_NAMES:
            for names in (self._plain, self._ids, self._deciding):
                names.clear()
        if field.decides or field is Field.NUMBER_OF_CARD:
            self._deciding[name] = field
            return
        self._plain.add(name)
        if field is Field.ID:
            self._ids.add(name)

    def _all_harmless(self, texts: list[str]) -> bool:
        joined = _BESIDE.join(texts)
        if not joined.isascii():
            # Digits and spaces of other scripts are for the patterns that know them.
            if not all(text.isascii() or self._is_harmless(text) for text in texts):
                return False
            texts = [text for text in texts if text.isascii()]
            joined = _BESIDE.join(texts)
        if joined.count(_BESIDE) >= max(1, len(texts)):
            return False
        data = joined.encode()
        numbers, tokens, lower = data.translate(_NUMBERS), data.translate(_TOKENS), data.lower()
        seen: set[int] = set()
        for where, what in (
            (numbers, _LONG_NUMBER), (numbers, _MARK), (tokens, _LONG_TOKEN),
            (lower, b"cv"), (lower, b"cav2"), (lower, b"card "),
        ):  # fmt: skip
            at = where.find(what)
            while at >= 0:
                start = data.rfind(_BESIDE_BYTE, 0, at) + 1
                end = data.find(_BESIDE_BYTE, at)
                end = len(data) if end < 0 else end
                if start not in seen:
                    seen.add(start)
                    if not self._is_harmless(joined[start:end]):
                        return False
                at = where.find(what, end)
        return True

    def _is_harmless(self, text: str) -> bool:
        """As the search of a single text would decide."""
        if text in self._words or len(text) < SHORTEST_TEXT or is_harmless(text):
            return True
        if clean(text, self._names).rules:
            return False
        if len(self._words) < _KNOWN_WORDS and _WORD.fullmatch(text):
            self._words.add(text)
        return True


def _is_small(number: Decimal | float) -> bool:
    """Whether its whole part is too short for a card number."""
    finite = number.is_finite() if isinstance(number, Decimal) else math.isfinite(number)
    return finite and -_LEAST_NUMBER < number < _LEAST_NUMBER
