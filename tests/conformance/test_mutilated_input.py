"""Whatever is missing or of the wrong type in what a vendor sends: a plain refusal, never another exception."""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import Any

import pytest

from libs.connectors.contract.source import MalformedNotification, Unmappable
from tools.golden import Case, SourceCase, cases, load, mapped_by

CASES = tuple(case for case in cases() if b'"notification"' in (case.folder / "in.json").read_bytes())
# So many places of each case, chosen by the case's name: a run is repeatable, and all cases together reach most fields.
PLACES = 15
MISSING = object()
INSTEAD: tuple[Any, ...] = (
    MISSING,
    None,
    "",
    "not what was expected",
    7,
    -1,
    Decimal("0.5"),
    True,
    [],
    {},
    [None],
    [7],
    {"x": None},
)

Path = tuple[str | int, ...]
connector_of = cache(load)


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every place in the JSON."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield (*path, name)
        yield from places(item, (*path, name))


def without(document: Any, path: Path, instead: Any) -> Any:
    """A copy in which something else, or nothing, stands at the place."""
    changed = copy.deepcopy(document)
    holder = changed
    for name in path[:-1]:
        holder = holder[name]
    if instead is MISSING:
        del holder[path[-1]]
    else:
        holder[path[-1]] = copy.deepcopy(instead)
    return changed


def plain(path: Path) -> str:
    return ".".join(str(name) for name in path)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_mutilated_input_is_refused_or_read_and_never_crashes(case: Case) -> None:
    source, given = connector_of(case.vendor).source, case.input()
    assert source is not None
    assert isinstance(given, SourceCase)
    document = {"body": given.notification.body, "parts": given.parts}
    chance = random.Random(str(case))
    every = [path for path in places(document) if len(path) > 1 or path == ("body",)]
    crashes: Counter[str] = Counter()
    for path in chance.sample(every, min(PLACES, len(every))):
        for instead in INSTEAD:
            changed = without(document, path, instead)
            if "body" not in changed:
                continue
            notification = given.notification.model_copy(update={"body": changed["body"]})
            try:
                mapped_by(source, given.model_copy(update={"notification": notification, "parts": changed["parts"]}))
            except (MalformedNotification, Unmappable):
                continue
            except Exception as error:  # noqa: BLE001 - any other is what is looked for
                what = "missing" if instead is MISSING else f"{instead!r}"
                crashes[f"{plain(path)} = {what}: {type(error).__name__}: {str(error)[:100]}"] += 1
    assert not crashes, "\n" + "\n".join(crashes)
