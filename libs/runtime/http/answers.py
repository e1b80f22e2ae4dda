"""What an answer means when the vendor's connector has nothing to say: one table for everybody."""

from __future__ import annotations

from libs.connectors.contract.http import Response
from libs.connectors.contract.target import (
    AuthFailed,
    Conflict,
    Done,
    Invalid,
    Outage,
    Retry,
    Throttled,
    UnknownOutcome,
    Verdict,
)


def judge_status(response: Response, *, reads: bool) -> Verdict:
    """The verdict by HTTP status alone. A 5xx to a write may have had its effect; to a read it cannot."""
    status = response.status
    said = f"HTTP {status}"
    verdict: Verdict
    if response.ok:
        verdict = Done()
    elif status in (401, 403):
        verdict = AuthFailed(said)
    elif status == 409:
        verdict = Conflict(said)
    elif status == 429:
        verdict = Throttled(said, response.retry_after)
    elif status in (408, 423, 425):
        verdict = Retry(said, response.retry_after)
    elif status == 503:
        verdict = Outage(said)
    elif status >= 500:
        verdict = Outage(said) if reads else UnknownOutcome(said)
    else:
        verdict = Invalid(said)
    return verdict
