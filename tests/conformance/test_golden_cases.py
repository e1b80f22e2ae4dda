"""Every golden case of every connector: as recorded, repeatable, adding up, free of card numbers, the same by pull."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest

from libs.canonical.day import lines_of_refund, lines_of_sale, paid_for, paid_with
from libs.canonical.event import AnyEvent
from libs.canonical.sale import Amendment, Difference, Refund, Sale, check_refund, check_sale
from libs.connectors.contract.connector import FOLDER, Connector
from libs.connectors.contract.dry_run import Mapped
from libs.connectors.contract.http import Response
from libs.connectors.contract.source import Identified, MalformedNotification, Notification, Source, Unmappable
from libs.runtime.carddata import cut
from tools.golden import (
    Case,
    Pulled,
    RecordedNotification,
    SourceCase,
    cases,
    difference,
    load,
    mapped_by,
    page,
    read_json,
    result,
    write_json,
)

VENDORS = sorted(manifest.parent.name for manifest in FOLDER.glob("*/manifest.yaml"))
CASES = tuple(cases())
DOES_NOT_ADD_UP = "does_not_add_up"
# Fields of a result that hold vendors' own ids, beside those the manifest names.
ID_FIELDS = (
    "refs",
    "order_key",
    "entity_id",
    "members",
    "settles",
    "target_key",
    "document",
    "path",
    "known",
    "$remote",
)

each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_source_case = pytest.mark.parametrize(
    "case", [case for case in CASES if b'"notification"' in (case.folder / "in.json").read_bytes()], ids=str
)
connector_of = cache(load)


def source_of(case: Case) -> Source:
    source = connector_of(case.vendor).source
    assert source is not None, f"{case} has a notification, but {case.vendor} is no source"
    return source


def source_case(case: Case) -> SourceCase:
    given = case.input()
    assert isinstance(given, SourceCase)
    return given


def mapped(source: Source, given: SourceCase) -> list[Mapped]:
    """What the case comes to; nothing for one that is meant to be refused."""
    try:
        return mapped_by(source, given)[1]
    except (MalformedNotification, Unmappable):
        return []


def events(roots: list[Mapped]) -> list[AnyEvent]:
    return [event for root in roots if root.outcome for event in root.outcome.events]


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_connector_is_its_folders(vendor: str) -> None:
    connector = connector_of(vendor)
    assert isinstance(connector, Connector)
    assert connector.manifest.vendor == vendor
    assert connector.folder == FOLDER / vendor
    assert any(case.vendor == vendor for case in CASES), "a connector without a golden case"


@each_case
def test_it_is_as_recorded(case: Case) -> None:
    assert case.recorded.exists(), "no out.json: write it by `python -m tools.golden --write`, then check it by hand"
    computed = result(connector_of(case.vendor), case.input())
    changed = difference(read_json(case.recorded.read_bytes()), computed, name=str(case))
    assert not changed, f"\n{changed}"


@each_case
def test_it_is_the_same_every_time_and_leaves_its_input_alone(case: Case) -> None:
    connector, given = connector_of(case.vendor), case.input()
    before = copy.deepcopy(given)
    first, second = (write_json(result(connector, given)) for _ in range(2))
    assert first == second
    assert given == before


@each_case
def test_no_card_number_comes_out(case: Case) -> None:
    facts = connector_of(case.vendor).manifest.source
    found = cut(
        read_json(case.recorded.read_bytes()),
        card_fields=facts.card_fields if facts else (),
        not_cards=(*ID_FIELDS, *(facts.not_cards if facts else ())),
    ).findings
    assert not found


def sums_that_fail(event: AnyEvent) -> tuple[Difference, ...]:
    match event.data:
        case Sale():
            return check_sale(event.data)
        case Amendment():
            return check_sale(event.data.sale)
        case Refund():
            return check_refund(event.data)
    return ()


@each_source_case
def test_it_adds_up_or_says_in_its_name_that_it_does_not(case: Case) -> None:
    failing = [
        str(each) for event in events(mapped(source_of(case), source_case(case))) for each in sums_that_fail(event)
    ]
    if DOES_NOT_ADD_UP in case.name:
        assert failing, f"the case is called {DOES_NOT_ADD_UP!r}, but every sum holds"
    else:
        assert not failing


@each_source_case
def test_what_was_paid_for_is_how_it_was_paid(case: Case) -> None:
    for event in events(mapped(source_of(case), source_case(case))):
        data = event.data.sale if isinstance(event.data, Amendment) else event.data
        if not isinstance(data, (Sale, Refund)) or sums_that_fail(event):
            continue
        lines = lines_of_sale(data) if isinstance(data, Sale) else lines_of_refund(data)
        assert paid_for(lines, data.currency) == paid_with(lines, data.currency)
        sign = 1 if isinstance(data, Sale) else -1
        assert paid_with(lines, data.currency).minor == sign * data.total.minor


@each_source_case
def test_the_way_of_arrival_changes_nothing(case: Case) -> None:
    source, given = source_of(case), source_case(case)
    later = datetime(2031, 5, 6, 7, 8, tzinfo=UTC)
    otherwise = {"via": "backfill", "connection": "another", "received_at": later, "assembled_at": later}
    by_backfill = replace(
        source,
        to_canonical=lambda snapshot, settings: source.to_canonical(snapshot.model_copy(update=otherwise), settings),
    )
    assert events(mapped(by_backfill, given)) == events(mapped(source, given))


# The same root, once notified and once found by poll or backfill.


def envelopes(feed: str, part: str, item: Any) -> Iterator[Any]:
    """How vendors wrap one object of a list."""
    yield [item]
    for name in dict.fromkeys((feed, part, f"{part}s", "data", "results", "elements", "items", "objects")):
        yield {name: [item]}
        yield {"data": {name: {"nodes": [item]}}}
        yield {"data": {name: {"edges": [{"node": item}]}}}


def pages(source: Source, given: SourceCase, roots: list[Mapped]) -> Iterator[tuple[str, Response]]:
    """Pages that may show the case's roots: the one it states, else its objects in the usual envelopes."""
    if given.pulled:
        yield given.pulled.feed, page(given.pulled)
        return
    objects = [*given.parts.items(), *((part, item) for root in roots for part, item in root.root.have.items())]
    facts = source.manifest.source
    for feed in facts.feeds if facts else ():
        for part, item in objects:
            for wrapped in envelopes(feed, part, item):
                yield feed, page(Pulled(feed=feed, page=wrapped))


