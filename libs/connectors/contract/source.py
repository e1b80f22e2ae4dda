"""From what a vendor says to canonical events, in four pure functions.

verify    is this webhook the vendor's own?                       (raw bytes, before anything else)
identify  which root objects is this notification about?
assemble  what else must be fetched to read this root?            (asked again until nothing is missing)
map       which facts and states does the complete snapshot show?
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime

from libs.canonical.event import AnyEvent
from libs.canonical.frozen import Frozen
from libs.canonical.identity import Account
from libs.canonical.moments import zone
from libs.canonical.normalise import SkuRules
from libs.canonical.sale import TenderType
from libs.connectors.contract.http import Request, Response
from libs.connectors.contract.manifest import Manifest
from libs.connectors.contract.target import Verdict

Via = Literal["webhook", "poll", "backfill"]


class SignatureInvalid(Exception):
    """The webhook is unsigned, forged or altered: answered 401 and dropped."""


class SignatureStale(Exception):
    """The signature is right but too old to be accepted again: answered 401 and dropped."""


class MalformedNotification(Exception):
    """Authentic, but not readable as one of the vendor's notifications; the message names the field, not its value."""


class Unmappable(Exception):
    """The snapshot cannot be read as retail events: a dead letter. `reason` is plain and free of personal data."""

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.reason = reason
        self.path = path


@dataclass(frozen=True)
class Webhook:
    """A webhook as received: header names lower case, body as raw bytes, and the public URL from configuration."""

    headers: Mapping[str, str]
    body: bytes
    public_url: str


@dataclass(frozen=True)
class Notification:
    """An authentic, card-free notification. Found by poll or backfill it is one page's object with no headers."""

    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Root:
    """An object that facts are about. `have` are parts already in hand (by part name), so need not be fetched."""

    kind: str
    id: str
    have: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Identified:
    """What a notification is about. No roots: `no_effect` says why nothing follows (a test ping, a type not used).

    `delivery_id` only spots repeated deliveries.
    """

    account_id: str
    type: str
    delivery_id: str
    roots: tuple[Root, ...] = ()
    no_effect: str | None = None


@dataclass(frozen=True)
class Fetch:
    """One object to fetch into the snapshot under `part`.

    `reference` facts (catalogue, staff, locations) come from a stored cache for that many seconds; 0: always asked.
    `optional`: a 404 becomes None instead of a failure. `items`: reads the part out of the answer (default: its JSON).
    `next_page`: the request for the following page, whose parts (lists) are appended.
    """

    part: str
    request: Request
    reference: int = 0
    optional: bool = False
    items: Callable[[Response], Any] | None = None
    next_page: Callable[[Request, Response], Request | None] | None = None


class Snapshot(Frozen):
    """A root with everything needed to read it; the value of a `raw.<vendor>` record. Parts are the vendor's JSON."""

    vendor: str
    account_id: str
    connection: str
    root_kind: str
    root_id: str
    parts: dict[str, Any]
    via: Via
    notified_as: str  # the vendor's event type that led here
    received_at: AwareDatetime
    assembled_at: AwareDatetime

    @property
    def account(self) -> Account:
        """The vendor's account."""
        return Account(vendor=self.vendor, id=self.account_id)

    @property
    def key(self) -> str:
        """The Kafka key: all snapshots of one root are in one partition."""
        return f"{self.account}:{self.root_kind}:{self.root_id}"


class LocationSettings(Frozen, extra="forbid"):
    """What configuration says of a location; what it leaves out, the vendor's own location object says."""

    timezone: str | None = None
    cut_off: time = time(0)
    region: str | None = None  # ISO 3166-1, to read national phone numbers


class SourceSettings(Frozen, extra="forbid"):
    """The part of a source connection's configuration that mapping needs."""

    default_timezone: str | None = None
    default_cut_off: time = time(0)
    default_region: str | None = None
    locations: Mapping[str, LocationSettings] = {}
    sku: SkuRules = SkuRules()
    # The vendor's own word for a tender (gateway, external source) -> our tender type.
    tenders: Mapping[str, TenderType] = {}
    categories: Mapping[str, str] = {}

    def timezone(self, location_id: str, stated: str | None) -> ZoneInfo:
        """The location's zone: configured, else as the vendor states it, else the default.

        Raises Unmappable when nobody says: a business day cannot be told without it.
        """
        configured = self.locations.get(location_id)
        name = (configured.timezone if configured else None) or stated or self.default_timezone
        if not name:
            raise Unmappable(
                f"no time zone is known for location {location_id}: set one in the configuration", "timezone"
            )
        return zone(name)

    def cut_off(self, location_id: str) -> time:
        """The wall-clock time at which the location's business day changes."""
        configured = self.locations.get(location_id)
        return configured.cut_off if configured else self.default_cut_off

    def region(self, location_id: str | None) -> str | None:
        """The country in which national phone numbers are to be read."""
        configured = self.locations.get(location_id) if location_id else None
        return (configured.region if configured else None) or self.default_region


@dataclass(frozen=True)
class Outcome:
    """Everything a snapshot shows. No events: `reason` says why (`not_yet`: it may become one later)."""

    events: tuple[AnyEvent, ...] = ()
    not_yet: bool = False
    reason: str | None = None


@dataclass(frozen=True)
class Period:
    """A span of time to ask for: from `begin` (inclusive) to `end` (exclusive), both aware."""

    begin: datetime
    end: datetime


@dataclass(frozen=True)
class Pull:
    """How to poll and backfill, as data.

    `first(feed, period, account_id, location_ids)` -> the first request (location_ids empty: all).
    `following(feed, request, response)` -> the next page, or None.
    `found(feed, response)` -> the objects on the page as notifications that `identify` understands.
    Cursors of vendors live minutes; what is stored across runs is the watermark in time only. `overlap_seconds`: how
    far back of it to ask again, since vendors' lists lag.
    """

    first: Callable[[str, Period, str, Sequence[str]], Request]
    following: Callable[[str, Request, Response], Request | None]
    found: Callable[[str, Response], Sequence[Notification]]
    overlap_seconds: int = 300


@dataclass(frozen=True)
class Source:
    """A vendor as a source.

    `verify(webhook, secrets, now)` returns or raises SignatureInvalid / SignatureStale. `identify(notification)`
    raises MalformedNotification. `assemble(root_kind, root_id, parts)` gives what is still to be fetched; empty: the
    snapshot is complete. `to_canonical(snapshot, settings)` raises Unmappable. `judge(response)` says what an answer to
    a fetch or a page means, before anything is read from it, where a vendor reports failures with status 200 (None:
    the runtime's own status table decides).
    """

    manifest: Manifest
    verify: Callable[[Webhook, Mapping[str, str], datetime], None]
    identify: Callable[[Notification], Identified]
    assemble: Callable[[str, str, Mapping[str, Any]], Sequence[Fetch]]
    to_canonical: Callable[[Snapshot, SourceSettings], Outcome]
    pull: Pull
    judge: Callable[[Response], Verdict | None] | None = None
