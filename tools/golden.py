"""Golden cases: what each connector makes of recorded input, kept beside the connector and compared on every run.

    python -m tools.golden [--write] [VENDOR [CASE]]

A case is a folder `libs/connectors/<vendor>/cases/<case>` with `in.json` and `out.json`. Without `--write` every
difference is shown; with it `out.json` is written, to be read and checked by hand before it is committed.
Exit status: 0 all as recorded (or written), 1 something differs or fails, 2 no such vendor or case.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import json
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from pydantic import BaseModel, ConfigDict

from libs.canonical.event import AnyEvent, decode
from libs.canonical.kinds import Kind
from libs.connectors.contract.connector import FOLDER, Connector
from libs.connectors.contract.dry_run import Mapped, map_notification, plan_as_json, plan_event
from libs.connectors.contract.http import Response
from libs.connectors.contract.source import (
    Identified,
    MalformedNotification,
    Notification,
    Source,
    SourceSettings,
    Unmappable,
)
from libs.connectors.contract.target import Ref

_ENCODER = msgspec.json.Encoder(decimal_format="number")
_SORTED = msgspec.json.Encoder(decimal_format="number", order="sorted")


class BadCase(Exception):
    """A case that cannot be run; the message says what is wrong with it."""


class _Input(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RecordedNotification(_Input):
    """A webhook as it came, or an object as found on a page (then without headers)."""

    headers: dict[str, str] = {}
    body: Any


class Pulled(_Input):
    """The page of a feed on which the vendor shows the same root objects as in the case's webhook."""

    feed: str
    page: Any


class SourceCase(_Input):
    """`in.json` of a source. `pulled` is optional: the conformance suite compares it with the notification."""

    about: str
    notification: RecordedNotification
    parts: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    pulled: Pulled | None = None


class TargetCase(_Input):
    """`in.json` of a target. `known`: remote ids as [kind, key, remote id]."""

    about: str
    event: dict[str, Any]
    settings: dict[str, Any] = {}
    known: list[tuple[str, str, str]] = []


@dataclass(frozen=True)
class Case:
    """One golden case: where it is and what it is called."""

    vendor: str
    name: str
    folder: Path

    def __str__(self) -> str:
        return f"{self.vendor}/{self.name}"

    @property
    def recorded(self) -> Path:
        """The file with the expected result."""
        return self.folder / "out.json"

    def input(self) -> SourceCase | TargetCase:
        """What the connector is given. Raises BadCase, or pydantic's ValidationError naming a misspelt field."""
        given = read_json((self.folder / "in.json").read_bytes())
        if not isinstance(given, dict) or ("notification" in given) == ("event" in given):
            raise BadCase("in.json needs either `notification` (a source) or `event` (a target)")
        return SourceCase.model_validate(given) if "notification" in given else TargetCase.model_validate(given)


def read_json(text: bytes | str) -> Any:
    """JSON with exact numbers."""
    return json.loads(text, parse_float=Decimal)


def write_json(value: Any, *, sort: bool = False) -> str:
    """Readable JSON; a Decimal is written as the number it is."""
    return msgspec.json.format((_SORTED if sort else _ENCODER).encode(value), indent=2).decode() + "\n"


def cases(vendor: str | None = None, name: str | None = None, *, folder: Path = FOLDER) -> Iterator[Case]:
    """The cases on disk, in order; of one vendor or by one name when given."""
    for found in sorted(folder.glob("*/cases/*/in.json")):
        case = Case(vendor=found.parts[-4], name=found.parts[-2], folder=found.parent)
        if vendor in (None, case.vendor) and name in (None, case.name):
            yield case


def load(vendor: str) -> Connector:
    """One vendor's connector by itself, so that a broken one does not hide the others. Raises whatever it raises."""
    connector: Connector = importlib.import_module(f"libs.connectors.{vendor}").connector
    return connector


def mapped_by(source: Source, case: SourceCase) -> tuple[Identified, list[Mapped]]:
    """What the source makes of the case. Raises MalformedNotification and Unmappable."""
    notification = Notification(headers=case.notification.headers, body=case.notification.body)
    settings = SourceSettings.model_validate(case.settings)
    return map_notification(source, notification, case.parts, settings)


