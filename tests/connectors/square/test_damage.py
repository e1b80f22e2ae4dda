"""Damaged notifications and snapshots: told apart from readable ones, and never a crash."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from typing import Any

import pytest

from libs.connectors.contract.dry_run import map_notification
from libs.connectors.contract.source import MalformedNotification, Notification, SourceSettings, Unmappable
from tests.connectors.square.recorded import CASES, source

STRIDE = int(os.environ.get("TILLSTREAM_DAMAGE_STRIDE", "11"))
DROPPED = object()
DAMAGE: tuple[Any, ...] = (
    DROPPED,
    None,
    "",
    "x" * 5000,
    -1,
    10**30,
    True,
    1.5,
    [],
    [None],
    {},
    {"amount": "12"},
    "9999-12-31T23:59:59-12:00",
    "1e400",
    "\x00",
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value but the whole."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        yield (*path, key)
        yield from places(item, (*path, key))


def damaged(value: Any, path: tuple[Any, ...], damage: Any) -> Any:
    """A copy with one place dropped or replaced."""
    whole = copy.deepcopy(value)
    holder = whole
    for key in path[:-1]:
        holder = holder[key]
    if damage is DROPPED:
        del holder[path[-1]]
    else:
        holder[path[-1]] = damage
    return whole


def outcome(body: Any, parts: dict[str, Any], settings: SourceSettings) -> str:
    """How it ended; anything but the three ways that a connector may end fails the test."""
    try:
        _, mapped = map_notification(source, Notification({}, body), parts, settings)
    except (MalformedNotification, Unmappable) as error:
        text = str(error)
        assert "mia@" not in text.lower()
        assert "5550142" not in text
        return type(error).__name__
    for each in mapped:
        for event in each.outcome.events if each.outcome else ():
            event.model_dump_json()
    return "mapped"


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_field_in_turn(name: str) -> None:
    case = CASES[name]
    settings = SourceSettings.model_validate(case.settings)
    given = {"body": case.notification.body, "parts": case.parts}
    ends = set()
    for index, path in enumerate(places(given)):
        if path in (("body",), ("parts",)):
            continue
        # Every place is damaged in some ways, and every way comes to many places: all of them in all take minutes.
        for damage in DAMAGE[index % STRIDE :: STRIDE]:
            hurt = damaged(given, path, damage)
            ends.add(outcome(hurt["body"], hurt["parts"], settings))
    assert "MalformedNotification" in ends


@pytest.mark.parametrize("body", [None, [], "text", 7, {}, {"type": 5}, {"type": "payment.updated"}])
def test_a_body_that_is_no_notification(body: Any) -> None:
    with pytest.raises(MalformedNotification):
        source.identify(Notification({}, body))


def test_what_is_wrong_is_named_by_its_path_without_the_value() -> None:
    case = CASES["card_sale_with_tip"]
    hurt = damaged(case.parts, ("order:OrdDemo1", "line_items", 0, "quantity"), "secret words")
    with pytest.raises(Unmappable) as caught:
        map_notification(source, Notification({}, case.notification.body), hurt, SourceSettings())
    assert caught.value.path == "order:OrdDemo1.line_items[0].quantity"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "damage"),
    [
        (("order:OrdDemo1", "total_money", "currency"), "EUR"),
        (("order:OrdDemo1", "line_items", 0, "base_price_money", "currency"), "EUR"),
        (("order:OrdDemo1", "tenders", 0, "amount_money", "amount"), 14.4),
        (("order:OrdDemo1", "line_items"), "none"),
        (("order:OrdDemo1", "location_id"), DROPPED),
        (("payment:PayDemo1", "created_at"), "yesterday"),
        (("location:LPORTLAND0001", "timezone"), "Mars/Olympus"),
    ],
)
def test_what_decides_about_money_or_day_is_never_guessed(path: tuple[Any, ...], damage: Any) -> None:
    case = CASES["card_sale_with_tip"]
    with pytest.raises(Unmappable):
        map_notification(
            source, Notification({}, case.notification.body), damaged(case.parts, path, damage), SourceSettings()
        )
