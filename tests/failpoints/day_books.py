"""The days of the books at the end: every fact in one revision of its day, every revision posted once, to the cent."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from libs.canonical.day import Component, DayClosed
from libs.canonical.event import AnyEvent, decode
from libs.canonical.kinds import Kind
from libs.canonical.sale import Amendment, Refund, Sale
from libs.runtime.kafka.offsets import read_whole
from libs.runtime.settings import KafkaSettings
from tests.failpoints.findings import Findings
from tests.failpoints.stories import Story

Day = tuple[str, str]  # location, business day


async def closed_days(kafka: KafkaSettings) -> dict[str, DayClosed]:
    """Every closed day in the topic by its event's id; copies have one id."""
    found: dict[str, DayClosed] = {}
    async for record in read_whole(kafka, ["retail.days"]):
        event = decode(Kind.DAY_CLOSED, record.value)
        assert isinstance(event.data, DayClosed)
        assert found.setdefault(event.id, event.data) == event.data, "copies with one id say the same"
    return found


def check_days(days: Mapping[str, DayClosed], stories: Sequence[Story], findings: Findings) -> None:
    """Membership and figures of the revisions against what was told."""
    members = Counter(member for day in days.values() for member in day.members)
    paid: dict[Day, int] = defaultdict(int)
    for fact, day, cents in (entry for told in stories for entry in _facts(told)):
        findings.once(f"day of {fact.kind} {fact.entity_id}", members[fact.id])
        paid[day] += cents
    revisions = Counter((day.location_id, str(day.business_day), day.revision) for day in days.values())
    for (location, business_day, revision), times in revisions.items():
        findings.once(f"revision {revision} of {business_day} at {location}", times)
    posted: dict[Day, int] = defaultdict(int)
    for closed in days.values():
        posted[closed.location_id, str(closed.business_day)] += _tendered(closed)
    for name, cents in paid.items():
        findings.same(f"payments of {name}", posted[name], cents)


def check_journal(
    days: Mapping[str, DayClosed], journal: Sequence[Mapping[str, Any]], stories: Sequence[Story], findings: Findings
) -> None:
    """One entry at QuickBooks for each revision, and the card clearing account with all that was paid by card."""
    findings.once("journal entries", len(journal), len(days))
    cents = sum(
        round(Decimal(str(line["Amount"])) * 100)
        * (1 if line["JournalEntryLineDetail"]["PostingType"] == "Debit" else -1)
        for entry in journal
        for line in entry["Line"]
        if line["JournalEntryLineDetail"]["AccountRef"]["value"] == "91"
    )
    findings.same("card clearing", cents, sum(cents for told in stories for _, _, cents in _facts(told)))


def _facts(told: Story) -> list[tuple[AnyEvent, Day, int]]:
    """Each fact with the day on which it stands and what it adds to that day's payments, in cents."""
    facts: list[tuple[AnyEvent, Day, int]] = []
    for event in told.events:
        match event.data:
            case Sale() as sale:
                facts.append((event, (sale.location_id, str(sale.business_day)), sale.total.minor))
            case Amendment() as amendment:
                day = (amendment.sale.location_id, str(amendment.sale.business_day))
                facts.append((event, day, amendment.sale.total.minor - amendment.before.total.minor))
            case Refund() as refund:
                facts.append((event, (refund.location_id, str(refund.business_day)), -refund.total.minor))
    return facts


def _tendered(day: DayClosed) -> int:
    return sum(line.amount.minor for line in day.lines if line.component == Component.TENDER)
