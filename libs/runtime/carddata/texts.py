"""Card data inside text: numbers, tracks, security codes; also percent-encoded, in base64 and in a chip's hex data."""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from urllib.parse import unquote

from libs.runtime.carddata.fields import Field, FieldNames, ascii_digits, by_field, is_no_card
from libs.runtime.carddata.findings import REMOVED, Rule, number_removed
from libs.runtime.carddata.issuers import LONGEST, SHORTEST, is_card_number

# Spaces, dashes and dots as people and programs write them, the plus sign of forms, the zero bytes of UTF-16.
_SEPARATOR = r"[\s.+_\-\x00\xad\xb7\u200b-\u200d\u2010-\u2015\u2060\u2212\ufeff]"
_RUN = re.compile(rf"\d(?:{_SEPARATOR}{{0,3}}\d){{{SHORTEST - 1},}}")
_ASCII_RUN = re.compile(_RUN.pattern, re.ASCII)
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+\-][0-9]{2}:?[0-9]{2})?$"
)
_GROUP = re.compile(r"\d+")
# A latitude, a rate: the text as a whole is a small number with many decimals.
_DECIMAL = re.compile(r"-?[0-9]{1,3}\.[0-9]+")

# ISO/IEC 7813: track 1 is %B number ^ name ^ expiry, service code, data ?; track 2 ; number = expiry, code, data ?
_TRACK1 = re.compile(r"%?[Bb](\d[\d ]{11,22})\^[^^\r\n]{1,60}\^[^?\"\s]*\??")
_TRACK2 = re.compile(r";?(?<!\d)(\d{12,19})[=Dd]\d{4,}[fF]?\??")
# EMV book 3, annex A: one byte of length follows the tag. 57 is track 2 with D as separator, 5A the number in whole
# bytes, so that an odd one ends in F.
_EMV_TRACK = re.compile(r"(?i)57[01][0-9A-F]([0-9]{12,19})D[0-9]{4,}F?")
_EMV_NUMBER = re.compile(
    rf"(?i)5A(?:{'|'.join(f'{n:02X}(?:[0-9]{{{2 * n}}}|[0-9]{{{2 * n - 1}}}F)' for n in range(6, 11))})"
)

_CODE_IN_WORDS = re.compile(
    r"(?i)(?<![a-z])(?:cvv2?|cvc2?|cvn2?|cav2|card (?:security|verification) (?:code|value|number))(?![a-z0-9])"
    r"(?:[^\w\n]|\b(?:is|code|number|no)\b){0,8}?(\d{3,4})(?!\d)"
)
_NAMES_OF_CODES = re.compile(r"[Cc](?:[Vv]|[Aa][Vv]2|[Aa][Rr][Dd] )")
# A name and its value in a form, a query, JSON or XML: `cvv=123`, `card[cvv]=123`, `"cvv": "123"`, `<cvv>123`.
_QUOTE = r"""[\\"'\]]*"""
_NAME = rf"([A-Za-z][\w\-]{{1,63}}){_QUOTE}\s{{0,3}}[:=>]\s{{0,3}}{_QUOTE}"
_NAMED = re.compile(rf"""{_NAME}((?<=")[^"\\]+|[^\s"'\\&<>,;{{}}\[\]]+)""")
_NAME_BEFORE = re.compile(rf"{_NAME}$")
_STRUCTURED = re.compile(r"\s*[\[{<]|[a-z][a-z0-9+.\-]*://\S+$")

# Digests and UUIDs: digits in them are chance.
_DIGEST = re.compile(
    r"(?i)(?<![0-9a-z])(?=[0-9]*[a-f])"
    r"(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})(?![0-9a-z])"
)
_GLOBAL_ID = re.compile(r"gid://[\w\-]+/\w+/[0-9]+(?:\?[\w=&\-]*)?")

