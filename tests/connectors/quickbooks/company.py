"""A delivery in miniature: the steps of a plan sent to the simulator, with references, keys, lookups and verdicts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from libs.canonical.event import AnyEvent
from libs.connectors.contract.dry_run import plan_event
from libs.connectors.contract.http import Request, Response
from libs.connectors.contract.simulator import SimRequest
from libs.connectors.contract.target import Deliver, Done, Plan, Ref, Remote, Step, Verdict
from libs.connectors.quickbooks import connector
from libs.connectors.quickbooks.config import Settings
from libs.connectors.quickbooks.sandbox import QuickBooksSandbox

assert connector.target is not None
_json = msgspec.json.Encoder(decimal_format="number")
TARGET = connector.target


class Refusal(Exception):
    """A step's verdict that is not Done."""

    def __init__(self, verdict: Verdict | None, response: Response) -> None:
        super().__init__(f"{verdict} {response.status} {response.body[:300]!r}")
        self.verdict = verdict
        self.response = response


class Client:
    """Delivers to one company of the simulator. `now` moves a second with every call."""

    def __init__(self, settings: Settings, realm: str = "4620816365") -> None:
        self.settings, self.realm = settings, realm
        self.sandbox = QuickBooksSandbox()
        self.now = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
        self.known: dict[Ref, str] = {}
        self.sent: list[SimRequest] = []
        self._token = self.sandbox.token()

    def start_anew(self) -> None:
        """A company without anything written."""
        self.sandbox.reset()
        self._token = self.sandbox.token()

    def plan(self, event: AnyEvent) -> Plan:
        return plan_event(TARGET, event, self.settings, self.known)

    def deliver(self, event: AnyEvent) -> Deliver:
        """Sends the event's steps; raises Refusal."""
        plan = self.plan(event)
        assert isinstance(plan, Deliver), plan
        for step in plan.steps:
            self.perform(step, event.id)
        return plan

    def perform(self, step: Step, owner: str, generation: int = 0) -> Done:
        if step.once and step.provides in self.known:
            return Done(already=True)
        done = self.look_up(step) if step.ask_first else None
        if done is None:
            request = step.request
            if step.native_key and not step.reads:
                key = hashlib.sha256(f"{step.target_key if step.shared else owner}{step.name}{generation}".encode())
                request = request.with_query(requestid=key.hexdigest()[:22])
            response = self.call(request)
            verdict = TARGET.judge(step, response)
            if not isinstance(verdict, Done):
                raise Refusal(verdict, response)
            done = verdict
        if step.provides and done.remote_id:
            self.known[step.provides] = done.remote_id
        return done

    def look_up(self, step: Step) -> Done | None:
        assert step.lookup
        response = self.call(step.lookup)
        assert response.ok, response
        return TARGET.found(step, response)

    def call(self, request: Request) -> Response:
        self.now += timedelta(seconds=1)
        body = _json.encode(self.resolved(request.json)) if request.json is not None else b""
        sent = SimRequest(
            request.method,
            f"/v3/company/{self.realm}{request.path}",
            dict(request.query),
            {"authorization": f"Bearer {self._token}"},
            body,
        )
        self.sent.append(sent)
        answer = self.sandbox.handle(sent, self.now)
        raw = answer.body if isinstance(answer.body, bytes) else _json.encode(answer.body)
        return Response(answer.status, dict(answer.headers), raw)

    def resolved(self, value: Any) -> Any:
        match value:
            case Remote(ref):
                return self.known[ref]
            case Mapping():
                return {key: self.resolved(item) for key, item in value.items()}
            case list() | tuple():
                return [self.resolved(item) for item in value]
        return value

    def stored(self, entity: str) -> list[dict[str, Any]]:
        """The company's objects of that kind, made since it was opened."""
        company = self.sandbox.state()["companies"].get(self.realm, {})
        return [one for one in company.get(entity, []) if int(one["Id"]) > 1000]
