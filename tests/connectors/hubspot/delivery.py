"""A delivery against the simulator, as simple as can be: steps in order, remote ids remembered, batches joined."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from libs.canonical.event import AnyEvent
from libs.connectors.contract.dry_run import plan_event
from libs.connectors.contract.http import Request, Response
from libs.connectors.contract.simulator import SimRequest
from libs.connectors.contract.target import Deliver, Done, Plan, Ref, Remote, Step, Verdict
from libs.connectors.hubspot.batching import BATCHING
from libs.connectors.hubspot.config import Config
from libs.connectors.hubspot.sandbox import DEFAULT_TOKEN, HubSpotSimulator
from libs.connectors.hubspot.target import TARGET
from tests.connectors.hubspot.sales import NOON


class Hub:
    """A HubSpot account and what we remember of it."""

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        self.simulator = HubSpotSimulator()
        self.simulator.configure(options)
        self.config = config or Config()
        self.known: dict[Ref, str] = {}
        self.now: datetime = NOON

    def call(self, request: Request, token: str = DEFAULT_TOKEN) -> Response:
        """One call, JSON over the wire."""
        self.now += timedelta(milliseconds=200)
        sent = SimRequest(
            method=request.method,
            path=request.path,
            query=request.query,
            headers={"authorization": f"Bearer {token}"},
            body=b"" if request.json is None else json.dumps(request.json).encode(),
        )
        answer = self.simulator.handle(sent, self.now)
        raw = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        return Response(answer.status, answer.headers, b"" if answer.body is None else raw)

    def resolved(self, step: Step) -> Step:
        """The step with remote ids in place of placeholders."""
        return replace(step, request=replace(step.request, json=self._filled(step.request.json)))

    def _filled(self, value: Any) -> Any:
        if isinstance(value, Remote):
            return self.known[value.ref]
        if isinstance(value, dict):
            return {key: self._filled(item) for key, item in value.items()}
        return [self._filled(item) for item in value] if isinstance(value, list) else value

    def plan(self, event: AnyEvent) -> Plan:
        """The plan with what is remembered."""
        return plan_event(TARGET, event, self.config, self.known)

    def deliver(self, event: AnyEvent) -> list[Verdict | None]:
        """All steps until one is not done; their verdicts."""
        plan = self.plan(event)
        assert isinstance(plan, Deliver), plan
        return self.send(plan.steps)

    def send(self, steps: tuple[Step, ...]) -> list[Verdict | None]:
        """These steps until one is not done; their verdicts."""
        verdicts: list[Verdict | None] = []
        for step in steps:
            if step.once and step.provides in self.known:
                continue
            verdict = self.step(self.resolved(step))
            verdicts.append(verdict)
            if not isinstance(verdict, Done):
                break
            self.remember(step, verdict)
        return verdicts

    def step(self, step: Step) -> Verdict | None:
        """One step, by its batch call when it has one."""
        if step.batch is None:
            return TARGET.judge(step, self.call(step.request))
        verdicts = self.together(step)
        return verdicts[0] if verdicts else None

    def together(self, *steps: Step) -> list[Verdict] | None:
        """Several steps in one call; None when the answer was about the call as a whole and not one step's."""
        batch = str(steps[0].batch)
        traces = [f"trace-{n}" for n in range(len(steps))]
        response = self.call(BATCHING.join(batch, steps, traces))
        verdicts = BATCHING.split(batch, steps, traces, response)
        if verdicts is None and len(steps) == 1:
            judged = TARGET.judge(steps[0], response)
            return [judged] if judged else None
        return None if verdicts is None else list(verdicts)

    def remember(self, step: Step, done: Done) -> None:
        """What the answer told of remote ids."""
        self.known |= done.provides
        if step.provides and done.remote_id:
            self.known[step.provides] = done.remote_id

    def properties(self, kind: str) -> list[dict[str, str]]:
        """The properties of every living object of that type, without HubSpot's own id."""
        objects = [one for one in self.simulator.state()[kind] if not one["archived"]]
        return [{k: v for k, v in one["properties"].items() if k != "hs_object_id"} for one in objects]
