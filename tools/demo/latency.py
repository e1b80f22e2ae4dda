"""How long from a webhook's arrival to the delivery of what it told, by target."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least that share of the values does not exceed."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Number, median and 99th percentile in seconds."""
    middle, far = percentile(values, 0.5), percentile(values, 0.99)
    return {
        "events": len(values),
        "median_seconds": None if middle is None else round(middle, 2),
        "p99_seconds": None if far is None else round(far, 2),
    }


def latencies(
    deliveries: Iterable[Mapping[str, Any]],
    first_sent: Mapping[str, datetime],
    outage: tuple[datetime, datetime] | None,
    healed: Iterable[str],
) -> dict[str, Any]:
    """By target: sales from receipt to delivery, days from close to delivery, outside the outage and during it.

    The outage lasts until what waited is there; whatever was under way at any time of it counts as during it.
    What somebody had to heal is left out: that a person took time says nothing of the machine.
    """
    left_out = set(healed)
    spans: dict[tuple[str, bool], list[float]] = {}
    for each in deliveries:
        begin = each["closed"] if each["kind"] == "day.closed" else first_sent.get(each["entity_id"])
        if each["kind"] not in ("sale.completed", "day.closed") or begin is None or each["entity_id"] in left_out:
            continue
        if each["connection"] == "qbo-journal" and each["kind"] != "day.closed":
            continue
        during = bool(outage and begin <= outage[1] and each["settled_at"] >= outage[0])
        spans.setdefault((each["connection"], during), []).append((each["settled_at"] - begin).total_seconds())
    targets = sorted({connection for connection, _ in spans})
    return {
        name: {
            "outside_the_outage": summary(spans.get((name, False), [])),
            "during_the_outage": summary(spans.get((name, True), [])),
        }
        for name in targets
    }
