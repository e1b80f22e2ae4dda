"""The golden cases of this connector, as tests want them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from libs.canonical.event import AnyEvent
from libs.connectors.contract.dry_run import map_notification
from libs.connectors.contract.source import Notification, Source, SourceSettings
from libs.connectors.square import connector
from tools.golden import SourceCase, cases

assert connector.source is not None
source: Source = connector.source

CASES: dict[str, SourceCase] = {
    case.name: given for case in cases("square") if isinstance(given := case.input(), SourceCase)
}


def events_of(body: Any, parts: Mapping[str, Any], settings: Mapping[str, Any] | None = None) -> list[AnyEvent]:
    """Every event of a notification with those objects at hand."""
    _, mapped = map_notification(
        source, Notification({}, body), parts, SourceSettings.model_validate(dict(settings or {}))
    )
    return [event for each in mapped if each.outcome for event in each.outcome.events]


def events_of_case(name: str) -> list[AnyEvent]:
    """Every event of a case."""
    case = CASES[name]
    return events_of(case.notification.body, case.parts, case.settings)
