"""Several steps in one call of the vendor, and its answer as one verdict each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from libs.connectors.contract.http import Request, Response
from libs.connectors.contract.target import (
    AuthFailed,
    Batching,
    Conflict,
    Done,
    Invalid,
    MissingDependency,
    Outage,
    Retry,
    Step,
    Target,
    UnknownOutcome,
    Verdict,
)
from libs.runtime.engine.batcher import Batcher
from libs.runtime.engine.ledger import Fenced
from libs.runtime.engine.sending import Call, Nothing, Sender
from libs.runtime.engine.target_locks import TargetLocks
from libs.runtime.http.answers import judge_status

log = structlog.get_logger()

_LINGER = 0.02  # seconds


@dataclass(eq=False)
class Member:
    """A call in a batch. `key` is its idempotency key; nobody waits for it any more when it is `withdrawn`."""

    call: Call
    key: str
    withdrawn: bool = False


NOT_WAITED_FOR = Retry("nobody waits for it")

# A member whose step the connector's code fails on is told the exception, and the others are not.
Result = Verdict | Exception
Results = Mapping[Member, Result]


class BatchCalls:
    """One batch call of a target, such as `orders/upsert`."""

    def __init__(self, name: str, target: Target, sender: Sender, locks: TargetLocks, *, size: int) -> None:
        assert target.batching is not None
        self._name, self._target, self._sender, self._locks = name, target, sender, locks
        self._batching: Batching = target.batching
        self._batcher: Batcher[Member, Result] = Batcher(self._flush, size=size, linger=_LINGER)
        # Whoever was in a call that went wrong for no reason of which one member is to blame goes alone next time.
        self._apart: set[str] = set()

    async def run(self) -> None:
        """Join and send until cancelled."""
        await self._batcher.run()

    async def perform(self, call: Call, key: str) -> Verdict:
        """Send one step, joined with others; alone after a call that failed as a whole."""
        member = Member(call, key)
        try:
            if call.trace_id in self._apart:
                (result,) = await self._flush([member])
                self._apart.discard(call.trace_id)
            else:
                result = await self._batcher.submit(member)
        except asyncio.CancelledError:
            member.withdrawn = True
            raise
        if isinstance(result, Exception):
            raise result
        return result

    async def _flush(self, members: Sequence[Member]) -> Sequence[Result]:
        """One call; several when two steps are about one object, or when it was refused as a whole."""
        results: dict[Member, Result] = {}
        left = list(members)
        while left:
            now: dict[str, Member] = {}
            for member in left:
                now.setdefault(member.call.step.target_key, member)
            async with self._locks.hold(list(now)):
                results.update(await self._send(list(now.values())))
            left = [member for member in left if member not in results]
        return [results[member] for member in members]

    async def _send(self, members: Sequence[Member]) -> Results:
        sent: list[Member] = []
        refused: dict[Member, Result] = {}

        async def compose() -> Request:
            sent[:] = await self.still_to_send(members, refused)
            if not sent:
                raise Nothing
            return self.join(sent)

        try:
            response = await self._sender.send_composed(
                compose, reads=False, urgency=min(member.call.urgency for member in members)
            )
        except Nothing:
            return {**dict.fromkeys(members, NOT_WAITED_FOR), **refused}
        except ConnectorFailed as failure:
            return self._failed(members, failure.error)
        self.note_answer(sent, response)
        return {**dict.fromkeys(members, NOT_WAITED_FOR), **refused, **await self._read(sent, response)}

    async def still_to_send(self, members: Sequence[Member], refused: dict[Member, Result]) -> list[Member]:
        """Those that may be sent now that there is leave, which may have taken long: nobody gave up on them (their
        partition moved on, say), and they are still ours. `refused` takes in those that are another's."""
        left = []
        for member in members:
            if member.withdrawn:
                continue
            try:
                await member.call.cover()
            except Fenced as fenced:
                refused[member] = fenced
            else:
                left.append(member)
        return left

    def join(self, members: Sequence[Member]) -> Request:
        """The request of a batch, which is sent at once. Raises ConnectorFailed."""
        for member in members:
            member.call.leaving()
        try:
            return self._batching.join(self._name, *_steps_and_ids(members))
        except Exception as error:
            raise ConnectorFailed(error) from error

    def note_answer(self, members: Sequence[Member], response: Response | Verdict) -> None:
        """With an answer, or without having gone out, nothing of them is under way any more."""
        if not isinstance(response, UnknownOutcome):
            for member in members:
                member.call.answered()

    def split(self, members: Sequence[Member], response: Response) -> Sequence[Verdict] | None:
        """One verdict each, or None when the answer is about the call as a whole. Raises ConnectorFailed."""
        try:
            verdicts = self._batching.split(self._name, *_steps_and_ids(members), response)
            if verdicts is not None and len(verdicts) != len(members):
                raise ValueError(f"{len(verdicts)} verdicts on {len(members)} steps")
        except Exception as error:
            raise ConnectorFailed(error) from error
        return verdicts

    def judge_whole(self, members: Sequence[Member], response: Response) -> Verdict:
        """What an answer says of the call as a whole. Raises ConnectorFailed."""
        try:
            judged = self._target.judge(members[0].call.step, response)
        except Exception as error:
            raise ConnectorFailed(error) from error
        whole = judged or judge_status(response, reads=False)
        return UnknownOutcome("the answer to the batch could not be read") if isinstance(whole, Done) else whole

    async def _read(self, members: Sequence[Member], response: Response | Verdict) -> Results:
        if not isinstance(response, Response):
            return dict.fromkeys(members, self._sender.count(response))
        try:
            split = self.split(members, response)
            whole = self.judge_whole(members, response) if split is None else None
        except ConnectorFailed as failure:
            return self._failed(members, failure.error)
        if split is not None:
            return dict(zip(members, map(self._sender.count, split), strict=True))
        assert whole is not None
        if len(members) == 1:
            return {members[0]: self._sender.count(whole)}
        if isinstance(whole, Invalid | Conflict | MissingDependency):
            # One bad item makes the vendor refuse them all: halve until it stands alone.
            half = len(members) // 2
            return {**await self._send(members[:half]), **await self._send(members[half:])}
        if isinstance(whole, Outage | UnknownOutcome) or response.status == 403:
            self._part(members)
        if isinstance(whole, AuthFailed) and response.status == 403:
            whole = Retry(f"a batch was refused: {whole.reason}")  # of one of them, perhaps: each asks for itself
        return dict.fromkeys(members, self._sender.count(whole))

    def _failed(self, members: Iterable[Member], error: Exception) -> Results:
        self._part(members)
        return dict.fromkeys(members, error)

    def _part(self, members: Iterable[Member]) -> None:
        self._apart.update(member.call.trace_id for member in members)


class ConnectorFailed(Exception):
    """The connector's own code failed on a batch or its answer."""

    def __init__(self, error: Exception) -> None:
        super().__init__(type(error).__name__)
        self.error = error


def _steps_and_ids(members: Sequence[Member]) -> tuple[list[Step], list[str]]:
    return [member.call.step for member in members], [member.call.trace_id for member in members]
