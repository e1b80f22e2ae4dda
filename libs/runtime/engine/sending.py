"""One call to a target: leave of the limiter, the call itself, and what came back or why nothing did."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from prometheus_client import Counter

from libs.connectors.contract.http import Request, Response
from libs.connectors.contract.target import AuthFailed, Outage, Step, Throttled, UnknownOutcome, Verdict
from libs.runtime.http.client import CredentialsRefused, NoAnswer, NotSent, VendorClient
from libs.runtime.limits import Limiter, Urgency
from libs.runtime.telemetry.metrics import ATTEMPTS, CALL_SECONDS

# Seconds without calls after a refusal for too many that does not say how long.
_THROTTLED = 1.0


def _unnoticed() -> None:
    """Nobody wants to know."""


async def _covered() -> None:
    return None


@dataclass(eq=False, slots=True)
class Call:
    """A step ready to send. `trace_id` tells it apart within a batch.

    `cover` is awaited when there is leave to send it by itself, which may have taken long; it raises when it must not
    be sent any more. `leaving` is called right before it is sent, and `answered` when nothing of it is under way any
    more; without that it may be, even if nobody waits for it.
    """

    step: Step
    trace_id: str
    urgency: Urgency = Urgency.LIVE
    cover: Callable[[], Awaitable[None]] = _covered
    leaving: Callable[[], None] = _unnoticed
    answered: Callable[[], None] = _unnoticed


class Nothing(Exception):
    """There is nothing to send any more."""


class Sender:
    """Sends a connection's requests as fast as its limits allow."""

    def __init__(self, connection: str, client: VendorClient, limiter: Limiter) -> None:
        self.connection, self.client, self._limiter = connection, client, limiter
        self._seconds = CALL_SECONDS.labels(connection)
        self._verdicts: dict[type[Verdict], Counter] = {}

    async def send(self, request: Request, *, reads: bool, urgency: Urgency = Urgency.LIVE) -> Response | Verdict:
        """The answer, or the verdict on having none."""
        async with self._limiter.slot(urgency):
            return await self._send(request, reads)

    async def send_call(self, call: Call, request: Request) -> Response | Verdict:
        """The same for a step that is sent by itself. Raises what its `cover` raises."""
        async with self._limiter.slot(call.urgency):
            if call.step.reads:
                return await self._send(request, reads=True)
            await call.cover()
            call.leaving()
            response = await self._send(request, reads=False)
        if not isinstance(response, UnknownOutcome):
            call.answered()
        return response

    async def send_composed(
        self, compose: Callable[[], Awaitable[Request]], *, reads: bool, urgency: Urgency
    ) -> Response | Verdict:
        """The same for a request that is made only when there is leave to send it. Raises what `compose` raises."""
        async with self._limiter.slot(urgency):
            return await self._send(await compose(), reads)

    async def _send(self, request: Request, reads: bool) -> Response | Verdict:
        began = time.perf_counter()
        try:
            response = await self.client.send(request)
        except NotSent as error:
            return Outage(f"not reachable ({error})")
        except NoAnswer as error:
            return Outage(f"no answer ({error})") if reads else UnknownOutcome(f"no answer ({error})")
        except CredentialsRefused as error:
            return AuthFailed(str(error))
        finally:
            self._seconds.observe(time.perf_counter() - began)
        self._limiter.heed(response)
        return response

    def count(self, verdict: Verdict) -> Verdict:
        """Note a verdict; after a refusal for too many nobody calls for a while."""
        counter = self._verdicts.get(type(verdict))
        if counter is None:
            counter = self._verdicts[type(verdict)] = ATTEMPTS.labels(self.connection, type(verdict).__name__)
        counter.inc()
        if isinstance(verdict, Throttled):
            self._limiter.pause(verdict.after if verdict.after is not None else _THROTTLED)
        return verdict
