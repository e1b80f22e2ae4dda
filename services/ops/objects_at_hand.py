"""Files that hold a vendor's objects, offered to the fetches for which a service would ask the vendor.

A file is one of: `{"parts": {...}}`, a dict keyed by part name, a vendor's answer, or a bare object. Answers and
objects are matched to a fetch by the object's id, which the fetch names in its path, query or body; a file called like
the part (`shop.json`) is that part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from libs.connectors.contract.http import Request, Response
from libs.connectors.contract.source import Fetch, Root, Source, Unmappable
from libs.runtime import exact_json

NOTHING = object()
_LONGEST_ID = 255
# What a connector's reader may raise when it is given another answer than the one it asked for.
_NOT_THIS_ANSWER = (Unmappable, ValueError, TypeError, LookupError, AttributeError)


@dataclass(frozen=True)
class Gathered:
    """The parts found for one root, and the optional fetches that were taken to answer "not there"."""

    parts: Mapping[str, Any]
    assumed_absent: tuple[Fetch, ...]


@dataclass(frozen=True)
class ObjectsAtHand:
    """What may stand in for the vendor's answers."""

    documents: Sequence[Any] = field(default=())

    def part(self, fetch: Fetch) -> Any:
        """The part that this fetch would bring, or NOTHING."""
        for document in self.documents:
            if isinstance(document, Mapping) and fetch.part in document:
                return document[fetch.part]
        wanted = frozenset(_names_in(fetch.request))
        for document in self.documents:
            value = _as_answer(fetch, document)
            if value is not NOTHING and _fits(value, document, wanted):
                return value
        for document in self.documents:
            if isinstance(document, Mapping) and "id" in document and _own_ids(document) & wanted:
                return document
        return NOTHING

    def gather(self, source: Source, root: Root) -> Gathered:
        """All parts of the root's snapshot that are at hand, asking the connector again as links become known."""
        parts, found = dict(root.have), dict[str, Any]()
        absent: list[Fetch] = []
        while needed := source.assemble(root.kind, root.id, parts):
            required_missing = False
            for fetch in needed:
                value = self.part(fetch)
                if value is not NOTHING:
                    parts[fetch.part] = found[fetch.part] = value
                elif fetch.optional:
                    parts[fetch.part] = None
                    absent.append(fetch)
                else:
                    required_missing = True
            if required_missing:
                break
        return Gathered(found, tuple(absent))


def offered(parts: Mapping[str, Any], files: Iterable[tuple[str, Any]]) -> tuple[Any, ...]:
    """The documents as offered: parts known by name first, then each file as whatever it may be, and by its name."""
    documents: list[Any] = [parts]
    for name, document in files:
        inside = document.get("parts") if isinstance(document, Mapping) else None
        documents += [inside] if isinstance(inside, Mapping) else [document, {name: document}]
    return tuple(documents)


def _as_answer(fetch: Fetch, document: Any) -> Any:
    """The document read as the answer to the fetch; NOTHING when it is none."""
    if fetch.items is None:
        return document if isinstance(document, Mapping) else NOTHING
    try:
        value = fetch.items(Response(200, {"content-type": "application/json"}, exact_json.encode(document)))
    except _NOT_THIS_ANSWER:
        return NOTHING
    return value if _says_something(value) else NOTHING


def _fits(value: Any, document: Any, wanted: frozenset[str]) -> bool:
    """Whether the answer is about what was asked: by id; an answer without any id is taken at its word."""
    ids = _own_ids(value)
    return bool(ids & wanted) if ids else value is not document


def _says_something(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_says_something(item) for item in value.values())
    if isinstance(value, list):
        return any(_says_something(item) for item in value)
    return value is not None


def _own_ids(value: Any) -> frozenset[str]:
    """The ids by which an object calls itself; of a wrapper or a list, those of what is directly inside."""
    if isinstance(value, Mapping):
        if "id" in value:
            return frozenset(_names(value["id"]))
        inside: Iterable[Any] = (item for item in value.values() if isinstance(item, Mapping) and "id" in item)
    elif isinstance(value, list):
        inside = (item for item in value if isinstance(item, Mapping))
    else:
        return frozenset()
    return frozenset(name for item in inside for name in _own_ids(item))


def _names(value: Any) -> tuple[str, ...]:
    """An id as it may be written elsewhere: whole, and the last piece of a global id or path."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ()
    text = str(value)
    if not text or len(text) > _LONGEST_ID or any(character.isspace() for character in text):
        return ()
    return (text, text.rpartition("/")[2])


def _names_in(request: Request) -> Iterable[str]:
    yield from request.path.split("/")
    for value in (*request.query.values(), *(request.form or {}).values()):
        yield from _names(value)
    yield from _scalars(request.json)


def _scalars(value: Any) -> Iterable[str]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _scalars(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _scalars(item)
    else:
        yield from _names(value)
