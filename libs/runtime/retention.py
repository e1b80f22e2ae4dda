"""How long the ledger remembers an event, and how much is left of the time that Kafka keeps a record. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from libs.canonical.kinds import KINDS, Kind

# What became of money is remembered for longer than a year: a year's accounts are closed in the next.
MONEY_REMEMBERED = timedelta(days=400)
OTHERS_REMEMBERED = timedelta(days=90)
_MONEY_TOPICS = frozenset(("retail.sales", "retail.days"))
# A till's clock may run ahead by as much: an event is then seen before it is said to have happened.
_CLOCKS = timedelta(days=2)

# Kinds of which the ledger forgets sooner. Everything else, an unknown kind too, counts as money.
LIGHT_KINDS = frozenset(str(kind) for kind, spec in KINDS.items() if spec.topic not in _MONEY_TOPICS)


def remembered_for(kind: Kind | str) -> timedelta:
    """How long after it was first seen the ledger keeps the row of an event that is at rest."""
    return OTHERS_REMEMBERED if str(kind) in LIGHT_KINDS else MONEY_REMEMBERED


def maybe_forgotten(kind: Kind | str, occurred_at: datetime, first_seen: datetime, ledger_since: datetime) -> bool:
    """Whether an event that had no row when it was seen may have had one before, which was pruned.

    It may when it happened longer ago than the ledger remembers, and the connection was running by then
    (`ledger_since`: when it first did). Such an event may have had its effect: it is looked up before it is sent.
    """
    horizon = first_seen - remembered_for(kind) + _CLOCKS
    return occurred_at < horizon and ledger_since < horizon


def headroom(oldest_unread_ms: int | None, retention_ms: int, now: float) -> float:
    """The part of a topic's retention that is left until Kafka deletes the oldest unread record: 1.0 to 0.0.

    `oldest_unread_ms`: that record's timestamp in milliseconds as Kafka tells it; None: nothing is unread. `now`: in
    seconds since 1970. All is left (1.0) where Kafka deletes nothing (a retention below zero) and where a record has
    no timestamp: Kafka then goes by the time of the file, which is no older than the record.
    """
    if oldest_unread_ms is None or oldest_unread_ms <= 0 or retention_ms < 0:
        return 1.0
    if retention_ms == 0:
        return 0.0
    left = oldest_unread_ms + retention_ms - now * 1000
    return min(1.0, max(0.0, left / retention_ms))
