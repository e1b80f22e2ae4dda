"""One call of a step, alone or in a batch: limiter, one at a time per target key, verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from libs.canonical.identity import digest
from libs.connectors.contract.http import Request, Response
from libs.connectors.contract.manifest import Batch, Idempotency
from libs.connectors.contract.target import (
    AuthFailed,
    Done,
    Outage,
    Ref,
    Remote,
    Step,
    Target,
    Throttled,
    UnknownOutcome,
    Verdict,
)
from libs.runtime.database.pool import Pool
from libs.runtime.engine.batch_calls import BatchCalls
from libs.runtime.engine.compositions import Compositions
from libs.runtime.engine.exclusive import Exclusive, Turn
from libs.runtime.engine.keyed_batches import KeyedBatchCalls, with_key
from libs.runtime.engine.sending import Call, Sender
from libs.runtime.engine.target_locks import TargetLocks
from libs.runtime.http.answers import judge_status
from libs.runtime.http.client import VendorClient
from libs.runtime.limits import Limiter, Urgency

__all__ = ["Call", "Caller", "RemoteUnknown", "idempotency_key", "resolve"]


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


class Caller:
    """Makes the calls of one connection. Without `pool` it is alone, and batches have no keys."""

    def __init__(
        self, connection: str, target: Target, client: VendorClient, limiter: Limiter, pool: Pool | None = None
    ) -> None:
        self._target, self._client, self._pool = target, client, pool
        self._sender = Sender(connection, client, limiter)
        facts = target.manifest.target
        assert facts is not None
        self._native = facts.native
        self._locks = TargetLocks()
        self._exclusive = Exclusive(pool, connection) if pool is not None else None
        self._batches = (
            {name: self._batch(name, batch) for name, batch in facts.batches.items()} if target.batching else {}
        )

    def _batch(self, name: str, batch: Batch) -> BatchCalls:
        if batch.key == "none" or self._pool is None or self._exclusive is None:
            return BatchCalls(name, self._target, self._sender, self._locks, size=batch.max_items)
        assert self._native is not None
        kept = Compositions(self._pool, self._sender.connection, name, horizon=float(self._native.horizon_seconds or 0))
        return KeyedBatchCalls(
            name, self._target, self._sender, self._locks, size=batch.max_items, native=self._native,
            compositions=kept, exclusive=self._exclusive,
        )  # fmt: skip

    @property
    def native(self) -> Idempotency | None:
        """The vendor's own idempotency key, if it has one."""
        return self._native

    def loops(self) -> list[asyncio.Task[None]]:
        """The tasks that join steps into batch calls; to be cancelled at the end."""
        return [asyncio.create_task(batch.run()) for batch in self._batches.values() for _ in range(2)]

    async def perform(self, call: Call, key: str) -> Verdict:
        """Send one step, by itself or joined with others of its batch.

        An object that several events need is asked for once more and made by one replica at a time: two of them, each
        with an event in hand that needs it, would both find nothing and make two.
        """
        step = call.step
        batch = self._batches.get(step.batch or "")
        # A key over the whole stands for events' own steps; one that events share is sent by itself, with its own key.
        if batch is not None and not (step.shared and isinstance(batch, KeyedBatchCalls)):
            return await batch.perform(call, key)
        request = step.request
        if self._native and step.native_key and not step.reads:
            request = with_key(request, self._native, key)
        async with self._locks.hold([step.target_key]):
            if not (step.shared and step.ask_first and step.lookup) or step.reads:
                return self._judged(step, await self._sender.send_call(call, request))
            async with self._exclusive.alone(step.target_key) if self._exclusive else nullcontext(Turn()) as turn:
                found = await self.look_up(step, call.urgency)
                if found is not None:
                    return found
                response = await self._sender.send_call(call, request)
                # Not yet judged: this says that no answer came at all.
                turn.over = not isinstance(response, UnknownOutcome)
                return self._judged(step, response)

    async def look_up(self, step: Step, urgency: Urgency = Urgency.LIVE) -> Done | Verdict | None:
        """Whether the step was done before: Done, None (it was not), or what went wrong with asking."""
        assert step.lookup is not None
        asking = replace(step, request=step.lookup, reads=True)
        response = await self._sender.send(asking.request, reads=True, urgency=urgency)
        if not isinstance(response, Response):
            return response
        if response.status == 404:
            return None
        verdict = self._target.judge(asking, response) or judge_status(response, reads=True)
        # Only an answer that is one of the vendor's says that nothing was found; garbage with status 200 does not.
        return self._target.found(step, response) if isinstance(verdict, Done) else self._sender.count(verdict)

    async def probe(self, request: Request) -> str | None:
        """Ask the target something cheap; None when it answers and accepts our credentials, else the reason."""
        response = await self._sender.send(request, reads=True)
        if not isinstance(response, Response):
            return getattr(response, "reason", "no answer")
        step = Step("probe", request, "probe", reads=True)
        verdict = self._target.judge(step, response) or judge_status(response, reads=True)
        if isinstance(verdict, AuthFailed):
            if not await self._client.renew_credentials():
                return f"credentials refused: {verdict.reason}"
            response = await self._sender.send(request, reads=True)
            again = isinstance(response, Response) and response.ok
            return None if again else f"credentials refused: {verdict.reason}"
        if isinstance(verdict, Outage | UnknownOutcome):
            return verdict.reason
        if isinstance(verdict, Throttled):
            self._sender.count(verdict)  # it is there, and wants to be left alone
        return None

    def _judged(self, step: Step, response: Response | Verdict) -> Verdict:
        if isinstance(response, Response):
            response = self._target.judge(step, response) or judge_status(response, reads=step.reads)
        return self._sender.count(response)
