"""A closed business day as one balanced journal entry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from libs.canonical.day import Component, DayClosed, DayLine, FlaggedMember, merge, paid_for, paid_with
from libs.canonical.event import Event
from libs.canonical.money import Money
from libs.connectors.contract.target import Deliver, Filtered, Hold, Plan, Ref, Step
from libs.connectors.quickbooks.calls import query, reference, write
from libs.connectors.quickbooks.config import Choices, Settings, account_setting
from libs.connectors.quickbooks.document_numbers import day_number
from libs.connectors.quickbooks.notes import DESCRIPTION_LENGTH, note

_WORDS = {
    Component.GROSS_SALES: "Sales",
    Component.DISCOUNTS: "Discounts",
    Component.RETURNS: "Returns",
    Component.SHIPPING: "Shipping",
    Component.SERVICE_CHARGES: "Service charges",
    Component.TAX: "Tax",
    Component.TIPS: "Tips",
    Component.GIFT_CARDS_SOLD: "Gift cards sold",
    Component.DONATIONS: "Donations",
    Component.ROUNDING: "Rounding",
    Component.TENDER: "Paid by",
}


@dataclass(frozen=True)
class _Posting:
    """One line of the entry. `credit` is signed: positive is a credit, negative a debit."""

    account: str
    words: str
    credit: Money


def plan_day(event: Event[DayClosed], config: Settings, _known: Mapping[Ref, str]) -> Plan:
    """The day's journal entry; its members are settled with it, also when there is nothing to post."""
    day = event.data
    merged, left_out = _fates(day, config)
    settles = day.members + tuple(member.event_id for member in merged)
    if foreign := foreign_currency(day.currency, config):
        return foreign
    if difference := _difference(day.lines, day.currency):
        return Hold(f"the day does not balance, by {difference}: {_sections(day)}")
    choices = Choices()
    postings = _postings(day, merged, config, choices)
    if not postings:
        nothing = Deliver((), document="nothing to post", settles=settles, left_out=left_out)
        return nothing if settles or left_out else Filtered("nothing to post")
    if choices.missing:
        return Hold(choices.missing)
    books = f"{event.account}:{day.location_id}:{day.currency}"
    number = day_number(config.document_prefix, books, day.business_day, day.revision)
    body = _entry(event, number, postings, config, left_out)
    name = f"{event.order_key}:v{day.revision}"
    step = Step(
        "journal entry",
        write("JournalEntry", body),
        target_key=name,
        provides=Ref("day", name),
        lookup=query("JournalEntry", DocNumber=number, TxnDate=day.business_day.isoformat()),
    )
    return Deliver((step,), document=f"JournalEntry {number}", settles=settles, left_out=left_out)


def foreign_currency(currency: str, config: Settings) -> Hold | None:
    """Why books in this currency cannot be written into this company."""
    if currency == config.home_currency or config.multi_currency:
        return None
    return Hold(f"books in {currency}, but the company keeps {config.home_currency} and multi_currency is off")


def _fates(day: DayClosed, config: Settings) -> tuple[tuple[FlaggedMember, ...], dict[str, str]]:
    """The members that do not add up: those posted with their difference, and those left out, each with the reason."""
    if config.accounts.unexplained_differences:
        return day.flagged, {}
    missing = "accounts.unexplained_differences is not mapped"
    return (), {member.event_id: f"{member.reason}; {missing}" for member in day.flagged}


def _difference(lines: Iterable[DayLine], currency: str) -> Money:
    """How it was paid minus what was paid for."""
    figures = tuple(lines)
    return paid_with(figures, currency) - paid_for(figures, currency)


def _sections(day: DayClosed) -> str:
    sums: dict[str, Money] = {}
    for line in day.lines:
        words = _WORDS[line.component]
        sums[words] = sums.get(words, Money.zero(day.currency)) + line.amount
    return ", ".join(f"{words} {amount}" for words, amount in sums.items())


def _postings(day: DayClosed, merged: tuple[FlaggedMember, ...], config: Settings, choices: Choices) -> list[_Posting]:
    figures = merge([*day.lines, *(line for member in merged for line in member.lines)])
    postings = [
        _Posting(
            choices.take(config.accounts.of(line), account_setting(line.component, line.group)),
            _words(line),
            # What was paid for is a credit, how it was paid a debit.
            -line.amount if line.component is Component.TENDER else line.amount,
        )
        for line in figures
    ]
    for member in merged:
        if difference := _difference(member.lines, day.currency):
            account = config.accounts.unexplained_differences or ""
            postings.append(_Posting(account, f"Unexplained difference, {member.entity_id}", difference))
    return postings


def _words(line: DayLine) -> str:
    words = _WORDS[line.component]
    if line.component is Component.TENDER:
        return f"{words} {line.group}"
    return f"{words}: {line.group}" if line.group else words


def _entry(
    event: Event[DayClosed], number: str, postings: list[_Posting], config: Settings, left_out: Mapping[str, str]
) -> dict[str, Any]:
    day = event.data
    department = config.departments.get(day.location_id)
    return {
        "DocNumber": number,
        "TxnDate": day.business_day.isoformat(),
        "PrivateNote": note(f"{event.order_key}:v{day.revision}", *_remarks(day, left_out)),
        **({"CurrencyRef": reference(day.currency)} if config.multi_currency else {}),
        "Line": [_line(posting, department) for posting in postings],
    }


def _line(posting: _Posting, department: str | None) -> dict[str, Any]:
    return {
        "Description": posting.words[:DESCRIPTION_LENGTH],
        "Amount": abs(posting.credit.major),
        "DetailType": "JournalEntryLineDetail",
        "JournalEntryLineDetail": {
            "PostingType": "Credit" if posting.credit.minor > 0 else "Debit",
            "AccountRef": reference(posting.account),
            **({"DepartmentRef": reference(department)} if department else {}),
        },
    }


def _remarks(day: DayClosed, left_out: Mapping[str, str]) -> list[str]:
    books = f"Location {day.location_id}, business day {day.business_day}, {day.currency}, revision {day.revision}"
    remarks = [f"{books}. Sales: {day.sales}, refunds: {day.refunds}."]
    if day.revision > 1:
        remarks.append("Holds only what came after the revision before.")
    remarks += [
        f"Left out: {member.entity_id} ({left_out[member.event_id]})."
        for member in day.flagged
        if member.event_id in left_out
    ]
    return remarks
