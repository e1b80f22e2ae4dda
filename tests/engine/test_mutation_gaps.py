"""Promises of engine and intake that need no broker to be broken: offsets, waiting keys, filters, tokens, answers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from libs.canonical.event import AnyEvent
from libs.canonical.kinds import KINDS, Kind
from libs.connectors.contract.http import Response
from libs.connectors.contract.target import AuthFailed, Done, Invalid, Verdict
from libs.runtime.configuration.model import Connection
from libs.runtime.configuration.reading import parse_configuration
from libs.runtime.engine.attempts import Attempts
from libs.runtime.engine.calls import Call
from libs.runtime.engine.delivery import Deliverer, Parts
from libs.runtime.engine.dispatch import Dispatcher, Hands, Load
from libs.runtime.engine.engine import Engine
from libs.runtime.engine.intake import Intake
from libs.runtime.engine.lanes import Item, Owned
from libs.runtime.engine.ledger import Ledger
from libs.runtime.engine.planning import Planner
from libs.runtime.engine.remotes import Remotes
from libs.runtime.engine.work import Work
from libs.runtime.http.answers import judge_status
from libs.runtime.kafka.records import Partition
from libs.runtime.kafka.writer import KafkaAway
from services.ingest.spool import NotKept
from services.ingest.webhooks import Door, Webhooks
from tests.system.configuration import configuration
from tests.system.sales import outgoing, sale

HERE = Partition("retail.sales", 0)


def _connection(name: str) -> Connection:
    return parse_configuration(yaml.safe_dump(configuration("http://127.0.0.1:1", 1))).connection(name)


# Offsets ----------------------------------------------------------------------------------------------------------


async def test_an_offset_is_committed_only_after_its_work() -> None:
    """While an event is in hand its offset is not committed: a crash now must read it again."""
    settings: Any = SimpleNamespace(lease_seconds=60, http_timeout_seconds=3)
    engine = Engine(_connection("qbo-receipts"), settings, cast("Any", None), cast("Any", None))
    commits: list[int] = []
    may_end = asyncio.Event()

    async def commit(offsets: dict[Any, int]) -> None:
        commits.extend(offsets.values())

    async def take_in(items: list[Item]) -> list[None]:
        await may_end.wait()
        return [None for _ in items]

    engine._consumer = cast("Any", SimpleNamespace(commit=commit))
    unused = cast("Any", None)
    intake, circuit = cast("Any", SimpleNamespace(take_in=take_in)), cast("Any", SimpleNamespace(closed=True))
    dispatcher = Dispatcher("c", Hands(unused, intake, unused, circuit), Load(8), engine.progress, unused)
    engine._dispatcher = dispatcher
    engine._owned[HERE] = Owned(HERE, 1)
    message = SimpleNamespace(offset=41, key=b"k", value=b"{}", headers=(), timestamp=0)
    engine._admit(cast("Any", SimpleNamespace(topic=HERE.topic, partition=HERE.number)), [message])
    dispatcher.go_on()
    await asyncio.sleep(0)
    await engine._commit()
    assert commits in ([], [41]), "at most up to the event itself, never past it"
    may_end.set()
    await asyncio.wait(dispatcher._batches)
    await engine._commit()
    assert commits[-1] == 42


# One event --------------------------------------------------------------------------------------------------------


@dataclass
class _Stage:
    """A deliverer on a real ledger; the target, its credentials and the rules are the test's."""

    pool: Any
    verdicts: list[Verdict] = field(default_factory=list)
    credentials: list[str | None] = field(default_factory=list)
    rule: str | None = None
    locked: set[str] = field(default_factory=set)
    sent: list[str] = field(default_factory=list)
    state: str = "closed"

    # The caller
    native: Any = None

    async def perform(self, call: Call, _key: str) -> Verdict:
        """Answer with the next verdict; the last one again and again."""
        self.sent.append(call.step.name)
        return self.verdicts.pop(0) if self.verdicts else Done(f"remote-{len(self.sent)}")

    async def look_up(self, _step: Any, _urgency: Any) -> Verdict | None:
        """Nothing is there."""
        return None

    async def renew_credentials(self) -> bool:
        """There are no newer ones."""
        return False

    # The circuit
    async def ask(self) -> str | None:
        """What the credential probe finds."""
        return self.credentials.pop(0) if self.credentials else None

    async def enter(self, _given_up: Any) -> bool:
        """Come in."""
        return True

    async def leave(self) -> None:
        """Go."""

    success = leave

    # The rules
    started_at = datetime(2026, 11, 1, tzinfo=UTC)

    def against(self, _event: AnyEvent) -> str | None:
        """The rule set by the test."""
        return self.rule

    # The dead letters
    async def try_to_publish(self, letter: Any) -> bool:
        """Note the letter."""
        self.sent.append(f"dead letter: {letter.reason}")
        return True

    async def deliver(self, event: AnyEvent) -> dict[str, Any]:
        """Handle the event as the engine does; gives its row of the ledger."""
        ledger = Ledger(self.pool, "qbo-receipts", lease=60)
        owned = Owned(HERE, await ledger.own(HERE, "test"), self.locked)
        connection = _connection("qbo-receipts")
        me = cast("Any", self)
        assert connection.connector.target is not None
        remotes = Remotes(ledger)
        planner = Planner(connection, connection.connector.target, ledger, remotes, me)
        attempts = Attempts(connection.id, caller=me, client=me, circuit=me, remotes=remotes, upserts=False)
        deliverer = Deliverer(connection, Parts(ledger, planner, remotes, attempts, me, me))
        intake = Intake(connection, ledger, planner, deliverer.settle_as)
        settling = asyncio.create_task(deliverer.settlements.run())
        record = outgoing(event)
        item = Item(owned, 7, event.order_key, record.key, record.value, tuple(record.headers))
        owned.enqueue(item)
        try:
            (outcome,) = await intake.take_in([item])
            if isinstance(outcome, Work):
                await deliverer.send(outcome)
            else:
                assert outcome is None, outcome
        finally:
            settling.cancel()
        row = await self.pool.fetchrow("select * from delivery where event_id = $1", event.id)
        return dict(row) if row else {}


