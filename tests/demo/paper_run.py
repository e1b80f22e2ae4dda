"""The demo on paper: story, simulators and connectors in one process, with nothing in between.

Every deed is read through the real source connector, every event goes through the real target connector to the
vendor's simulator, one after the other. What comes of it is the state that a faultless run must end in.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec
import yaml

from libs.canonical.event import AnyEvent, Event, day_closed, sale_amended
from libs.canonical.kinds import Kind
from libs.canonical.sale import Sale, money_hash
from libs.connectors.contract.connector import connector
from libs.connectors.contract.http import Request, Response
from libs.connectors.contract.simulator import SimRequest, Simulator
from libs.connectors.contract.source import Fetch, Identified, Notification, Root, Snapshot, Unmappable
from libs.connectors.contract.target import Deliver, Done, Ref, Remote, Step
from libs.runtime.configuration.model import Configuration, Connection
from services.projections.books.closing import Day, summarise
from services.projections.books.entries import BOOKED, BookEntry, Standing, enter, lines_as_json
from tools.demo.configuration import configuration, departments, setup
from tools.demo.hooks import Deed
from tools.demo.story import Story, tell

LAST_DAY = date(2026, 11, 20)
_ENCODER = msgspec.json.Encoder(decimal_format="number")


def over_the_wire(value: Any) -> Any:
    """A value as it arrives after a trip as JSON."""
    return json.loads(_ENCODER.encode(value), parse_float=Decimal)


class PaperRun:
    """Four vendors and everything between them, on paper."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.sims: dict[str, Simulator] = {
            vendor: connector(vendor).simulator() for vendor in ("square", "shopify", "quickbooks", "hubspot")
        }
        self.now = datetime(2026, 11, 22, tzinfo=UTC)
        self.configuration = Configuration.model_validate(yaml.safe_load(configuration(story.stores, "http://sandbox")))
        self.events: list[AnyEvent] = []
        self.unmappable: list[str] = []
        self._told: dict[str, Any] = {}
        self._references: dict[tuple[str, str], Any] = {}
        self._known: dict[str, dict[Ref, str]] = defaultdict(dict)
        self._books: dict[str, Standing] = {}
        self._entries: dict[Day, list[BookEntry]] = defaultdict(list)
        self.sims["square"].configure({"windows": []})
        self.sims["quickbooks"].load({"departments": departments(story.stores)})
        self._tokens = {
            "square": {"authorization": "Bearer square-sandbox-token"},
            "shopify": {"x-shopify-access-token": "shpat-sandbox-token"},
            "hubspot": {"authorization": "Bearer pat-sandbox"},
            "quickbooks": {"authorization": f"Bearer {self.sims['quickbooks'].token()}"},  # type: ignore[attr-defined]
        }
        for vendor in ("square", "shopify"):
            self.sims[vendor].load(over_the_wire(story.master[vendor]))

    def play(self, deeds: Iterable[Deed]) -> None:
        """Deeds one after the other."""
        for deed in deeds:
            for vendor, objects in deed.load.items():
                self.sims[vendor].load(over_the_wire(objects))
            for hook in deed.hooks[-1:] if deed.what != "stock" else deed.hooks:
                self._receive(self.configuration.connection(hook.connection), hook.headers, _read(hook.body))

    def close_days(self) -> None:
        """Every day with entries is closed, in one revision."""
        for day, entries in sorted(self._entries.items(), key=lambda item: (item[0].business_day, item[0].location_id)):
            rows = [
                {
                    "event_id": entry.event.id, "entity_id": entry.event.entity_id, "difference": entry.difference,
                    "lines": lines_as_json(entry.lines), "reason": entry.reason, "sales": entry.sales,
                    "refunds": entry.refunds,
                }
                for entry in entries
            ]  # fmt: skip
            closed = summarise(day, 1, rows, self.now, "clock")
            self._deliver(day_closed(day.account_value, closed))

    def states(self) -> dict[str, Any]:
        """What each vendor holds, as JSON."""
        return {vendor: over_the_wire(sim.state()) for vendor, sim in self.sims.items()}

    def setup(self) -> dict[str, Any]:
        """What the check is told."""
        days = [(self.story.first_day + timedelta(days=n)).isoformat() for n in range(15)]
        return setup(self.story.stores, days)

    # Sources

    def _receive(self, connection: Connection, headers: Any, body: Any) -> None:
        source = connection.connector.source
        assert source is not None
        identified = source.identify(Notification({name.lower(): value for name, value in headers.items()}, body))
        for root in identified.roots:
            try:
                outcome = source.to_canonical(self._snapshot(connection, root, identified), connection.source_settings)
            except Unmappable as error:
                self.unmappable.append(f"{root.id}: {error}")
                continue
            for event in outcome.events:
                if (told := self._news(event)) is not None:
                    self.events.append(told)
                    self._enter(told)
                    self._deliver(told)

    def _snapshot(self, connection: Connection, root: Root, identified: Identified) -> Snapshot:
        source = connection.connector.source
        assert source is not None
        parts = dict(root.have)
        while needed := source.assemble(root.kind, root.id, parts):
            for fetch in needed:
                parts[fetch.part] = self._fetched(connection.vendor, fetch)
        return Snapshot(
            vendor=connection.vendor, account_id=identified.account_id, connection=connection.id,
            root_kind=root.kind, root_id=root.id, parts=parts, via="webhook", notified_as=identified.type,
            received_at=self.now, assembled_at=self.now,
        )  # fmt: skip

    def _fetched(self, vendor: str, fetch: Fetch) -> Any:
        if fetch.reference and (vendor, fetch.part) in self._references:
            return self._references[vendor, fetch.part]
        answer = self._call(vendor, fetch.request)
        if answer.status == 404 and fetch.optional:
            return None
        found = fetch.items(answer) if fetch.items else answer.json
        request: Request | None = fetch.request
        while fetch.next_page and (request := fetch.next_page(request, answer)):  # type: ignore[arg-type]
            answer = self._call(vendor, request)
            found = [*found, *(fetch.items(answer) if fetch.items else answer.json)]
        self._references[vendor, fetch.part] = found
        return found

    def _call(self, vendor: str, request: Request, base: str = "") -> Response:
        self.now += timedelta(seconds=1)
        sent = SimRequest(
            method=request.method,
            path=base + request.path,
            query=request.query,
            headers={**{k.lower(): v for k, v in request.headers.items()}, **self._tokens[vendor]},
            body=b"" if request.json is None else _ENCODER.encode(request.json),
        )
        answer = self.sims[vendor].handle(sent, self.now)
        raw = answer.body if isinstance(answer.body, bytes) else _ENCODER.encode(answer.body)
        return Response(answer.status, answer.headers, b"" if answer.body is None else raw)

    def _news(self, event: AnyEvent) -> AnyEvent | None:
        """The event when it is told for the first time; a sale whose money changed becomes an amendment."""
        if event.kind is not Kind.SALE_COMPLETED:
            return None if self._told.setdefault(event.id, event) is not event else event
        before = self._told.get(event.id)
        self._told[event.id] = event
        if before is None:
            return event
        assert isinstance(before.data, Sale)
        assert isinstance(event.data, Sale)
        if money_hash(before.data) == money_hash(event.data):
            return None
        return sale_amended(Event[Sale].model_validate(event.model_dump()), before.data, 1)

    def _enter(self, event: AnyEvent) -> None:
        if event.kind not in BOOKED:
            return
        entry, standing = enter(event, self._books.get(event.order_key))
        if standing:
            self._books[event.order_key] = standing
        day = Day(str(event.account), entry.location_id, entry.business_day, entry.currency, entry.timezone)
        self._entries[day].append(entry)

    # Targets

    def _deliver(self, event: AnyEvent) -> None:
        for connection in self.configuration.targets():
            target = connection.connector.target
            assert target is not None
            outside = connection.locations and event.location_id not in connection.locations
            if event.kind not in target.manifest.target.kinds or outside:  # type: ignore[union-attr]
                continue
            known = self._known[connection.id]
            plan = target.plan(event, connection.target_config, known)
            for step in plan.steps if isinstance(plan, Deliver) else ():
                self._take(connection, event, step, known)

    def _take(self, connection: Connection, event: AnyEvent, step: Step, known: dict[Ref, str]) -> None:
        target = connection.connector.target
        assert target is not None
        if step.once and step.provides in known:
            return
        request = Request(
            step.request.method, step.request.path, step.request.query, step.request.headers,
            _filled(step.request.json, known),
        )  # fmt: skip
        base = f"/v3/company/{connection.account}" if connection.vendor == "quickbooks" else ""
        verdict = target.judge(step, self._call(connection.vendor, request, base))
        if not isinstance(verdict, Done):
            verdict = self._mended(connection, step, verdict)
        if step.provides and verdict.remote_id:
            known[step.provides] = verdict.remote_id
        known.update(verdict.provides)

    def _mended(self, connection: Connection, step: Step, verdict: Any) -> Done:
        """What a person does to the one sale that HubSpot refuses: the bottle is minus one, its price positive."""
        assert step.name.startswith("line items"), (step.name, verdict)
        body = over_the_wire(step.request.json)
        for each in body["inputs"]:
            price = each["properties"].get("price", "")
            if price.startswith("-"):
                each["properties"] |= {"price": price[1:], "quantity": "-1"}
        target = connection.connector.target
        assert target is not None
        request = Request(step.request.method, step.request.path, json=body)
        mended = target.judge(step, self._call(connection.vendor, request))
        assert isinstance(mended, Done), mended
        return mended


def _read(body: bytes) -> Any:
    """A webhook's body as it is read."""
    return json.loads(body, parse_float=Decimal)


def _filled(value: Any, known: dict[Ref, str]) -> Any:
    if isinstance(value, Remote):
        return known[value.ref]
    if isinstance(value, dict):
        return {key: _filled(item, known) for key, item in value.items()}
    return [_filled(item, known) for item in value] if isinstance(value, list) else value


@cache
def story() -> Story:
    """The story as of a fixed day."""
    return tell(LAST_DAY)
