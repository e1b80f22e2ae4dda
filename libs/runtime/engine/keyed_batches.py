"""Batch calls whose idempotency key stands for exactly these steps in this order.

What goes out together is written down with its key before it is sent. After an unknown outcome, or a crash, the same
steps go out again under the same key, whoever of them comes first and in whatever process; only then may any of them go
elsewhere. That sends steps again whose event may have been given up meanwhile: without it nobody would know of any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from libs.connectors.contract.http import Request, Response
from libs.connectors.contract.manifest import Idempotency
from libs.connectors.contract.target import (
    Conflict,
    Done,
    Invalid,
    MissingDependency,
    Retry,
    Target,
    UnknownOutcome,
    Verdict,
)
from libs.runtime.engine.batch_calls import NOT_WAITED_FOR, BatchCalls, ConnectorFailed, Member, Result, Results
from libs.runtime.engine.compositions import Composition, Compositions, Part
from libs.runtime.engine.exclusive import Exclusive, Turn
from libs.runtime.engine.sending import Call, Nothing, Sender
from libs.runtime.engine.target_locks import TargetLocks
from libs.runtime.limits import Urgency

# The vendor knew the call for new, and would not do it: it had no effect, and neither had an earlier one.
_REFUSED = (Invalid, Conflict, MissingDependency)


def with_key(request: Request, native: Idempotency, key: str) -> Request:
    """The request with the vendor's idempotency key where the vendor wants it."""
    assert native.key_name is not None
    if native.key_in == "query":
        return request.with_query(**{native.key_name: key})
    return request.with_header(native.key_name, key)


class KeyedBatchCalls(BatchCalls):
    """One batch call of a target, with a key over the whole."""

    def __init__(
        self,
        name: str,
        target: Target,
        sender: Sender,
        locks: TargetLocks,
        *,
        size: int,
        native: Idempotency,
        compositions: Compositions,
        exclusive: Exclusive,
    ) -> None:
        super().__init__(name, target, sender, locks, size=size)
        self._native, self._compositions, self._exclusive = native, compositions, exclusive

    def _alone(self, key: str) -> AbstractAsyncContextManager[Turn]:
        """Nobody else sends under this key meanwhile: its steps may be in several hands, here and elsewhere."""
        return self._exclusive.alone(f"{self._name}/{key}")

    async def _send(self, members: Sequence[Member]) -> Results:
        urgency = min(member.call.urgency for member in members)
        results: dict[Member, Result] = {}
        for composition in await self._compositions.holding([member.key for member in members]):
            own = {part.key for part in composition.parts}
            left = [member for member in members if member.key in own and member not in results]
            try:
                async with self._alone(composition.key) as turn:
                    now = await self._compositions.still(composition)
                    verdicts = {} if now is None else await self._again(now, urgency, turn)
            except ConnectorFailed as failure:
                results.update(dict.fromkeys(left, failure.error))
            else:
                results.update({member: verdicts[member.key] for member in left if member.key in verdicts})
        rest = [member for member in members if member not in results]
        return {**results, **await self._first_time(rest)} if rest else results

    async def _again(self, composition: Composition, urgency: Urgency, turn: Turn) -> Mapping[str, Verdict]:
        """What became of an earlier call, by the members' keys; those it leaves out are free to go elsewhere."""
        members = [Member(Call(part.step, part.trace_id), part.key) for part in composition.parts]
        if composition.answer is not None:
            verdicts = self.split(members, composition.answer) or ()
            # What was refused then had no effect: it may be tried anew.
            told = zip(members, verdicts, strict=False)
            return {member.key: verdict for member, verdict in told if isinstance(verdict, Done)}
        if composition.age > self._compositions.horizon:
            await self._compositions.close(composition.key)
            return {}

        async def compose() -> Request:
            return with_key(self.join(members), self._native, composition.key)

        response = await self._sender.send_composed(compose, reads=False, urgency=urgency)
        turn.over = not isinstance(response, UnknownOutcome)
        outcome = await self._outcome(composition.key, members, response, again=True)
        if isinstance(outcome, list):
            return {member.key: verdict for member, verdict in zip(members, outcome, strict=True)}
        return {} if _because_of_one(outcome, members) else {member.key: outcome for member in members}

    async def _first_time(self, members: Sequence[Member]) -> Results:
        sent: list[Member] = []
        refused: dict[Member, Result] = {}
        key = self._compositions.new_key()

        async def compose() -> Request:
            sent[:] = await self.still_to_send(members, refused)
            if not sent:
                raise Nothing
            request = self.join(sent)
            parts = tuple(Part(member.key, member.call.trace_id, member.call.step) for member in sent)
            await self._compositions.store(Composition(key, parts))
            return with_key(request, self._native, key)

        urgency = min(member.call.urgency for member in members)
        unsent = dict.fromkeys(members, NOT_WAITED_FOR)
        try:
            async with self._alone(key) as turn:
                response = await self._sender.send_composed(compose, reads=False, urgency=urgency)
                # No answer at all: under this key it may be under way, and a second call would draw a conflict.
                turn.over = not isinstance(response, UnknownOutcome)
                self.note_answer(sent, response)
                told = await self._told(key, sent, response)
        except Nothing:
            return {**unsent, **refused}
        except ConnectorFailed as failure:
            return self._failed(members, failure.error)
        if told is not None:
            return {**unsent, **refused, **told}
        half = len(sent) // 2
        return {**unsent, **refused, **await self._first_time(sent[:half]), **await self._first_time(sent[half:])}

    async def _told(self, key: str, members: Sequence[Member], response: Response | Verdict) -> Results | None:
        """What each is told; None when they were refused together, because of one of them."""
        try:
            outcome = await self._outcome(key, members, response)
        except ConnectorFailed as failure:
            return dict.fromkeys(members, failure.error)
        if isinstance(outcome, list):
            return dict(zip(members, outcome, strict=True))
        return None if _because_of_one(outcome, members) else dict.fromkeys(members, outcome)

    async def _outcome(
        self, key: str, members: Sequence[Member], response: Response | Verdict, *, again: bool = False
    ) -> list[Verdict] | Verdict:
        """One verdict each or one on the whole; what is certain is written down before anybody is told.

        That a call sent `again` did not get through (an outage, no leave) says nothing of the one before it.
        """
        if isinstance(response, Response):
            split = self.split(members, response)
            if split is not None:
                if not any(isinstance(verdict, UnknownOutcome) for verdict in split):
                    await self._compositions.answered(key, response)
                return [self._sender.count(verdict) for verdict in split]
            whole = self.judge_whole(members, response)
        else:
            whole = response
        open_still = not isinstance(whole, _REFUSED) if again else isinstance(whole, UnknownOutcome | Retry)
        if not open_still:
            await self._compositions.close(key)
        return self._sender.count(whole)


def _because_of_one(outcome: Verdict, members: Sequence[Member]) -> bool:
    """Whether a refusal of the whole may be the fault of a single step."""
    return isinstance(outcome, _REFUSED) and len(members) > 1
