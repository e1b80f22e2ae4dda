"""A vendor in memory: it does what it is told, or what its weather says, and keeps a record of every effect.

What no vendor should ever see, it notes as a complaint: an effect twice, an older one after a newer, two calls at once
for one order key, more calls than it allows.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

from libs.connectors.contract.http import Request, Response
from libs.connectors.contract.manifest import Limits
from libs.runtime.http.client import NoAnswer, NotSent
from tests.model.clock import Clock, VirtualLoop
from tests.model.flavours import KEY_HEADER, Flavour

Weather = Literal[
    "fair", "away", "unavailable", "broken", "silent", "slow", "cut", "garbage", "throttling", "expired", "unauthorised"
]  # fmt: skip
Curse = Literal["poison", "forbidden", "conflict", "missing", "sick"]
_CURSED = {"poison": 400, "forbidden": 403, "conflict": 409, "missing": 424, "sick": 500}
# Of several writes in one call these are refused one by one; for any other all of them are.
_EACH_BY_ITSELF = (409, 424)
_REFUSED: dict[Weather, int] = {"unavailable": 503, "expired": 401, "unauthorised": 401}
_KEYED: tuple[Flavour, ...] = ("native", "keyed", "journal")
# An effect comes within these seconds after a call came in, whatever becomes of the answer.
_LONGEST = 15.0


@dataclass(frozen=True)
class Effect:
    """A write that changed something. `event` and `step` say whose."""

    event: str
    step: str
    key: str
    version: int
    at: float


@dataclass
class Vendor:
    """The target. `places` tells where in its order key's history an event stands."""

    loop: VirtualLoop
    clock: Clock
    random: Random
    flavour: Flavour
    limits: Limits
    places: dict[str, int]
    weather: Weather = "fair"
    curses: dict[str, Curse] = field(default_factory=dict)
    effects: list[Effect] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    calls: int = 0
    writes: int = 0
    most_at_once: int = 0  # writes in one call
    answers_lost: bool = False  # what is done is done, and nobody hears of it
    write_takes: float | None = None  # seconds until a write has its effect; None: as the weather has it
    _arrivals: list[float] = field(default_factory=list)
    _under_way: int = 0
    _keys_under_way: dict[str, str] = field(default_factory=dict)
    _batches_under_way: set[str] = field(default_factory=set)
    _items: dict[str, str] = field(default_factory=dict)
    _remembered: dict[str, tuple[str, Response]] = field(default_factory=dict)
    _made: dict[tuple[str, str], str] = field(default_factory=dict)
    _of_key: dict[str, list[Effect]] = field(default_factory=lambda: defaultdict(list))

    # A call -----------------------------------------------------------------------------------------------------

    async def answer(self, request: Request) -> Response:
        """One call, from its arrival to its answer. Raises NotSent, NoAnswer."""
        if self.weather == "away":
            await asyncio.sleep(self.random.uniform(0, 1))
            raise NotSent("connection refused")
        self._count()
        self.writes += request.method != "GET"
        self._under_way += 1
        if self._under_way > self.limits.concurrency:
            self.complaints.append(f"{self._under_way} calls at once")
        body = request.json or {}
        writes = [write for write in _writes(body) if "key" in write]
        self.most_at_once = max(self.most_at_once, len(writes))
        if self.weather == "cut" and request.method != "GET" and self.random.random() < 0.5:
            self._under_way -= 1
            self.loop.create_task(self._late(request, writes), context=Context())
            await asyncio.sleep(0.05)
            raise NoAnswer("connection reset")
        self._begin(writes)
        try:
            takes = self.random.uniform(0.01, _LONGEST if self.weather == "slow" else 0.3)
            await asyncio.sleep(takes if self.write_takes is None or request.method == "GET" else self.write_takes)
            response = self._react(request, body)
        finally:
            self._under_way -= 1
            self._end(writes)
        if self.weather == "slow":
            await asyncio.sleep(self.random.uniform(0, 2 * _LONGEST))
        return response

    async def _late(self, request: Request, writes: list[dict[str, Any]]) -> None:
        """The connection is gone, and the call goes on."""
        own_key = self.flavour in _KEYED  # then a second one beside it is harmless
        if not own_key:
            self._begin(writes)
        batch = request.headers.get(KEY_HEADER, "") if self.flavour == "keyed" else ""
        self._batches_under_way.add(batch)
        await asyncio.sleep(self.random.uniform(0.01, _LONGEST))
        self._batches_under_way.discard(batch)
        with contextlib.suppress(NoAnswer):
            self._react(request, request.json)
        if not own_key:
            self._end(writes)

    def _begin(self, writes: list[dict[str, Any]]) -> None:
        for write in writes:
            key, event = write["key"], write["event"]
            if key in self._keys_under_way:
                self.complaints.append(f"two writes at once for {key}: {self._keys_under_way[key]} and {event}")
            self._keys_under_way[key] = event

    def _end(self, writes: list[dict[str, Any]]) -> None:
        for write in writes:
            self._keys_under_way.pop(write["key"], None)

    def _count(self) -> None:
        self.calls += 1
        now = self.clock.seconds
        self._arrivals.append(now)
        for window in self.limits.windows:
            before = len(self._arrivals) - 1 - window.calls
            if before >= 0 and now - self._arrivals[before] < window.seconds - 1e-6:
                self.complaints.append(f"more than {window.calls} calls in {window.seconds} s")

    def _react(self, request: Request, body: dict[str, Any]) -> Response:
        weather, luck = self.weather, self.random.random()
        if weather in _REFUSED:
            return Response(_REFUSED[weather])
        if weather == "throttling" and luck < 0.6:
            return Response(429, {"retry-after": "3"} if luck < 0.3 else {})
        if weather in ("broken", "silent", "garbage") and luck < 0.3:
            return self._fail()
        if request.headers.get(KEY_HEADER) in self._batches_under_way:
            return Response(409)  # as some do: it is being worked on under this very key
        for write in _writes(body):
            refused = self._refused(write)
            if refused and not ("items" in body and refused in _EACH_BY_ITSELF):
                return Response(refused)
        response = self._do(request, body)
        if self.answers_lost and request.method != "GET":
            raise NoAnswer("connection lost")
        if weather in ("broken", "silent", "garbage") and luck < 0.6:
            return self._fail()
        return response

    def _fail(self) -> Response:
        if self.weather == "silent":
            raise NoAnswer("connection lost")
        return Response(500) if self.weather == "broken" else Response(200, {}, b"<html>Please come back later")

    def _refused(self, write: dict[str, Any]) -> int | None:
        """The status that this write draws because of what it is."""
        curse = self.curses.get(write.get("event", ""))
        return None if curse is None else _CURSED[curse]

    def steps_done(self, event: str) -> set[str]:
        """The steps of an event that had their effect."""
        return {step for name, step in self._made if name == event}

    # What is done -----------------------------------------------------------------------------------------------

    def _do(self, request: Request, body: dict[str, Any]) -> Response:
        if request.method == "GET":
            return self._tell(request)
        if "sku" in body:
            if body["sku"] in self._items:
                self.complaints.append(f"article {body['sku']} made twice")
            return _json(id=self._items.setdefault(body["sku"], f"item-{len(self._items)}"))
        if self.flavour in _KEYED:
            return self._once_per_key(request.headers.get(KEY_HEADER, ""), body)
        return self._write(body)

    def _once_per_key(self, key: str, body: dict[str, Any]) -> Response:
        text = json.dumps(body, sort_keys=True)
        if not key:
            self.complaints.append(f"no key on {text}")
        if key in self._remembered:
            said, response = self._remembered[key]
            if said != text:
                self.complaints.append(f"another body under the same key: {said} and {text}")
            return response
        response = self._write(body)
        self._remembered[key] = (text, response)
        return response

    def _write(self, body: dict[str, Any]) -> Response:
        if "items" not in body:
            return _json(id=self._effect(body))
        results = []
        for write in body["items"]:
            refused = self._refused(write)
            told = {"status": refused} if refused else {"status": 200, "id": self._effect(write)}
            results.append({"trace": write["trace"], **told})
        self.random.shuffle(results)  # in no order that anybody may rely on
        return _json(results=results)

    def _effect(self, body: dict[str, Any]) -> str:
        """The id of what is there afterwards."""
        event, step, key = body["event"], body["step"], body["key"]
        before = self._of_key[key]
        made = self._made.get((event, step))
        if made is not None and self.flavour in ("upsert", "batched") and before[-1].event == event:
            return made  # it says once more what is there already
        if made is not None:
            self.complaints.append(f"{event} {step} twice")
        later = [other.event for other in before if self.places[other.event] > self.places[event]]
        if later:
            self.complaints.append(f"{event} {step} after {later[-1]}, which follows it")
        effect = Effect(event, step, key, body["version"], self.clock.seconds)
        self.effects.append(effect)
        before.append(effect)
        if step == "lines" and body["order"] != self._made.get((event, "order")):
            self.complaints.append(f"{event} lines of another order")
        return self._made.setdefault((event, step), f"{step}-{len(self.effects)}")

    def _tell(self, request: Request) -> Response:
        if request.path == "/ping":
            return _json(ok=True)
        if request.path == "/items":
            return _json(id=self._items.get(request.query["sku"]))
        return _json(id=self._made.get((request.query["event"], request.path.removeprefix("/"))))


def _writes(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The writes of a call: one, or those of a batch."""
    writes: list[dict[str, Any]] = body.get("items", [body])
    return writes


def _json(**content: Any) -> Response:
    return Response(200, {"content-type": "application/json"}, json.dumps(content).encode())


class Client:
    """A replica's connections to the vendor. What was sent goes on there, whatever becomes of the replica."""

    def __init__(self, vendor: Vendor, alive: Callable[[], bool], timeout: float) -> None:
        self._vendor, self._alive, self._timeout = vendor, alive, timeout

    async def send(self, request: Request) -> Response:
        """The answer. Raises NotSent, NoAnswer."""
        if not self._alive():
            raise asyncio.CancelledError
        call = self._vendor.loop.create_task(self._vendor.answer(request), context=Context())
        call.add_done_callback(lambda done: done.exception())  # nobody may be there any more to hear of it
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.shield(call)
        except TimeoutError:
            raise NoAnswer("TimeoutError") from None

    async def renew_credentials(self) -> bool:
        """Whether there are newer ones."""
        await asyncio.sleep(0.1)
        if self._vendor.weather == "expired":
            self._vendor.weather = "fair"
            return True
        return False

    async def close(self) -> None:
        """Nothing to let go of."""
