"""One call of a step, alone or in a batch: limiter, one at a time per target key, verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

from libs.canonical.identity import digest
from libs.connectors.contract.http import Request, Response
from libs.connectors.contract.manifest import Idempotency
from libs.connectors.contract.target import (
    AuthFailed,
    Done,
    Invalid,
    Outage,
    Ref,
    Remote,
    Step,
    Target,
    Throttled,
    UnknownOutcome,
    Verdict,
)
from libs.runtime.engine.batcher import Batcher
from libs.runtime.http.answers import judge_status
from libs.runtime.http.client import CredentialsRefused, NoAnswer, NotSent, VendorClient
from libs.runtime.limits import Limiter
from libs.runtime.telemetry.metrics import ATTEMPTS, CALL_SECONDS


class RemoteUnknown(Exception):
    """A placeholder's remote id is not known: the object it names was never made by us."""

    def __init__(self, ref: Ref) -> None:
        super().__init__(f"{ref.kind} {ref.key} is not known at the target")
        self.ref = ref


def resolve(value: Any, known: Mapping[Ref, str]) -> Any:
    """A request's JSON with placeholders replaced by remote ids; raises RemoteUnknown."""
    if isinstance(value, Remote):
        try:
            return known[value.ref]
        except KeyError:
            raise RemoteUnknown(value.ref) from None
    if isinstance(value, Mapping):
        return {key: resolve(item, known) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [resolve(item, known) for item in value]
    return value


def idempotency_key(connection: str, owner: str, step: str, generation: int) -> str:
    """22 characters, the same for every try of this step. `owner` is the event's id, or a shared object's key."""
    return digest(connection, owner, step, generation)


@dataclass(frozen=True)
class Call:
    """A step ready to send. `trace_id` tells it apart within a batch."""

    step: Step
    trace_id: str


class Caller:
    """Makes the calls of one connection."""

    def __init__(self, connection: str, target: Target, client: VendorClient, limiter: Limiter) -> None:
        self._connection, self._target, self._client, self._limiter = connection, target, client, limiter
        facts = target.manifest.target
        assert facts is not None
        self._native = next((i for i in facts.idempotency if i.means == "native"), None)
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}
        self._batchers: dict[str, Batcher[Call, Verdict]] = {}
        for name, batch in facts.batches.items():
            self._batchers[name] = Batcher(self._flusher(name), size=batch.max_items, linger=0.02)

    @property
    def native(self) -> Idempotency | None:
        """The vendor's own idempotency key, if it has one."""
        return self._native

    def loops(self) -> list[asyncio.Task[None]]:
        """The tasks that join steps into batch calls; to be cancelled at the end."""
        return [asyncio.create_task(batcher.run()) for batcher in self._batchers.values() for _ in range(2)]

    async def perform(self, call: Call, key: str) -> Verdict:
        """Send one step, by itself or joined with others of its batch."""
        if call.step.batch and self._target.batching:
            return await self._batchers[call.step.batch].submit(call)
        request = call.step.request
        native = self._native
        if native and call.step.native_key and not call.step.reads:
            assert native.key_name is not None
            if native.key_in == "query":
                request = request.with_query(**{native.key_name: key})
            else:
                request = request.with_header(native.key_name, key)
        async with self._one_at_a_time([call.step.target_key]):
            return await self._send(replace(call.step, request=request))

    async def look_up(self, step: Step) -> Done | Verdict | None:
        """Whether the step was done before: Done, None (it was not), or what went wrong with asking."""
        assert step.lookup is not None
        asking = replace(step, request=step.lookup, reads=True)
        response = await self._call(asking.request, reads=True)
        if not isinstance(response, Response):
            return response
        if response.status == 404:
            return None
        verdict = self._target.judge(asking, response) or judge_status(response, reads=True)
        # Only an answer that is one of the vendor's says that nothing was found; garbage with status 200 does not.
        return self._target.found(step, response) if isinstance(verdict, Done) else verdict

    async def probe(self, request: Request) -> str | None:
        """Ask the target something cheap; None when it answers and accepts our credentials, else the reason."""
        response = await self._call(request, reads=True)
        if not isinstance(response, Response):
            return getattr(response, "reason", "no answer")
        step = Step("probe", request, "probe", reads=True)
        verdict = self._target.judge(step, response) or judge_status(response, reads=True)
        if isinstance(verdict, AuthFailed):
            if not await self._client.renew_credentials():
                return f"credentials refused: {verdict.reason}"
            response = await self._call(request, reads=True)
            again = isinstance(response, Response) and response.ok
            return None if again else f"credentials refused: {verdict.reason}"
        if isinstance(verdict, Outage | UnknownOutcome):
            return verdict.reason
        return None  # it answers; even a throttled target is there

    async def _send(self, step: Step) -> Verdict:
        response = await self._call(step.request, reads=step.reads)
        if not isinstance(response, Response):
            return self._count(response)
        return self._count(self._target.judge(step, response) or judge_status(response, reads=step.reads))

    def _count(self, verdict: Verdict) -> Verdict:
        ATTEMPTS.labels(self._connection, type(verdict).__name__).inc()
        if isinstance(verdict, Throttled):
            self._limiter.pause(verdict.after if verdict.after is not None else 1.0)
        return verdict

    async def _call(self, request: Request, *, reads: bool) -> Response | Verdict:
        try:
            async with self._limiter.slot():
                with CALL_SECONDS.labels(self._connection).time():
                    return await self._client.send(request)
        except NotSent as error:
            return Outage(f"not reachable ({error})")
        except NoAnswer as error:
            return Outage(f"no answer ({error})") if reads else UnknownOutcome(f"no answer ({error})")
        except CredentialsRefused as error:
            return AuthFailed(str(error))

    def _flusher(self, name: str) -> Any:
        async def flush(calls: Sequence[Call]) -> Sequence[Verdict]:
            return await self._joined(name, calls)

        return flush

    async def _joined(self, name: str, calls: Sequence[Call]) -> Sequence[Verdict]:
        """One batch call; several when two steps are about one object, or when it was refused as a whole."""
        batching = self._target.batching
        assert batching is not None
        verdicts: dict[str, Verdict] = {}
        left = list(calls)
        while left:
            now: dict[str, Call] = {}
            for call in left:
                now.setdefault(call.step.target_key, call)
            chosen = list(now.values())
            async with self._one_at_a_time(list(now)):
                verdicts.update(await self._batch(name, chosen))
            left = [call for call in left if call.trace_id not in verdicts]
        return [verdicts[call.trace_id] for call in calls]

    async def _batch(self, name: str, calls: Sequence[Call]) -> dict[str, Verdict]:
        batching = self._target.batching
        assert batching is not None
        steps, ids = [call.step for call in calls], [call.trace_id for call in calls]
        response = await self._call(batching.join(name, steps, ids), reads=False)
        if not isinstance(response, Response):
            return dict.fromkeys(ids, self._count(response))
        split = batching.split(name, steps, ids, response)
        if split is not None:
            return {i: self._count(verdict) for i, verdict in zip(ids, split, strict=True)}
        whole = self._target.judge(steps[0], response) or judge_status(response, reads=False)
        if isinstance(whole, Done):
            whole = UnknownOutcome("the answer to the batch could not be read")
        if isinstance(whole, Invalid) and len(calls) > 1:
            # One bad item makes the vendor refuse them all: halve until it stands alone.
            half = len(calls) // 2
            return await self._batch(name, calls[:half]) | await self._batch(name, calls[half:])
        return dict.fromkeys(ids, self._count(whole))

    def _one_at_a_time(self, keys: Sequence[str]) -> AsyncExitStack:
        return _Locks(self._locks, sorted(set(keys)))


class _Locks(AsyncExitStack):
    """Holds the locks of several target keys, taken in one order by everybody, dropped when nobody waits."""

    def __init__(self, locks: dict[str, tuple[asyncio.Lock, int]], keys: Sequence[str]) -> None:
        super().__init__()
        self._all, self._keys = locks, keys

    async def __aenter__(self) -> _Locks:
        for key in self._keys:
            lock, users = self._all.get(key, (asyncio.Lock(), 0))
            self._all[key] = (lock, users + 1)
            self.callback(self._forget, key)
            await self.enter_async_context(lock)
        return self

    def _forget(self, key: str) -> None:
        lock, users = self._all[key]
        if users == 1:
            del self._all[key]
        else:
            self._all[key] = (lock, users - 1)
