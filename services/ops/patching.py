"""Changing single fields of a JSON document: `data.lines.0.sku=ABC-1`."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from libs.runtime import exact_json

_INDEX = re.compile(r"\[(\d+)\]")


class CannotPatch(Exception):
    """The assignment does not fit the document; the message says where."""


@dataclass(frozen=True)
class Assignment:
    """One field and its new value."""

    path: tuple[str, ...]
    value: Any

    @property
    def text(self) -> str:
        """The path as it is written."""
        return ".".join(self.path)


def assignment(text: str) -> Assignment:
    """`path=value`; the value is JSON, or a text when it is none. Raises CannotPatch."""
    path, separator, stated = text.partition("=")
    parts = tuple(_INDEX.sub(r".\1", path).strip(".").split("."))
    if not separator or not all(parts):
        raise CannotPatch(f"{text!r} is not of the form path.to.field=value")
    try:
        value = exact_json.decode(stated)
    except (exact_json.DecodeError, RecursionError):
        value = stated
    return Assignment(parts, value)


def patched(document: Any, assignments: Sequence[Assignment]) -> Any:
    """The document with the fields changed; raises CannotPatch. Objects and lists on the way must be there already."""
    changed = copy.deepcopy(document)
    for each in assignments:
        _assign(changed, each)
    return changed


def at(document: Any, path: Sequence[str]) -> Any:
    """The value at the path, or None."""
    for step in path:
        if isinstance(document, dict):
            document = document.get(step)
        elif isinstance(document, list) and step.isdecimal() and int(step) < len(document):
            document = document[int(step)]
        else:
            return None
    return document


def _assign(document: Any, each: Assignment) -> None:
    holder = document
    for depth, step in enumerate(each.path):
        last = depth == len(each.path) - 1
        where = ".".join(each.path[: depth + 1])
        if isinstance(holder, dict):
            if last:
                holder[step] = each.value
            elif step not in holder:
                raise CannotPatch(f"there is no {where}; there are: {', '.join(holder) or 'no fields'}")
            else:
                holder = holder[step]
        elif isinstance(holder, list):
            if not step.isdecimal() or int(step) >= len(holder):
                raise CannotPatch(f"there is no {where}: the list has {len(holder)} entries, counted from 0")
            if last:
                holder[int(step)] = each.value
            else:
                holder = holder[int(step)]
        else:
            raise CannotPatch(f"{'.'.join(each.path[:depth])} is no object and no list")
