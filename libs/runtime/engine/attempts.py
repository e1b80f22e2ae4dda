"""Trying a step until its answer is about the event itself, and finding out what became of an unanswered one."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from libs.canonical.identity import digest
from libs.connectors.contract.target import (
    AuthFailed,
    Conflict,
    Done,
    Invalid,
    MissingDependency,
    Outage,
    Retry,
    Step,
    Throttled,
    UnknownOutcome,
    Verdict,
)
from libs.runtime.engine.calls import Call, Caller, RemoteUnknown, idempotency_key, resolve
from libs.runtime.engine.circuit import Circuit
from libs.runtime.engine.leases import Leases
from libs.runtime.engine.remotes import Remotes
from libs.runtime.engine.work import Work
from libs.runtime.http.client import VendorClient
from libs.runtime.telemetry.metrics import UNKNOWN_OUTCOMES

# Seconds between tries of one event in this process, before it is parked.
_QUICK_RETRIES = (0.2, 1.0, 4.0)


@dataclass(frozen=True)
class Spilled:
    """Not answered: the connection is paused, and Kafka would delete the record before it is back."""


class Attempts:
    """Carries out single steps of one connection's events. `upserts`: the target's writes may simply be repeated.

    `longest_call`: seconds after which a call without an answer is over. Without `leases` claims are not renewed.
    """

    def __init__(
        self,
        connection: str,
        *,
        caller: Caller,
        client: VendorClient,
        circuit: Circuit,
        remotes: Remotes,
        upserts: bool,
        longest_call: float = 0.0,
        leases: Leases | None = None,
    ) -> None:
        self._connection, self._caller, self._client = connection, caller, client
        self._circuit, self._remotes, self._upserts, self._leases = circuit, remotes, upserts, leases
        self._longest_call = longest_call

    async def until_answered(self, work: Work, step: Step, reads: tuple[Step, ...] = ()) -> Verdict | Spilled:
        """Try a step until its answer is about the event itself: an outage, a limit or an expired token is not.

        `reads` came just before it and are repeated before a retry: the step may rest on what they read.
        """
        tries, renewed, item = 0, False, work.item
        while True:
            if work.over_in and not self._has_own_key(work, step):
                # No answer came: the vendor may be at it. To ask or write before that is over proves and helps nothing.
                await asyncio.sleep(work.over_in)
            if not await self._circuit.enter(lambda: item.owned.must_spill(item)):
                return Spilled()
            try:
                verdict = await self._attempt(work, step)
            finally:
                await self._circuit.leave()
            if isinstance(verdict, Throttled):
                continue
            if isinstance(verdict, AuthFailed):
                if not renewed and await self._client.renew_credentials():
                    renewed = True
                    continue
                if await self._circuit.ask() is not None:
                    renewed = False
                    continue
                # The credentials are good: it is this event that is refused.
                return Invalid(f"refused although the credentials are accepted: {verdict.reason}")
            if not isinstance(verdict, Outage | Retry | UnknownOutcome):
                await self._circuit.success()
                return verdict
            work.doubtful = work.doubtful or isinstance(verdict, UnknownOutcome)
            if not isinstance(verdict, Retry):
                await self._circuit.failure(work.item.order_key, verdict.reason)
            if self._circuit.state != "closed" and not self._circuit.lone_offender(work.item.order_key):
                tries = 0
                continue  # an outage costs no attempt
            if tries == len(_QUICK_RETRIES):
                if self._circuit.state != "closed" or await self._circuit.ask() is None:
                    return verdict
                tries = 0
                continue
            wait = _QUICK_RETRIES[tries] * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries apart
            await asyncio.sleep(max(wait, getattr(verdict, "after", None) or 0.0))
            tries += 1
            if isinstance(verdict, Retry):
                await self._read_again(work, reads)

    async def _read_again(self, work: Work, reads: tuple[Step, ...]) -> None:
        for number, step in enumerate(reads):
            verdict = await self.until_answered(work, step, reads[:number])
            if isinstance(verdict, Done):
                self._remotes.learn(work.note_done(step, verdict))

    async def _attempt(self, work: Work, step: Step) -> Verdict:
        """One try. A write whose earlier outcome is unknown is resolved first, by what the vendor offers."""
        ready = step
        if work.placeholders:
            try:
                known = work.known | await self._remotes.known_in(step.request.json)
                ready = replace(step, request=replace(step.request, json=resolve(step.request.json, known)))
            except RemoteUnknown as error:
                return MissingDependency(str(error))
        owner = step.target_key if step.shared else work.event.id
        if not step.reads:
            if work.doubtful or work.forgotten:
                resolved = await self._resolve(work, step)
                if resolved is not None:
                    return resolved
            elif step.ask_first and step.lookup is not None and not step.shared:  # those are asked for by the caller
                found = await self._caller.look_up(step, work.urgency)
                if found is not None:
                    return found
        key = idempotency_key(self._connection, owner, step.name, work.generation)
        trace_id = digest(owner, step.name) if step.batch else ""
        call = Call(
            ready, trace_id, work.urgency, partial(self._cover, work),
            partial(work.leaving, self._longest_call), work.answered,
        )  # fmt: skip
        verdict = await self._caller.perform(call, key)
        if not isinstance(verdict, UnknownOutcome):
            work.called = False
        if isinstance(verdict, Conflict) and step.lookup is not None:
            found = await self._caller.look_up(step, work.urgency)
            return verdict if found is None else found
        return verdict

    async def _cover(self, work: Work) -> None:
        if self._leases is not None:
            await self._leases.cover(work)

    def _has_own_key(self, work: Work, step: Step) -> bool:
        """Whether the vendor still knows the key under which the step went out, and so does it once."""
        native = self._caller.native
        if not (native and step.native_key and work.same_plan) or work.forgotten:
            return False
        age = (datetime.now(UTC) - (work.sent_at or datetime.now(UTC))).total_seconds()
        return age < (native.horizon_seconds or 0)

    async def _resolve(self, work: Work, step: Step) -> Verdict | None:
        """None: it is safe to send (again). Else what was found out, or why it cannot be known."""
        count = UNKNOWN_OUTCOMES.labels
        if self._has_own_key(work, step):
            count(self._connection, "native").inc()
            return None
        if self._upserts:
            count(self._connection, "upsert").inc()
            return None
        if step.lookup is not None:
            count(self._connection, "lookup").inc()
            return await self._caller.look_up(step, work.urgency)
        count(self._connection, "nobody").inc()
        why = "the ledger may have forgotten its delivery" if work.forgotten else "its outcome is unknown"
        return Conflict(f"{why}, and the vendor cannot be asked")