def event_of(case: TargetCase) -> AnyEvent:
    """The canonical event that a target is given. Raises ValueError or MalformedEvent for one that is none."""
    return decode(Kind(case.event.get("kind", "")), _ENCODER.encode(case.event))


def result(connector: Connector, case: SourceCase | TargetCase) -> dict[str, Any]:
    """What `out.json` should hold, as plain JSON."""
    shown = _source_result(connector, case) if isinstance(case, SourceCase) else _target_result(connector, case)
    plain: dict[str, Any] = read_json(write_json(shown))
    return plain


def _source_result(connector: Connector, case: SourceCase) -> dict[str, Any]:
    source = connector.source
    if source is None:
        raise BadCase("the case has a notification, but the connector is no source")
    try:
        identified, mapped = mapped_by(source, case)
    except MalformedNotification as error:
        return {"malformed": str(error)}
    except Unmappable as error:
        return {"unmappable": str(error)}
    if not identified.roots:
        return {"no_effect": identified.no_effect}
    return {"roots": [_root(each) for each in mapped]}


def _root(mapped: Mapped) -> dict[str, Any]:
    outcome = mapped.outcome
    return {
        "kind": mapped.root.kind,
        "id": mapped.root.id,
        "fetched": list(mapped.fetched),
        "missing": [fetch.part for fetch in mapped.missing],
        "events": [event.model_dump(mode="json") for event in outcome.events] if outcome else [],
        "not_yet": outcome.not_yet if outcome else False,
        "reason": outcome.reason if outcome else None,
    }


def _target_result(connector: Connector, case: TargetCase) -> dict[str, Any]:
    target = connector.target
    if target is None:
        raise BadCase("the case has an event, but the connector is no target")
    config = target.config.model_validate(case.settings)
    known = {Ref(kind, key): remote_id for kind, key, remote_id in case.known}
    return plan_as_json(plan_event(target, event_of(case), config, known))


def page(pulled: Pulled) -> Response:
    """The pulled page as an answer of the vendor."""
    return Response(status=200, headers={"content-type": "application/json"}, body=write_json(pulled.page).encode())


def difference(recorded: Any, computed: Any, *, name: str = "out.json") -> str:
    """A readable difference of two results, without regard to the order of fields; empty when they are equal."""
    before, after = (write_json(value, sort=True).splitlines() for value in (recorded, computed))
    return "\n".join(difflib.unified_diff(before, after, f"{name} (recorded)", f"{name} (now)", lineterm="", n=6))


def _check(connector: Connector, case: Case, write: bool) -> str | None:
    """What is to be said of the case; None when it is as recorded."""
    computed = result(connector, case.input())
    if not write:
        if not case.recorded.exists():
            return "no out.json yet: write it with --write, then check it by hand"
        return difference(read_json(case.recorded.read_bytes()), computed, name=str(case)) or None
    text = write_json(computed)
    if not case.recorded.exists() or case.recorded.read_text() != text:
        case.recorded.write_text(text)
        print(f"{case}: written")
    return None


def _why(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno})"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.golden", description="Compare or write golden cases.")
    parser.add_argument("--write", action="store_true", help="write out.json instead of comparing")
    parser.add_argument("vendor", nargs="?")
    parser.add_argument("case", nargs="?")
    asked = parser.parse_args(arguments)

    found = list(cases(asked.vendor, asked.case))
    if not found:
        print(f"no case found for {asked.vendor or 'any vendor'} {asked.case or ''}".rstrip(), file=sys.stderr)
        return 2
    connectors: dict[str, Connector | None] = {}
    failed = 0
    for case in found:
        if case.vendor not in connectors:
            try:
                connectors[case.vendor] = load(case.vendor)
            except Exception as error:  # noqa: BLE001 - one vendor's mistake of any kind must not hide the others
                connectors[case.vendor] = None
                print(f"{case.vendor}: cannot be imported: {_why(error)}")
        connector = connectors[case.vendor]
        if connector is None:
            failed += 1
            continue
        try:
            complaint = _check(connector, case, asked.write)
        except Exception as error:  # noqa: BLE001 - a case that fails in any way is reported, and the others run
            complaint = _why(error)
        if complaint:
            failed += 1
            print(f"{case}: {complaint}")
    print(f"{len(found) - failed} of {len(found)} cases {'written' if asked.write else 'as recorded'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