_PERCENT = re.compile(r"%[0-9A-Fa-f]{2}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-]{16,}={0,2}")
# Three digits in base64 are always of this shape; so a number is seen wherever in a longer token it begins.
_DIGITS_IN_BASE64 = re.compile(r"[MNO][DTjz][AEIMQUYcgk][w-z0-5]")
_URL_ALPHABET = str.maketrans("-_", "+/")
_NO_DIGITS = bytes(byte for byte in range(256) if not 48 <= byte <= 57)
SHORTEST_BASE64 = 16
# Shorter texts hold neither a card number nor a named security code ("cvv 123").
SHORTEST_TEXT = 6
_EMV_HINT, _EMV_TRACK_HINT = b"\x5a", b"\x57"
_SLICE, _OVERLAP = 65536, 256  # both divisible by four, so that slices stay aligned

# How deep encodings within encodings are followed, and how often a text is read again after something was cut.
_LAYERS, _PASSES = 3, 8


@dataclass(frozen=True)
class Cleaned:
    """A text without card data, and by which rules something was cut."""

    text: str
    rules: tuple[Rule, ...] = ()


def is_harmless(text: str) -> bool:
    """A quick look for every text of every document: False does not say yet that card data is in it."""
    if "=" in text or ">" in text or "%" in text or ":" in text:
        # A time has colons but no names.
        return _TIME.match(text) is not None
    if _NAMES_OF_CODES.search(text):
        return False
    return len(text) < SHORTEST or not ((_ASCII_RUN if text.isascii() else _RUN).search(text) or _BASE64.search(text))


def clean(text: str, names: FieldNames, layer: int = 0, *, whole: bool = False) -> Cleaned:
    """The text without card data. Reading the result again finds nothing more.

    `whole`: it is a whole body of names and values, in which an id may be known by its name; a text inside a document
    is one only when it looks like an address, JSON or XML.
    """
    if _DECIMAL.fullmatch(text) or _GLOBAL_ID.fullmatch(text):
        return Cleaned(text)
    rules: list[Rule] = []
    named = whole or _STRUCTURED.match(text) is not None
    for _ in range(_PASSES):
        before = len(rules)
        text = _pass(text, names, layer, named, rules)
        if len(rules) == before:
            break
    return Cleaned(text, tuple(rules))


def _pass(text: str, names: FieldNames, layer: int, named: bool, rules: list[Rule]) -> str:
    size = len(text)
    if size >= SHORTEST and _RUN.search(text):
        text = _without_tracks(text, rules)
        text = _without_numbers(text, names if named else None, rules)
    if "=" in text or ":" in text or ">" in text:
        text = _NAMED.sub(lambda found: _without_named_value(found, names, rules), text)
    if _NAMES_OF_CODES.search(text):
        text = _CODE_IN_WORDS.sub(lambda found: _without_code(found, rules), text)
    if layer < _LAYERS and size >= SHORTEST:
        if "%" in text and _PERCENT.search(text):
            text = _without_percent_encoded(text, names, layer, named, rules)
        if size >= SHORTEST_BASE64:
            text = _BASE64.sub(lambda found: _without_base64(found[0], names, layer, rules), text)
    return text


def _without_tracks(text: str, rules: list[Rule]) -> str:
    def track(found: re.Match[str]) -> str:
        if not is_card_number(ascii_digits(found[1])):
            return found[0]
        rules.append(Rule.TRACK)
        return REMOVED

    def number(found: re.Match[str]) -> str:
        digits = found[0][4:].rstrip("Ff")
        if not is_card_number(digits):
            return found[0]
        rules.append(Rule.NUMBER)
        return number_removed(digits)

    for pattern in (_TRACK1, _EMV_TRACK, _TRACK2):
        text = pattern.sub(track, text)
    return _EMV_NUMBER.sub(number, text)


def _without_numbers(text: str, names: FieldNames | None, rules: list[Rule]) -> str:
    chance = [found.span() for found in _DIGEST.finditer(text)]
    pieces: list[str] = []
    done = 0
    for run in _RUN.finditer(text):
        if any(start <= run.start() and run.end() <= end for start, end in chance):
            continue
        if names and is_no_card(_field_before(text, run.start(), names), run[0]):
            continue
        for start, end in _numbers_in(run):
            pieces += (text[done:start], number_removed(ascii_digits(text[start:end])))
            done = end
            rules.append(Rule.NUMBER)
    return "".join((*pieces, text[done:])) if done else text


def _field_before(text: str, position: int, names: FieldNames) -> Field:
    named = _NAME_BEFORE.search(text, max(0, position - 80), position)
    return names.field(named[1]) if named else Field.TEXT


