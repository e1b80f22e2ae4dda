"""What Shopify's answers mean. GraphQL says nearly everything with status 200: a throttled call, a missing right.

Source: Shopify's rate-limit and error pages (GraphQL Admin), changelog; which codes occur beside THROTTLED and
ACCESS_DENIED is from memory.
"""

from __future__ import annotations

from typing import Any

from libs.connectors.contract.http import Response
from libs.connectors.contract.source import Unmappable
from libs.connectors.contract.target import AuthFailed, Invalid, Outage, Retry, Throttled, Verdict
from libs.connectors.shopify.shape import dig

# Rights that a shop may refuse us: who stood at the till, which till, who bought. A sale is whole without them.
_DISPENSABLE = {"staffMember", "user", "device", "customer"}

_BY_STATUS: dict[int, Verdict] = {
    402: Outage("the shop is frozen (unpaid)"),
    423: Outage("the shop is locked"),
    430: Throttled("refused as suspicious traffic"),
}

_BY_CODE: dict[str, Verdict] = {
    "INTERNAL_SERVER_ERROR": Retry("Shopify failed inside"),
    "TIMEOUT": Retry("the query took Shopify too long"),
    "SHOP_INACTIVE": Outage("the shop is not active"),
}


def judge(response: Response) -> Verdict | None:
    """The verdict on an answer to a read; None when it is good, or when the plain status table should decide."""
    if not response.ok:
        return _BY_STATUS.get(response.status)
    answer = response.json
    if not isinstance(answer, dict):
        return Retry("the answer is no JSON object")
    raw = answer.get("errors")
    errors = raw if isinstance(raw, list) else ([raw] if raw else [])
    found = [verdict for error in errors if (verdict := _judged(error, answer)) is not None]
    # Being throttled explains every other error of the same answer.
    throttled = [verdict for verdict in found if isinstance(verdict, Throttled)]
    if found:
        return (throttled or found)[0]
    return None if isinstance(answer.get("data"), dict) else Retry("the answer holds no data")


def _judged(error: Any, answer: Any) -> Verdict | None:
    code = dig(error, "extensions", "code")
    if code == "THROTTLED":
        return Throttled("the points of the query are used up", _seconds(dig(answer, "extensions", "cost")))
    if code == "ACCESS_DENIED":
        where = dig(error, "path")
        steps = [str(step) for step in where] if isinstance(where, list) else []
        if len(steps) > 1 and steps[-1] in _DISPENSABLE and isinstance(answer.get("data"), dict):
            return None
        return AuthFailed(f"no right to read {'.'.join(steps) or 'this'}")
    known = _BY_CODE.get(code) if isinstance(code, str) else None
    return known or Invalid(f"the query was refused ({code if isinstance(code, str) else 'no code given'})")


def _seconds(cost: Any) -> float | None:
    """How long until the bucket holds the query's cost: (requested - available) / points restored a second."""
    status = dig(cost, "throttleStatus")
    figures = (dig(cost, "requestedQueryCost"), dig(status, "currentlyAvailable"), dig(status, "restoreRate"))
    try:
        requested, available, rate = (float(figure) for figure in figures)
        return max(0.0, (requested - available) / rate)
    except (TypeError, ValueError, ArithmeticError):
        return None


def data(response: Response) -> Any:
    """The `data` of an answer that `judge` found good.

    Raises Unmappable for any other answer, so that one which was not judged is never taken for an empty one.
    """
    if judge(response) is not None or not response.ok:
        raise Unmappable("the answer is an error, not data", "answer")
    return response.json["data"]