def notifications(source: Source, feed: str, answer: Response, *, stated: bool) -> tuple[Notification, ...]:
    try:
        return tuple(source.pull.found(feed, answer))
    except Exception:
        # A guessed envelope may be one that the vendor never sends.
        if stated:
            raise
        return ()


def found_by_pull(source: Source, given: SourceCase, roots: list[Mapped], account_id: str) -> list[tuple[str, Mapped]]:
    """The case's roots as found on a page, each with its feed, mapped with the same parts at hand."""
    stated = given.pulled is not None

    # A page that does not say whose it is belongs to the account that was asked.
    def identify(notification: Notification) -> Identified:
        identified = source.identify(notification)
        return replace(identified, account_id=identified.account_id or account_id)

    asked = replace(source, identify=identify)
    names = {(root.root.kind, root.root.id) for root in roots}
    same = []
    for feed, answer in pages(source, given, roots):
        for notification in notifications(source, feed, answer, stated=stated):
            recorded = RecordedNotification(headers=dict(notification.headers), body=notification.body)
            try:
                _, again = mapped_by(asked, given.model_copy(update={"notification": recorded}))
            except (MalformedNotification, Unmappable):
                if stated:
                    raise
                continue
            same += [(feed, root) for root in again if (root.root.kind, root.root.id) in names and not root.missing]
    return same


def moneys(value: Any) -> list[tuple[int, str]]:
    """Every amount in it, in order."""
    if isinstance(value, dict):
        if value.keys() == {"minor", "currency"}:
            return [(value["minor"], value["currency"])]
        return [money for item in value.values() for money in moneys(item)]
    return [money for item in value for money in moneys(item)] if isinstance(value, list) else []


def facts_of(root: Mapped) -> dict[str, list[tuple[int, str]]]:
    shown = root.outcome.events if root.outcome else ()
    return {event.id: moneys(event.model_dump(mode="json")) for event in shown}


def both_ways(case: Case) -> tuple[list[Mapped], list[tuple[str, Mapped]]]:
    source, given = source_of(case), source_case(case)
    try:
        identified, roots = mapped_by(source, given)
    except (MalformedNotification, Unmappable):
        return [], []
    return roots, found_by_pull(source, given, roots, identified.account_id)


@each_source_case
def test_found_by_pull_it_is_the_same(case: Case) -> None:
    roots, found = both_ways(case)
    expected = {(root.root.kind, root.root.id): facts_of(root) for root in roots}
    for feed, root in found:
        assert facts_of(root) == expected[root.root.kind, root.root.id], f"other events by the feed {feed}"
    if source_case(case).pulled:
        assert found, "the stated page shows none of the case's roots"


@pytest.mark.parametrize("vendor", VENDORS)
def test_every_feed_is_compared_with_a_notification(vendor: str) -> None:
    facts = connector_of(vendor).manifest.source
    if facts is None:
        return
    of_vendor = [case for case in CASES if case.vendor == vendor and isinstance(case.input(), SourceCase)]
    compared = {feed for case in of_vendor for feed, root in both_ways(case)[1] if facts_of(root)}
    missing = set(facts.feeds) - compared
    assert not missing, (
        f"no case compares the feeds {sorted(missing)} with a notification: add to the in.json of one case each "
        '"pulled": {"feed": name, "page": the page of the feed that shows the same root}'
    )
