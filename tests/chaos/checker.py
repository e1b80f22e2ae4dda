"""The one judge of all scenarios: what was promised and told against what stands at the targets.

It shares no code with the sinks and knows nothing of their tables. Each finding is counted under one heading, with a
line of detail that names the event or the thing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.standing import Effect, Standing
from tests.chaos.told import Letter, Told, histories

HEADINGS = ("lost", "duplicates", "order", "dead", "mismatches", "unsettled")


@dataclass
class Findings:
    """How often each promise was broken; all zero when all were kept. `details` tells each by name."""

    counts: Counter[str] = field(default_factory=Counter)
    details: list[str] = field(default_factory=list)

    def add(self, heading: str, detail: str, times: int = 1) -> None:
        """Note a broken promise; none when `times` is not positive."""
        assert heading in HEADINGS
        if times > 0:
            self.counts[heading] += times
            self.details.append(f"{heading}: {detail}")

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not any(self.counts.values())


@dataclass(frozen=True)
class Evidence:
    """All that is judged.

    `promised`: ids of events that were confirmed to whoever wrote them; `acknowledged`: ids of webhooks that were,
    `received`: ids of those in the inbox; `rung`: sales and refunds that a vendor's till made. `poison`: ids of the
    events that are bad on purpose. `status`: what `till status --check --json` says.
    """

    promised: Collection[str]
    acknowledged: Collection[str]
    received: Collection[str]
    rung: Collection[str]
    told: Sequence[Told]
    standings: Sequence[Standing]
    letters: Sequence[Letter]
    poison: Collection[str]
    status: Mapping[str, Any]


def judge(evidence: Evidence) -> Findings:
    """Everything that is not as promised."""
    findings = Findings()
    told = [event for event in evidence.told if event.event_id not in evidence.poison]
    there = {event.event_id for event in told}
    for lost in sorted(set(evidence.promised) - there):
        findings.add("lost", f"event {lost} was confirmed and is in no topic")
    for lost in sorted(set(evidence.acknowledged) - set(evidence.received)):
        findings.add("lost", f"webhook {lost} was acknowledged and is not in the inbox")
    stories = histories(told)
    for lost in sorted(set(evidence.rung) - stories.keys()):
        findings.add("lost", f"{lost} was rung up and is in no topic")
    for standing in evidence.standings:
        _judge_target(findings, standing, stories)
    for letter in evidence.letters:
        if letter.event_id not in evidence.poison:
            findings.add("dead", f"{letter.connection}: {letter.event_id}: {letter.class_}: {letter.reason}")
    _judge_accounts(findings, evidence.status, planted=len(set(evidence.poison)))
    return findings


def _judge_target(findings: Findings, standing: Standing, stories: Mapping[str, Sequence[Told]]) -> None:
    by_thing: dict[str, list[Effect]] = defaultdict(list)
    for effect in standing.effects:
        by_thing[effect.thing].append(effect)
    for thing in sorted(by_thing.keys() - stories.keys()):
        findings.add("duplicates", f"{standing.name}: {thing} stands there and nobody told of it")
    findings.add("duplicates", f"{standing.name}: lines that stand there twice", standing.repeated_parts)
    refunds: dict[str, list[Told]] = defaultdict(list)
    for story in stories.values():
        if story[0].kind == "refund.completed":
            refunds[story[0].root].append(story[0])
    for thing, story in stories.items():
        is_refund, is_customer = (story[0].kind.startswith(name) for name in ("refund.", "customer."))
        if (standing.upserts and is_refund) or (not standing.upserts and is_customer):
            continue
        where, found = f"{standing.name}: {thing}", by_thing.get(thing, [])
        if not found:
            findings.add("lost", f"{where} is not there", len(story))
            continue
        findings.add("duplicates", f"{where} is there {len(found)} times", len(found) - 1)
        first = min(found, key=lambda effect: effect.made)
        _judge_value(findings, where, story, first)
        if standing.upserts:
            _judge_sum(findings, where, refunds.get(thing, ()), first)
        elif is_refund:
            sales = by_thing.get(story[0].root, ())
            if sales and min(sale.made for sale in sales) > first.made:
                findings.add("order", f"{where} was there before its sale")


def _judge_value(findings: Findings, where: str, story: Sequence[Told], effect: Effect) -> None:
    """Whether it shows the last that was told of it, after as many changes as were told."""
    if effect.changes is not None:
        asked = len(story) - 1
        findings.add("duplicates", f"{where} was changed {effect.changes} times, not {asked}", effect.changes - asked)
        findings.add("lost", f"{where} was changed {effect.changes} times, not {asked}", asked - effect.changes)
        if effect.changes < asked:
            return
    # The newest of a state is that of the highest version, whatever came last; facts count in the order told.
    is_state = story[0].kind.startswith("customer.")
    newest = max(story, key=lambda event: event.version) if is_state else story[-1]
    if effect.value == newest.value:
        return
    older = effect.value in {event.value for event in story}
    heading = "order" if older else "lost"
    findings.add(heading, f"{where} shows {effect.value} and not {newest.value}{', an older one' if older else ''}")


def _judge_sum(findings: Findings, where: str, refunds: Iterable[Told], effect: Effect) -> None:
    """Whether a sale that carries its refunds as a sum has them all, and says so last."""
    if effect.parts == 0:
        findings.add("lost", f"{where} has no lines")
    wanted = sum(int(refund.value) for refund in refunds)
    if effect.refunded is None or not wanted:
        return
    if int(effect.refunded) < wanted:
        findings.add("lost", f"{where} has {effect.refunded} given back, not {wanted}")
    elif int(effect.refunded) > wanted:
        findings.add("duplicates", f"{where} has {effect.refunded} given back, not {wanted}")
    elif not effect.refund_shown:
        findings.add("order", f"{where} was written as a sale after its refund")


def _judge_accounts(findings: Findings, status: Mapping[str, Any], planted: int) -> None:
    for part in ("targets", "sources", "snapshots"):
        for each in status.get(part, ()):
            balance = each["balance"]
            off = abs(balance["mismatch"])
            findings.add("mismatches", f"{each['name']}: {dict(balance)}", off)
    for each in status.get("targets", ()):
        balance = each["balance"]
        waiting = balance["waiting"] + balance["claimed"]
        # Bad events may stay parked or dead; of the good ones nothing may be left.
        waiting += max(0, balance["parked"] + balance["dead"] - planted)
        findings.add("unsettled", f"{each['name']}: {dict(balance)}", waiting)
    for each in (*status.get("sources", ()), *status.get("snapshots", ())):
        balance = each["balance"]
        waiting = balance.get("waiting", 0) + balance["unread"]
        findings.add("unsettled", f"{each['name']}: {dict(balance)}", waiting)
    for each in status.get("targets", ()):
        if each.get("paused"):
            findings.add("unsettled", f"{each['name']} is paused: {each['paused']['reason']}")
