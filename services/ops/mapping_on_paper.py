"""A notification in a file to canonical events, without Kafka, database or network: the work of `till map`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from libs.connectors.contract.connector import Connector
from libs.connectors.contract.dry_run import Mapped, map_notification
from libs.connectors.contract.manifest import SourceFacts
from libs.connectors.contract.source import (
    Fetch,
    Identified,
    MalformedNotification,
    Notification,
    Source,
    SourceSettings,
    Unmappable,
)
from libs.runtime import exact_json
from libs.runtime.carddata import TooDeep, cut
from services.ops.objects_at_hand import ObjectsAtHand, offered
from services.ops.speaking import USAGE, Failure


class WouldBeDead(Exception):
    """A service would make a dead letter of this; the message is its reason."""


@dataclass(frozen=True)
class MappedRoot:
    """What one root came to. `assumed_absent`: optional fetches without a file, read as "not there"."""

    mapped: Mapped
    assumed_absent: tuple[Fetch, ...]

    @property
    def needs(self) -> tuple[Fetch, ...]:
        """What to give for more to be said, when there is no event to show: required and optional fetches."""
        outcome = self.mapped.outcome
        if outcome is not None and outcome.events:
            return ()
        return (*self.mapped.missing, *self.assumed_absent)


@dataclass(frozen=True)
class OnPaper:
    """The whole result. `cut`: paths at which card data was removed; `stand_ins`: headers taken from an example."""

    identified: Identified
    roots: tuple[MappedRoot, ...]
    cut: tuple[str, ...]
    stand_ins: Mapping[str, str]


@dataclass(frozen=True)
class Given:
    """What a file holds: a body, and where it came with them headers and fetched objects."""

    headers: Mapping[str, str]
    body: Any
    parts: Mapping[str, Any]
    settings: Any = None


def given_in(document: Any) -> Given:
    """A raw body, `{"headers": {...}, "body": ...}`, or a connector's recorded case."""
    if isinstance(document, Mapping):
        wrapped = document.get("notification")
        if isinstance(wrapped, Mapping) and "body" in wrapped:
            parts = document.get("parts")
            return Given(
                _headers(wrapped.get("headers")),
                wrapped["body"],
                parts if isinstance(parts, Mapping) else {},
                document.get("settings"),
            )
        if "body" in document and set(document) <= {"headers", "body"}:
            return Given(_headers(document.get("headers")), document["body"], {})
    return Given({}, document, {})


def _headers(stated: Any) -> dict[str, str]:
    if stated is None:
        return {}
    if not isinstance(stated, Mapping):
        raise Failure("headers must be an object of names and texts", USAGE)
    return {str(name).lower(): str(value) for name, value in stated.items() if value is not None}


def typed(facts: SourceFacts, headers: Mapping[str, str], type_: str | None) -> dict[str, str]:
    """The headers with the notification's type filled in."""
    if type_ is None:
        return dict(headers)
    if facts.type_header is None:
        raise Failure("this vendor says in the body what a notification is: leave out --type", USAGE)
    return {**headers, facts.type_header.lower(): type_}


class _Asked(dict[str, str]):
    """Headers that fall back to an example's, and remember which of those were asked for."""

    def __init__(self, given: Mapping[str, str], example: Mapping[str, str]) -> None:
        super().__init__(given)
        self._example = example
        self.stand_ins: dict[str, str] = {}

    def get(self, name: str, default: Any = None) -> Any:
        if name in self:
            return super().__getitem__(name)
        if name in self._example:
            self.stand_ins[name] = self._example[name]
            return self._example[name]
        return default

    def __missing__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return str(value)


def example_headers(connector: Connector) -> dict[str, str]:
    """Headers of the connector's first recorded webhook: a connector may insist on some (a shop's domain)."""
    for recorded in sorted(connector.folder.glob("cases/*/in.json")):
        headers = _recorded_headers(recorded)
        if headers:
            return headers
    return {}


def _recorded_headers(path: Path) -> dict[str, str]:
    try:
        given = given_in(exact_json.decode(path.read_bytes()))
    except (OSError, exact_json.DecodeError):
        return {}
    return dict(given.headers)


def map_on_paper(
    connector: Connector,
    given: Given,
    *,
    type_: str | None,
    files: Sequence[tuple[str, Any]],
    settings: SourceSettings,
) -> OnPaper:
    """Everything that the notification shows; `files` are fetched objects by the name of their file.

    Raises WouldBeDead, and Failure when it was asked wrongly.
    """
    source = connector.source
    if source is None or source.manifest.source is None:
        raise Failure(f"{connector.manifest.title} is no source: nothing comes from it", USAGE)
    facts = source.manifest.source
    headers = typed(facts, given.headers, type_)
    # Without a type there is no webhook to complete: it is read as an object found by a poll.
    webhook = facts.type_header is None or facts.type_header.lower() in headers
    asked = _Asked(headers, _without(example_headers(connector), facts.type_header) if webhook else {})
    body, objects, found = _without_card_data(facts, given, files)
    notification = Notification(asked, body)
    try:
        identified = source.identify(notification)
        roots = tuple(_roots(source, identified, notification, objects, settings))
    except MalformedNotification as error:
        hint = (
            "" if webhook or not facts.events else f". If it is a webhook, say which: --type {next(iter(facts.events))}"
        )
        raise WouldBeDead(f"not readable as a notification: {error}{hint}") from None
    except Unmappable as error:
        raise WouldBeDead(f"not readable as retail facts: {error}") from None
    return OnPaper(identified, roots, found, dict(asked.stand_ins))


def _without(headers: dict[str, str], name: str | None) -> dict[str, str]:
    return {key: value for key, value in headers.items() if key != (name or "").lower()}


def _without_card_data(
    facts: SourceFacts, given: Given, files: Sequence[tuple[str, Any]]
) -> tuple[Any, ObjectsAtHand, tuple[str, ...]]:
    """Body and objects as a service would see them: card data is cut before anything else looks."""
    paths: list[str] = []

    def clean(name: str, document: Any) -> Any:
        result = cut(document, card_fields=facts.card_fields, not_cards=facts.not_cards)
        paths.extend(f"{name}{'.' if finding.path else ''}{finding.path}" for finding in result.findings)
        return result.document

    try:
        body = clean("body", given.body)
        named = [(name, clean(name, document)) for name, document in files]
        parts = clean("parts", dict(given.parts))
    except TooDeep as error:
        raise WouldBeDead(f"refused before it is stored: {error}") from None
    return body, ObjectsAtHand(offered(parts, named)), tuple(paths)


def _roots(
    source: Source, identified: Identified, notification: Notification, objects: ObjectsAtHand, settings: SourceSettings
) -> Iterator[MappedRoot]:
    """Each root by itself: roots of one notification may call different objects by one part name."""
    for root in identified.roots:
        alone = replace(identified, roots=(root,))
        gathered = objects.gather(source, root)
        one = replace(source, identify=_always(alone))
        _, (mapped,) = map_notification(one, notification, gathered.parts, settings)
        yield MappedRoot(mapped, gathered.assumed_absent)


def _always(identified: Identified) -> Callable[[Notification], Identified]:
    return lambda _: identified