def _numbers_in(run: re.Match[str]) -> list[tuple[int, int]]:
    """Where card numbers stand in a run of digits and separators: whole groups of digits, since a date, an expiry or a
    further number may stand beside them; in one group too long for a card number, its beginning."""
    groups = [group.span() for group in _GROUP.finditer(run.string, run.start(), run.end())]
    digits = [ascii_digits(run.string[start:end]) for start, end in groups]
    found: list[tuple[int, int]] = []
    first = 0
    while first < len(groups):
        start, end = groups[first]
        last = _last_group(digits, first)
        if last is not None:
            found.append((start, groups[last][1]))
            first = last
        elif end - start > LONGEST:
            found += _at_its_beginning(digits[first], start)
        first += 1
    return found


def _last_group(groups: list[str], first: int) -> int | None:
    """The group with which the longest card number from `first` on ends."""
    last, digits = None, ""
    for at in range(first, len(groups)):
        digits += groups[at]
        if len(digits) > LONGEST:
            break
        if is_card_number(digits):
            last = at
    return last


def _at_its_beginning(digits: str, start: int) -> list[tuple[int, int]]:
    """Card numbers one after the other from the beginning of a long group of digits, which stands at `start`."""
    found = []
    at = 0
    while length := next((n for n in range(LONGEST, SHORTEST - 1, -1) if is_card_number(digits[at : at + n])), 0):
        length = min(length, len(digits) - at)
        found.append((start + at, start + at + length))
        at += length
    return found


def _without_named_value(found: re.Match[str], names: FieldNames, rules: list[Rule]) -> str:
    field, value = names.field(found[1]), found[2]
    in_words = found[0][-len(value) - 1] not in "\"'=>"
    if field is Field.CODE and in_words:  # "PIN: 560001" is a postal code in India
        return found[0]
    replaced = by_field(field, value)
    if replaced is None:
        return found[0]
    rules.append(replaced.rule)
    return found[0][: -len(value)] + replaced.text


def _without_code(found: re.Match[str], rules: list[Rule]) -> str:
    rules.append(Rule.SECURITY_CODE)
    return found[0][: -len(found[1])] + REMOVED


def _without_percent_encoded(text: str, names: FieldNames, layer: int, named: bool, rules: list[Rule]) -> str:
    """The text as it is when nothing is hidden in it, else decoded and cut: then it is no address any more."""
    cleaned = clean(unquote(text), names, layer + 1, whole=named)
    if not cleaned.rules:
        return text
    rules.append(Rule.ENCODED)
    return cleaned.text


def _without_base64(token: str, names: FieldNames, layer: int, rules: list[Rule]) -> str:
    plain = token.rstrip("=").translate(_URL_ALPHABET)
    offsets = range(4) if _DIGITS_IN_BASE64.search(plain) else (0,)
    for at in range(0, len(plain), _SLICE - _OVERLAP):
        for offset in offsets:
            if _hides_card_data(_decoded(plain[at + offset : at + offset + _SLICE]), names, layer):
                rules.append(Rule.ENCODED)
                return REMOVED
    return token


def _decoded(plain: str) -> bytes:
    whole = plain[:-1] if len(plain) % 4 == 1 else plain
    return binascii.a2b_base64(whole + "=" * (-len(whole) % 4))


def _hides_card_data(data: bytes, names: FieldNames, layer: int) -> bool:
    if data.isascii() or len(data.translate(None, _NO_DIGITS)) >= SHORTEST:
        return bool(clean(data.decode("utf-8", "replace"), names, layer + 1).rules)
    return bool((_EMV_HINT in data or _EMV_TRACK_HINT in data) and _has_chip_data(data.hex()))


def _has_chip_data(digits: str) -> bool:
    """Whether bytes (as hex) hold a chip's track or number behind its tag.

    Only there: in the hex of any opaque id a track without its tag is found by chance, about once in 50,000 ids.
    """
    for pattern in (_EMV_TRACK, _EMV_NUMBER):
        for at in range(0, len(digits), 2):
            found = pattern.match(digits, at)
            if found and is_card_number((found[1] if pattern is _EMV_TRACK else found[0][4:]).rstrip("Ff")):
                return True
    return False
