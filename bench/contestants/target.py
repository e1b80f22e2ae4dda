"""A target for the bench: no call at all, or one POST an event, with an idempotency key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from libs.canonical.event import AnyEvent
from libs.connectors.contract.connector import Connector
from libs.connectors.contract.http import Request, Response
from libs.connectors.contract.manifest import Manifest
from libs.connectors.contract.simulator import Simulator
from libs.connectors.contract.target import Deliver, Done, Plan, Ref, Step, Target, Verdict
from libs.runtime.configuration.model import Connection

MANIFEST = Manifest.model_validate(
    {
        "vendor": "bench",
        "title": "A target for the bench",
        "level": "bronze",
        "checked_against": "bench/contestants/answerer.py",
        "documentation": "docs/benchmarks.md",
        "environments": {"sandbox": {"base_url": "http://127.0.0.1"}},
        "authentication": {"scheme": "bearer"},
        "limits": {},
        "target": {
            "kinds": {"refund.completed": {"policy": "strict"}},
            "idempotency": [
                {"means": "native", "horizon_seconds": 86400, "key_in": "header", "key_name": "Idempotency-Key"}
            ],
        },
    }
)


class Settings(BaseModel):
    """`calls`: whether anything is sent."""

    calls: bool


def body(event: AnyEvent) -> dict[str, Any]:
    """What is sent of an event."""
    return {"id": event.id, "key": event.order_key, "refund": event.data.model_dump(mode="json")}


def _plan(event: AnyEvent, config: Settings, _known: Mapping[Ref, str]) -> Plan:
    if not config.calls:
        return Deliver(())
    return Deliver((Step("post", Request("POST", "/refunds", json=body(event)), target_key=event.id),))


def _judge(_step: Step, response: Response) -> Verdict | None:
    return Done(str(response.json["id"])) if response.ok else None


def _nothing(*_any: Any) -> Sequence[Any]:
    return ()


def _no_simulator() -> Simulator:
    raise NotImplementedError("the bench's target is a process: bench/contestants/answerer.py")


CONNECTOR = Connector(
    MANIFEST,
    Path(__file__).parent,
    _no_simulator,
    target=Target(
        manifest=MANIFEST,
        config=Settings,
        references=_nothing,
        plan=_plan,
        judge=_judge,
        found=lambda _step, _response: None,
        probe=lambda _config: Request("GET", "/"),
        check=_nothing,
    ),
)


class BenchConnection(Connection):
    """A connection whose connector is the bench's own instead of a vendor's folder."""

    @property
    def connector(self) -> Connector:
        """The bench's target."""
        return CONNECTOR
