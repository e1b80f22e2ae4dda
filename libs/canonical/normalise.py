"""Explicit normalisation: names, phones, e-mail addresses and SKUs. What cannot be read stays out, never guessed."""

from __future__ import annotations

import re
from collections.abc import Mapping

import phonenumbers
from nameparser import HumanName

from libs.canonical.frozen import Frozen

_EMAIL = re.compile(r"^[^@\s,;<>\"]{1,64}@[^@\s,;<>\"]{1,185}\.[^@\s.,;<>\"]{2,}$")


def phone(text: str | None, region: str | None) -> str | None:
    """The number in E.164, or None when it is no possible number. `region` (ISO 3166-1) reads national numbers."""
    if not text:
        return None
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def email(text: str | None) -> str | None:
    """The address trimmed, its domain in lower case; None when it is no address."""
    trimmed = (text or "").strip()
    if not _EMAIL.match(trimmed):
        return None
    local, _, domain = trimmed.rpartition("@")
    return f"{local}@{domain.lower()}"


def names(given: str | None, family: str | None, single: str | None = None) -> tuple[str | None, str | None]:
    """Given and family name; a single string is split by the rules of personal names (titles and suffixes off)."""
    given, family = (given or "").strip() or None, (family or "").strip() or None
    whole = (single or "").strip()
    if given or family or not whole:
        return given, family
    parsed = HumanName(whole)
    first = " ".join(part for part in (parsed.first, parsed.middle) if part)
    return first or None, parsed.last or None


class SkuRules(Frozen, extra="forbid"):
    """How SKUs of one system become the retailer's own: a crosswalk first, then the general rules."""

    crosswalk: Mapping[str, str] = {}
    strip_leading_zeros: bool = False
    upper_case: bool = False

    def apply(self, sku: str | None) -> str | None:
        """The retailer's SKU; None stays None, and an empty or blank one is none."""
        trimmed = (sku or "").strip()
        if not trimmed:
            return None
        if trimmed in self.crosswalk:
            return self.crosswalk[trimmed]
        if self.strip_leading_zeros and trimmed.isdecimal():
            trimmed = trimmed.lstrip("0") or "0"
        return trimmed.upper() if self.upper_case else trimmed
