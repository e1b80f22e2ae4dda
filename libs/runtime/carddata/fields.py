"""What the name of a field says about its value. Names are compared without case, underscores and dashes."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache

from libs.runtime.carddata.findings import MARKER, REMOVED, Rule, number_removed
from libs.runtime.carddata.issuers import LONGEST, SHORTEST


class Field(Enum):
    """How a field's value is read."""

    TEXT = auto()  # by pattern
    CARD = auto()  # the vendor's manifest has it cut, whatever it holds
    SENSITIVE = auto()  # security code, track, PIN: any digits in it
    CODE = auto()  # a name that mostly means something else (`pin`): three to twelve digits
    NUMBER = auto()  # a card number, also one whose check digit is wrong
    NUMBER_OF_CARD = auto()  # `number`: a card number if the object around it is a card
    CARD_OBJECT = auto()  # an object that describes a card
    ID = auto()  # digits alone are an id
    ARTICLE = auto()  # up to fourteen digits alone are an article number
    PHONE = auto()  # a telephone number

    def __init__(self, _: int) -> None:
        # Whether the name alone may be enough.
        self.decides = self._name_ in ("CARD", "SENSITIVE", "CODE", "NUMBER")


_NAMES = {
    Field.SENSITIVE: (
        "cvv cvv2 cvvcode cvvnumber cvc cvc2 cvccode cvn cvn2 cav2 icvv dcvv cardcvv cardcvc cardsecuritycode "
        "cardverificationvalue cardverificationcode cardverificationnumber verificationvalue "
        "track1 track2 track3 trackone tracktwo trackdata track1data track2data track3data track2equivalent "
        "track2equivalentdata trackequivalentdata rawtrack swipedata magstripe magstripedata magneticstripe magdata "
        "pinblock encryptedpin encryptedpinblock pindata cardpin onlinepin"
    ),
    Field.CODE: "pin pinnumber cid csc securitycode cardcode track",
    Field.NUMBER: (
        "pan fullpan cardpan primaryaccountnumber cardnumber cardnum cardno creditcardnumber creditcardno "
        "debitcardnumber paymentcardnumber ccnumber ccnum ccno acctnum dpan fpan"
    ),
    Field.NUMBER_OF_CARD: "number",
    Field.ID: "id ids gid gids uid uuid guid",
    Field.ARTICLE: "sku skus barcode barcodes gtin gtin8 gtin12 gtin13 gtin14 upc upca ean ean8 ean13 isbn isbn13 jan",
    Field.PHONE: "tel telephone mobile mobilenumber fax faxnumber msisdn whatsapp",
}
_BY_NAME = {name: field for field, names in _NAMES.items() for name in names.split()}
_ID_ENDING = re.compile(r"(?:[_\-.]|\b)[gu]?ids?$|(?:[a-z0-9])(?:Id|ID|Gid)s?$")

_DIGITS = re.compile(r"[0-9]+")
_ID = re.compile(r"(?:gid://[\w\-]+/\w+/)?[0-9]+")
_PHONE = re.compile(r"\+?[0-9](?:[ ().\-/]{0,2}[0-9])*")
# The longest number that E.164 allows; without its plus sign a shorter one, so that no card number hides there.
_PHONE_DIGITS, _BARE_PHONE_DIGITS, _ARTICLE_DIGITS = 15, 13, 14

# A number of which a mask leaves the last four digits: "•••• •••• •••• 4444".
_MASKED = re.compile(r"(?=.*[•●∙·*xX#.])[•●∙·*xX#.\s\-]*\d{0,4}")


def plain_name(name: str) -> str:
    """The name as it is compared: `Card-Number`, `card_number` and `cardNumber` are one."""
    return "".join(letter for letter in name if letter.isalnum()).lower()


class FieldNames:
    """What names mean at one vendor: its own declarations first, then what is common to all."""

    def __init__(self, card_fields: Collection[str], not_cards: Collection[str]) -> None:
        self._declared = {plain_name(name): Field.ID for name in not_cards}
        self._declared |= {plain_name(name): Field.CARD for name in card_fields}

    def field(self, name: str) -> Field:
        """What a value under this name is."""
        plain = plain_name(name)
        common = _BY_NAME.get(plain, Field.TEXT)
        declared = self._declared.get(plain)
        if declared and common is not Field.SENSITIVE:
            return declared
        if common is Field.TEXT and _ID_ENDING.search(name):
            return Field.ID
        if common is Field.TEXT and "phone" in plain:
            return Field.PHONE
        if common is Field.TEXT and plain.endswith(("card", "carddetails", "cardpayment", "paymentmethod")):
            return Field.CARD_OBJECT
        return common


@lru_cache(maxsize=256)
def field_names(card_fields: frozenset[str], not_cards: frozenset[str]) -> FieldNames:
    """The meanings of names for one manifest, built once."""
    return FieldNames(card_fields, not_cards)


def is_no_card(field: Field, value: str) -> bool:
    """Whether the field's name explains the digits: an id, an article or a telephone number and nothing beside it."""
    match field:
        case Field.ID:
            return _ID.fullmatch(value) is not None
        case Field.ARTICLE:
            return len(value) <= _ARTICLE_DIGITS and _DIGITS.fullmatch(value) is not None
        case Field.PHONE if _PHONE.fullmatch(value):
            count = sum(letter.isdigit() for letter in value)
            return count <= (_PHONE_DIGITS if value[0] == "+" else _BARE_PHONE_DIGITS)
    return False


def below(parent: Field, child: Field) -> Field:
    """What a field is inside a field: `number` in an object that is a card; all below a security code is sensitive."""
    if child is Field.NUMBER_OF_CARD:
        return Field.NUMBER if parent in (Field.CARD_OBJECT, Field.NUMBER) else below(parent, Field.TEXT)
    if parent is Field.SENSITIVE and child is not Field.CARD:
        return parent
    if parent is Field.NUMBER and child is Field.TEXT:
        return parent
    return child


@dataclass(frozen=True)
class Replaced:
    """What stands in a value's place, and why."""

    text: str
    rule: Rule


def ascii_digits(text: str) -> str:
    """The decimal digits of any script in the text, as ASCII."""
    return "".join(letter if letter.isascii() else str(int(letter)) for letter in text if letter.isdecimal())


def by_field(field: Field, value: str) -> Replaced | None:
    """What is put in place of a value for its field's name alone; None when it may stay, or its pattern decides."""
    if not field.decides or MARKER.fullmatch(value):
        return None
    digits = ascii_digits(value)
    is_number = SHORTEST <= len(digits) <= LONGEST and not any(letter.isalpha() for letter in value)
    match field:
        case Field.SENSITIVE if digits:
            return Replaced(REMOVED, Rule.SENSITIVE_FIELD)
        case Field.CODE if 3 <= len(digits) <= SHORTEST and value.strip().isdecimal():
            return Replaced(REMOVED, Rule.SENSITIVE_FIELD)
        case Field.CARD if value and not _MASKED.fullmatch(value):
            return Replaced(number_removed(digits) if is_number else REMOVED, Rule.CARD_FIELD)
        case Field.NUMBER if is_number:
            return Replaced(number_removed(digits), Rule.CARD_FIELD)
    return None
