"""`tools.golden` with a vendor of its own: what it compares, writes, reports and survives."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from libs.connectors.contract.connector import Connector
from libs.connectors.contract.dry_run import plan_as_json
from libs.connectors.contract.http import Request
from libs.connectors.contract.manifest import Authentication, Limits, Manifest
from libs.connectors.contract.source import (
    Fetch,
    Identified,
    MalformedNotification,
    Notification,
    Outcome,
    Pull,
    Root,
    Snapshot,
    Source,
    SourceSettings,
    Unmappable,
)
from libs.connectors.contract.target import Deliver, Filtered, Ref, Step, Target
from tools import golden

MANIFEST = Manifest(
    vendor="corner",
    title="Corner",
    level="bronze",
    checked_against="nothing",
    documentation="none",
    environments={},
    authentication=Authentication(scheme="bearer"),
    limits=Limits(),
)
EVENT = {
    "id": "e1", "kind": "customer.erased", "account": {"vendor": "corner", "id": "A"}, "entity_id": "c1",
    "order_key": "corner:A:customer:c1", "occurred_at": "2026-01-02T03:04:05Z",
    "data": {"id": "c1", "erased_at": "2026-01-02T03:04:05Z"},
}  # fmt: skip


def identify(notification: Notification) -> Identified:
    if "type" not in notification.body:
        raise MalformedNotification("type is missing")
    roots = tuple(Root("order", each) for each in notification.body.get("orders", ()))
    return Identified("A", notification.body["type"], "d1", roots, None if roots else "a test")


def to_canonical(snapshot: Snapshot, settings: SourceSettings) -> Outcome:
    if snapshot.parts["order"]["state"] == "odd":
        raise Unmappable("an odd state", "order.state")
    return Outcome(not_yet=True, reason="the order is open")


def nothing(*_: Any) -> Any:
    raise AssertionError("not asked for")


SOURCE = Source(
    MANIFEST,
    verify=nothing,
    identify=identify,
    assemble=lambda kind, root, parts: () if parts else (Fetch("order", Request("GET", f"/orders/{root}")),),
    to_canonical=to_canonical,
    pull=Pull(nothing, nothing, nothing),
)


class Config(BaseModel):
    price: Decimal | None = None


def plan(event: Any, config: Config, known: Any) -> Any:
    if config.price is None:
        return Filtered("no price")
    body = {"price": config.price, "known": known.get(Ref("customer", "c1"))}
    return Deliver((Step("send", Request("POST", "/x", json=body), target_key="c1"),))


TARGET = Target(
    MANIFEST,
    config=Config,
    references=lambda event, config: (Ref("customer", "c1"),),
    plan=plan,
    judge=nothing,
    found=nothing,
    probe=nothing,
    check=nothing,
)

Write = Callable[..., golden.Case]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a case into a folder of its own, which is all that the tool then finds."""
    connector = Connector(MANIFEST, tmp_path / "corner", nothing, SOURCE, TARGET)

    def load(vendor: str) -> Connector:
        if vendor != "corner":
            raise SyntaxError("half written")
        return connector

    every = golden.cases
    monkeypatch.setattr(golden, "load", load)
    monkeypatch.setattr(golden, "cases", lambda vendor=None, name=None: every(vendor, name, folder=tmp_path))

    def case(name: str, given: Any, vendor: str = "corner") -> golden.Case:
        folder = tmp_path / vendor / "cases" / name
        folder.mkdir(parents=True)
        (folder / "in.json").write_text(given if isinstance(given, str) else json.dumps(given))
        return golden.Case(vendor, name, folder)

    return case


def notified(parts: Any = None, **body: Any) -> dict[str, Any]:
    return {"about": "a test", "notification": {"headers": {}, "body": body}, "parts": parts or {}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (notified(type="ping"), {"no_effect": "a test"}),
        (notified(), {"malformed": "type is missing"}),
        (notified({"order": {"state": "odd"}}, type="o", orders=["1"]), {"unmappable": "order.state: an odd state"}),
        (
            notified({"order": {"state": "open"}}, type="o", orders=["1"]),
            {"roots": [{"kind": "order", "id": "1", "fetched": ["order"], "missing": [], "events": [], "not_yet": True,
                        "reason": "the order is open"}]},
        ),
        (
            notified(type="o", orders=["1"]),
            {"roots": [{"kind": "order", "id": "1", "fetched": [], "missing": ["order"], "events": [], "not_yet": False,
                        "reason": None}]},
        ),
        ({"about": "a test", "event": EVENT}, {"plan": "filtered", "rule": "no price"}),
    ],
)  # fmt: skip
def test_what_is_written(write: Write, given: Any, expected: Any) -> None:
    case = write("some", given)
    assert golden.main(["--write"]) == 0
    assert golden.read_json(case.recorded.read_bytes()) == expected
    assert golden.main([]) == 0


def test_decimals_stay_exact(write: Write) -> None:
    case = write("exact", json.dumps({"about": "", "event": EVENT, "known": [["customer", "c1", "r9"], ["x", "y", "z"]],
                                      "settings": {"price": "PRICE"}}).replace('"PRICE"', "12.40"))  # fmt: skip
    assert golden.main(["--write"]) == 0
    text = case.recorded.read_text()
    assert '"price": 12.40,' in text
    assert '"known": "r9"' in text
    assert golden.read_json(text) == plan_as_json(
        plan(None, Config(price=Decimal("12.40")), {Ref("customer", "c1"): "r9"})
    )


def test_a_difference_is_shown_and_fails(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    case = write("some", notified(type="ping"))
    case.recorded.write_text('{"no_effect": "something else"}')
    assert golden.main(["corner", "some"]) == 1
    out = capsys.readouterr().out
    assert '-  "no_effect": "something else"' in out
    assert '+  "no_effect": "a test"' in out
    assert "0 of 1 cases" in out


def test_the_order_of_fields_is_no_difference() -> None:
    assert golden.difference({"a": 1, "b": [1, 2]}, {"b": [1, 2], "a": 1}) == ""
    assert golden.difference({"b": [1, 2]}, {"b": [2, 1]})
    assert golden.difference({"a": 1}, {"a": "1"})


def test_one_bad_case_or_vendor_does_not_hide_the_others(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write("good", notified(type="ping"))
    write("misspelt", {**notified(type="ping"), "part": {}})
    write("neither", {"about": "nothing"})
    write("crashes", notified({"order": {}}, type="o", orders=["1"]))
    write("any", notified(type="ping"), vendor="broken")
    assert golden.main(["--write"]) == 1
    out = capsys.readouterr().out
    assert "corner/good: written" in out
    assert "corner/misspelt: ValidationError" in out
    assert "corner/neither: BadCase" in out
    assert "corner/crashes: KeyError: 'state' (test_golden_tool.py:" in out
    assert "broken: cannot be imported: SyntaxError: half written" in out
    assert "1 of 5 cases written" in out


def test_a_case_without_a_result_and_a_case_that_is_not_there(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write("new", notified(type="ping"))
    assert golden.main([]) == 1
    assert "no out.json yet" in capsys.readouterr().out
    assert golden.main(["corner", "nowhere"]) == 2
    assert golden.main(["nobody"]) == 2
