"""Personal data behind stars: what an operator needs to understand a dead letter, without whom it is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HIDDEN = "***"

# Field names, in small letters and without separators, that hold personal data in canonical events and at vendors.
_PERSONAL = frozenset(
    (
        "email", "emailaddress", "primaryemailaddr", "contactemail", "phone", "phonenumber", "primaryphone", "mobile",
        "givenname", "familyname", "firstname", "lastname", "middlename", "fullname", "displayname", "nickname",
        "companyname", "company", "birthday", "birthdate", "dateofbirth", "note", "notes", "memo", "customernote",
        "lines1", "line1", "line2", "address1", "address2", "addressline1", "addressline2", "addressline3", "street",
        "postalcode", "zip", "postcode", "ip", "browserip", "clientip", "recipient", "buyeremailaddress",
        "cardholdername",
    )
)  # fmt: skip
# Everything inside these is personal.
_WHOLE = frozenset(("address", "billingaddress", "shippingaddress", "defaultaddress", "addresses", "clientdetails"))


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def masked(value: Any, *, inside: bool = False) -> Any:
    """The same document with personal data replaced; its shape stays. Names of goods and staff ids stay too."""
    if isinstance(value, Mapping):
        customer = {"given_name", "family_name", "email"} & set(value)
        return {name: _field(name, item, inside, bool(customer)) for name, item in value.items()}
    if isinstance(value, list):
        return [masked(item, inside=inside) for item in value]
    return HIDDEN if inside and value is not None else value


def _field(name: str, item: Any, inside: bool, customer: bool) -> Any:
    plain = _plain(name)
    if plain in _WHOLE or (plain == "name" and customer):
        return masked(item, inside=True)
    if plain in _PERSONAL:
        return masked(item, inside=True)
    return masked(item, inside=inside)