@pytest.fixture
async def stage(pool: Any) -> _Stage:
    """A target that takes everything."""
    await pool.execute("insert into connection_state (connection) values ('qbo-receipts')")
    return _Stage(pool)


async def test_what_is_delivered_is_settled_with_its_remote_id(stage: _Stage) -> None:
    """The stage itself works: without this the other tests would prove nothing."""
    row = await stage.deliver(sale(1))
    assert (row["state"], row["remote_id"]) == ("delivered", "remote-1"), row
    assert stage.sent
    assert await stage.deliver(sale(1)) == row, "a repeat has no second effect"
    assert len(stage.sent) == 1


async def test_a_waiting_key_is_respected(stage: _Stage) -> None:
    """Something of this key is parked or dead: what follows is set aside behind it and not sent."""
    stage.locked.add(sale(1).order_key)
    row = await stage.deliver(sale(1))
    assert (row["state"], row["class"]) == ("parked", "behind")
    assert row["value"] is not None, "it must be possible to send it later"
    assert stage.sent == []
    assert (await stage.deliver(sale(2)))["state"] == "delivered", "another key does not wait"


async def test_a_filtered_event_is_counted(stage: _Stage) -> None:
    """It has its row, with the rule: nothing that was offered may be without an account."""
    stage.rule = "location L1 is not among the configured locations"
    row = await stage.deliver(sale(1))
    assert (row["state"], row["reason"]) == ("filtered", stage.rule)
    assert stage.sent == []


async def test_an_expired_token_is_no_fault_of_the_event(stage: _Stage) -> None:
    """The probe is refused as well: wait and try again; no dead letter."""
    stage.verdicts = [AuthFailed("HTTP 401"), AuthFailed("HTTP 401"), Done("9")]
    stage.credentials = ["HTTP 401", "HTTP 401"]
    row = await stage.deliver(sale(1))
    assert (row["state"], row["remote_id"]) == ("delivered", "9")


