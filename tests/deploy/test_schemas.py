"""The published schemas: as the code says, and true of what is written."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, FormatChecker, ValidationError

from libs.canonical.kinds import KINDS
from libs.connectors.contract.connector import FOLDER
from tests.deploy.composition import ROOT
from tools import schemas


def _recorded_events() -> dict[str, list[Any]]:
    """Events of the connectors' golden cases, by kind."""
    found: dict[str, list[Any]] = {}
    for case in sorted(FOLDER.glob("*/cases/*")):
        given = json.loads((case / "in.json").read_text())
        events = [given["event"]] if "event" in given else []
        recorded = json.loads((case / "out.json").read_text())
        events += [event for root in recorded.get("roots", []) for event in root["events"]]
        for event in events:
            found.setdefault(event["kind"], []).append(event)
    return found


EVENTS = _recorded_events()


def _schema(name: str) -> Any:
    return json.loads((ROOT / schemas.SCHEMAS / name).read_text())


def _validator(name: str) -> Draft202012Validator:
    schema = _schema(name)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=FormatChecker())


def test_what_is_published_is_what_the_code_says() -> None:
    """If this fails: `make schemas`, and look at the difference before it is committed."""
    assert schemas.faults() == []


@pytest.mark.parametrize("kind", KINDS)
def test_recorded_events_are_as_the_schema_says(kind: str) -> None:
    """Each kind has events in the connectors' cases, and all of them are valid."""
    validator = _validator(f"{kind}.json")
    assert EVENTS.get(kind), f"no case has a {kind}"
    for event in EVENTS[kind]:
        validator.validate(event)


@pytest.mark.parametrize("kind", KINDS)
def test_another_kinds_event_is_refused(kind: str) -> None:
    """A schema is about its own kind, and about its data."""
    validator = _validator(f"{kind}.json")
    event = EVENTS[kind][0]
    for wrong in ({**event, "kind": "something.else"}, {**event, "data": {}}, {**event, "occurred_at": None}):
        with pytest.raises(ValidationError):
            validator.validate(wrong)


def test_the_example_configuration_is_as_its_schema_says() -> None:
    """An editor that uses the schema accepts the example, and marks a misspelt setting of a vendor."""
    validator = _validator(schemas.CONFIGURATION.name)
    example = yaml.safe_load((ROOT / "examples/tillstream.yaml").read_text())
    validator.validate(example)
    (journal,) = (each for each in example["connections"] if each["id"] == "books-journal")
    journal["settings"]["home_curency"] = "USD"
    with pytest.raises(ValidationError):
        validator.validate(example)


def test_writing_is_complete_and_repeatable(tmp_path: Path) -> None:
    """Into an empty folder: everything; again: nothing; a file too many is removed, a changed one put right."""
    assert set(schemas.write(tmp_path)) == set(schemas.documents())
    assert schemas.write(tmp_path) == []
    left_over = tmp_path / schemas.SCHEMAS / "sale.forgotten.json"
    left_over.write_text("{}")
    (tmp_path / schemas.CONNECTORS).write_text("changed by hand")
    (tmp_path / schemas.CONFIGURATION).unlink()
    assert len(schemas.faults(tmp_path)) == 3
    schemas.write(tmp_path)
    assert schemas.faults(tmp_path) == []
    assert not left_over.exists()


def test_a_connector_that_cannot_be_loaded_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line for it, exit status 1, no traceback."""
    real = importlib.import_module

    def without_square(name: str, package: str | None = None) -> Any:
        if name == "libs.connectors.square":
            raise ImportError("cannot import name 'x'")
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", without_square)
    assert schemas.main(["--check"]) == 1
    assert capsys.readouterr().err == "connector square cannot be loaded: ImportError: cannot import name 'x'\n"
