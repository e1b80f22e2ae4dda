"""Every body that the golden cases send has only elements, of the types and lengths, that Intuit's schema knows."""

from __future__ import annotations

import json
import os
import re
import xml.etree.ElementTree as ET
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[3]
SPECS = Path(os.environ.get("TILLSTREAM_VENDOR_SPECS", ROOT.parent / "shared" / "vendor-specs")) / "quickbooks"
CASES = ROOT / "libs" / "connectors" / "quickbooks" / "cases"
XS = "{http://www.w3.org/2001/XMLSchema}"
ENTITIES = {name.lower(): name for name in ("JournalEntry", "SalesReceipt", "RefundReceipt", "Customer", "Item")}
# The schema's documentation states the length for the desktop product here; the online reference allows 100.
LONGER = {"GivenName": 100, "FamilyName": 100, "Line1": 500, "Line2": 500}

pytestmark = pytest.mark.skipif(
    not SPECS.is_dir(), reason=f"Intuit's XSD is not at {SPECS} (set TILLSTREAM_VENDOR_SPECS)"
)


class Element(NamedTuple):
    type: str
    longest: int | None


@cache
def schema() -> dict[str, ET.Element]:
    files = ("Finance.xsd", "IntuitBaseTypes.xsd", "IntuitNamesTypes.xsd", "SalesTax.xsd")
    return {
        str(each.get("name")): each
        for file in files
        for each in ET.parse(SPECS / file).getroot()
        if each.tag in (f"{XS}complexType", f"{XS}simpleType")
    }


@cache
def elements(name: str) -> dict[str, Element]:
    """The elements of a complex type, its bases' included."""
    found: dict[str, Element] = {}
    for extension in schema()[name].iter(f"{XS}extension"):
        base = str(extension.get("base")).rpartition(":")[2]
        found |= elements(base) if base in schema() else {}
    for each in schema()[name].iter(f"{XS}element"):
        words = " ".join("".join(each.itertext()).split())
        lengths = [int(number) for number in re.findall(r"[Mm]ax\.? length: (\d+)", words)]
        found[str(each.get("name"))] = Element(str(each.get("type")), max(lengths, default=None))
    return found


def values(name: str) -> set[str]:
    return {str(each.get("value")) for each in schema()[name].iter(f"{XS}enumeration")}


def wrong(value: Any, kind: str, where: str) -> list[str]:
    """What the schema does not know about a value of that type."""
    if kind == "ReferenceType":
        fine = set(value) == {"value"} and (isinstance(value["value"], str) or set(value["value"]) == {"$remote"})
        return [] if fine else [f"{where}: no reference"]
    if kind in schema() and schema()[kind].tag == f"{XS}complexType":
        known = elements(kind)
        found = []
        for name, inner in value.items():
            if name == "sparse" and where.count(".") == 0:
                continue  # an attribute of the entity
            if name not in known:
                found.append(f"{where}.{name}: unknown")
                continue
            longest = LONGER.get(name, known[name].longest)
            for one in inner if isinstance(inner, list) else [inner]:
                found += wrong(one, known[name].type, f"{where}.{name}")
                if longest is not None and isinstance(one, str) and len(one) > longest:
                    found.append(f"{where}.{name}: longer than {longest}")
        return found
    allowed = values(kind) if kind in schema() else set()
    if allowed and value not in allowed:
        return [f"{where}: {value} is none of {sorted(allowed)}"]
    plain: dict[str, type | tuple[type, ...]] = {
        "xs:decimal": (int, Decimal),
        "xs:boolean": bool,
        "xs:string": (str, dict),
    }
    if not isinstance(value, plain.get(kind, object)):
        return [f"{where}: no {kind}"]
    return []


def bodies() -> list[tuple[str, str, dict[str, Any]]]:
    """Case, entity and body of everything that is sent."""
    return [
        (file.parent.name, ENTITIES[step["path"].strip("/")], step["json"])
        for file in sorted(CASES.glob("*/out.json"))
        for step in json.loads(file.read_text(), parse_float=Decimal).get("steps", ())
        if step["method"] == "POST"
    ]


@pytest.mark.parametrize(
    ("case", "entity", "body"), [pytest.param(*each, id=f"{each[0]}-{each[1]}") for each in bodies()]
)
def test_what_is_sent_is_in_the_schema(case: str, entity: str, body: dict[str, Any]) -> None:
    assert wrong(body, entity, entity) == [], case


def test_every_entity_is_covered() -> None:
    assert {entity for _, entity, _ in bodies()} == set(ENTITIES.values())


def test_the_check_sees_what_is_wrong() -> None:
    line = {"Amount": "5", "DetailType": "Nonsense", "JournalEntryLineDetail": {"PostingType": "Left", "Colour": "red"}}
    body = {"DocNumber": "D", "Line": [line], "Shade": 1}
    assert len(wrong(body, "JournalEntry", "JournalEntry")) == 5