async def test_a_refusal_with_good_credentials_is_poison(stage: _Stage) -> None:
    """403 for this event alone while the probe is accepted: a dead letter, with its bytes."""
    stage.verdicts = [AuthFailed("HTTP 403")]
    row = await stage.deliver(sale(1))
    assert (row["state"], row["class"], row["in_topic"]) == ("dead", "poison", True)
    assert row["value"] == outgoing(sale(1)).value


@pytest.mark.parametrize(("status", "expected"), [(401, AuthFailed), (403, AuthFailed), (400, Invalid), (200, Done)])
def test_a_refused_token_is_not_a_refused_event(status: int, expected: type) -> None:
    """401 and 403 speak of us, 400 of the event."""
    assert isinstance(judge_status(Response(status), reads=False), expected)


def test_what_came_too_late_to_be_of_use_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind can be of use for a while only (a kitchen's ticket): after that it is superseded, with that reason."""
    spec = replace(KINDS[Kind.SALE_COMPLETED], useful_for=timedelta(minutes=30))
    monkeypatch.setitem(KINDS, Kind.SALE_COMPLETED, spec)
    connection, unused = _connection("qbo-receipts"), cast("Any", None)
    assert connection.connector.target is not None
    planner = Planner(connection, connection.connector.target, unused, unused, unused)
    event = sale(1)
    owned = Owned(HERE, 1)
    item = Item(owned, 7, event.order_key, None, None, ())
    owned.enqueue(item)
    now = datetime.now(UTC)
    late, fresh = (event.model_copy(update={"occurred_at": now - timedelta(minutes=m)}) for m in (31, 29))
    assert planner.needless(item, late) == "of no use any more: it happened more than 30 minutes ago"
    assert planner.needless(item, fresh) is None


# Intake -----------------------------------------------------------------------------------------------------------


@dataclass
class _Intake:
    """Kafka and spool of an entrance, each of which can refuse."""

    kafka_takes: bool = True
    spool_takes: bool = True
    kept: list[str] = field(default_factory=list)

    async def publish(self, topic: str, *_: Any, within: float) -> None:
        """Confirm after a moment, or not in time."""
        await asyncio.sleep(0.01)
        if not self.kafka_takes:
            raise KafkaAway(f"not confirmed within {within} s")
        self.kept.append(topic)

    def worth_trying(self, _topic: str) -> bool:
        """Nothing is known against it."""
        return True

    async def keep(self, record: Any, *, within: float) -> None:
        """Commit, or not in time."""
        if not self.spool_takes:
            raise NotKept(f"not committed within {within} s")
        self.kept.append(f"spool: {record.topic}")


async def _post(intake: _Intake) -> int:
    connection = _connection("square-main")
    source = connection.connector.source
    assert source is not None
    unsigned = SimpleNamespace(manifest=source.manifest, verify=lambda *_: None, identify=source.identify)
    body = (
        b'{"merchant_id": "ML1", "type": "payment.updated", "event_id": "e1", "data": {"type": "payment", "id": "P1", '
        b'"object": {"payment": {"id": "P1", "order_id": "O1", "status": "COMPLETED"}}}}'
    )

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    answers: list[Any] = []

    async def send(message: Any) -> None:
        answers.append(message)

    door = Door(connection, cast("Any", unsigned), {})
    webhooks = Webhooks({"square-main": door}, cast("Any", intake), cast("Any", intake))
    await webhooks.receive("square-main", {"type": "http", "method": "POST", "headers": []}, receive, send)
    return int(answers[0]["status"])


@pytest.mark.parametrize(
    ("kafka", "spool", "status", "kept"),
    [(True, True, 200, ["inbox.square"]), (False, True, 200, ["spool: inbox.square"]), (False, False, 503, [])],
)
async def test_an_answer_comes_after_the_record_is_kept(kafka: bool, spool: bool, status: int, kept: list[str]) -> None:
    """2xx only when Kafka or the spool has it, at the moment of the answer; else 503."""
    intake = _Intake(kafka, spool)
    assert (await _post(intake), intake.kept) == (status, kept)
