"""The daily journal: what is posted where, and that it always balances."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from libs.canonical.day import Component, DayLine
from libs.canonical.event import AnyEvent, day_closed
from libs.connectors.contract.http import Request
from libs.connectors.contract.target import Deliver, Filtered, Hold, PartOfDocument
from tests.connectors.quickbooks.company import Client, Refusal
from tests.connectors.quickbooks.samples import (
    ACCOUNT,
    SALES,
    TAXED,
    WRONG,
    YEN,
    amended,
    closed,
    line,
    money,
    refund,
    refund_line,
    refunded,
    sale,
    settings,
    settings_json,
    sold,
    tax,
    tender,
    voided,
    with_differences,
)


def body(event: AnyEvent, **more: Any) -> dict[str, Any]:
    plan = Client(settings("daily_journal", **more)).plan(event)
    assert isinstance(plan, Deliver), plan
    return dict(plan.steps[0].request.json)


def sums(entry: dict[str, Any]) -> dict[tuple[str, str], Decimal]:
    """Amount by side and account."""
    found: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for each in entry["Line"]:
        detail = each["JournalEntryLineDetail"]
        found[detail["PostingType"], detail["AccountRef"]["value"]] += each["Amount"]
    return dict(found)


def test_what_was_paid_for_is_credit_and_how_it_was_paid_is_debit() -> None:
    entry = body(closed(sold(SALES["plain"][0])))
    assert sums(entry) == {
        ("Credit", "79"): Decimal("10.00"),
        ("Credit", "90"): Decimal("0.80"),
        ("Debit", "91"): Decimal("10.80"),
    }
    assert entry["TxnDate"] == "2026-11-21"
    assert entry["PrivateNote"].splitlines()[0] == "square:ML1:day:L1:2026-11-21:USD:v1"


def test_every_fact_of_a_sale_waits_for_its_day() -> None:
    client = Client(settings("daily_journal"))
    data = SALES["tip"][0]
    back = refunded(refund([refund_line(100)], [tender(100)]))
    for event in (sold(data), amended(data, data), voided(data), back):
        assert client.plan(event) == PartOfDocument("day open")


@pytest.mark.parametrize("name", SALES)
def test_a_day_of_any_sale_is_accepted_and_totals_its_debits(name: str) -> None:
    data = SALES[name][0]
    client = Client(settings("daily_journal"))
    plan = client.deliver(closed(sold(data)))
    (entry,) = client.stored("JournalEntry")
    discounts = sum(d.amount.minor for each in data.lines for d in each.discounts)
    paid = sum(each.amount.minor for each in data.tenders)
    assert entry["TotalAmt"] == Decimal(paid + discounts) / 100
    assert plan.settles == (sold(data).id,)


@given(
    st.lists(
        st.tuples(
            st.integers(-5000, 5000), st.integers(0, 900), st.integers(0, 400), st.sampled_from(["card", "cash"])
        ),
        max_size=8,
    )
)
@effort(max_examples=60, deadline=None)
def test_any_day_that_adds_up_balances(figures: list[tuple[int, int, int, str]]) -> None:
    events = []
    for number, (goods, taxes, tip, kind) in enumerate(figures):
        paid = tender(goods + taxes + tip, kind, tip=tip)
        events.append(sold(sale([line(goods, taxes=[tax(taxes)])], [paid], tip=tip, id=f"S{number}")))
    client = Client(settings("daily_journal"))
    plan = client.plan(closed(*events))
    if isinstance(plan, Deliver) and plan.steps:
        client.deliver(closed(*events))  # the simulator refuses what does not balance
        assert all(each["Amount"] > 0 for each in plan.steps[0].request.json["Line"])


def test_a_day_that_does_not_balance_is_held_and_shows_its_sections() -> None:
    day = closed(sold(SALES["plain"][0])).data
    broken = [each for each in day.lines if each.component is not Component.TAX]
    plan = Client(settings("daily_journal")).plan(day_closed(ACCOUNT, day.model_copy(update={"lines": tuple(broken)})))
    assert isinstance(plan, Hold)
    assert "by 0.80 USD: Sales 10.00 USD, Paid by 10.80 USD" in plan.reason


def test_unmapped_figures_hold_the_day_and_are_named_once() -> None:
    figures = (
        DayLine(component=Component.SHIPPING, amount=money(100)),
        DayLine(component=Component.TENDER, group="wallet:Apple", amount=money(60)),
        DayLine(component=Component.TENDER, group="store_credit", amount=money(40)),
    )
    day = closed().data.model_copy(update={"lines": figures, "members": ("m",)})
    plan = Client(settings("daily_journal", accounts={"sales": {"default": "79"}})).plan(day_closed(ACCOUNT, day))
    assert plan == Hold(
        "not mapped: accounts.shipping; accounts.store_credit for 'store_credit'; accounts.tenders for 'wallet:Apple'"
    )


def test_there_is_no_default_tender_unless_one_is_set() -> None:
    event = closed(sold(sale([TAXED], [tender(1080, "wallet", label="Apple")])))
    assert isinstance(Client(settings("daily_journal")).plan(event), Hold)
    accounts = settings_json("daily_journal")["accounts"]
    with_default = accounts | {"tenders": {"default": "98"}}
    assert sums(body(event, accounts=with_default))["Debit", "98"] == Decimal("10.80")


def test_a_tender_is_found_by_its_label_then_by_its_type() -> None:
    accounts = settings_json("daily_journal")["accounts"] | {
        "tenders": {"groups": {"external": "98", "external:DoorDash": "93"}}
    }
    for label, account in (("DoorDash", "93"), ("Uber", "98")):
        event = closed(sold(sale([TAXED], [tender(1080, "external", label=label)])))
        assert ("Debit", account) in sums(body(event, accounts=accounts))


def test_a_sale_that_does_not_add_up_waits_without_an_account_and_the_day_says_so() -> None:
    good, bad = sold(SALES["plain"][0]), sold(WRONG.model_copy(update={"id": "Ord10"}))
    client = Client(settings("daily_journal"))
    plan = client.deliver(closed(good, bad))
    assert plan.settles == (good.id,)
    assert set(plan.left_out) == {bad.id}
    (entry,) = client.stored("JournalEntry")
    assert entry["TotalAmt"] == Decimal("10.80")
    assert "Left out: Ord10 (tenders: stated 10.80 USD" in entry["PrivateNote"]


def test_with_an_account_its_difference_is_a_line_of_its_own() -> None:
    good, bad = sold(SALES["plain"][0]), sold(WRONG.model_copy(update={"id": "Ord10"}))
    config = with_differences("daily_journal")
    client = Client(settings("daily_journal", accounts=config["accounts"]))
    plan = client.deliver(closed(good, bad))
    assert plan.settles == (good.id, bad.id)
    assert not plan.left_out
    (entry,) = client.stored("JournalEntry")
    # 2 x 10.80 bought, 10.80 + 10.75 paid: five cents are missing, an expense.
    assert sums(entry)["Debit", "87"] == Decimal("0.05")
    assert sums(entry)["Debit", "91"] == Decimal("21.55")


def test_nothing_to_post_still_settles_the_members() -> None:
    client = Client(settings("daily_journal"))
    free = sold(sale([line(0)], []))
    plan = client.plan(closed(free))
    assert plan == Deliver((), document="nothing to post", settles=(free.id,))
    assert client.plan(closed()) == Filtered("nothing to post")


def test_another_currency_is_held_unless_the_company_keeps_several() -> None:
    event = closed(sold(YEN), currency="JPY")
    assert isinstance(Client(settings("daily_journal")).plan(event), Hold)
    entry = body(event, multi_currency=True)
    assert entry["CurrencyRef"] == {"value": "JPY"}
    assert sums(entry)["Debit", "92"] == Decimal(600)


def test_revisions_locations_and_currencies_have_documents_of_their_own() -> None:
    events = [closed(sold(SALES["plain"][0]), revision=revision) for revision in (1, 2)]
    other = day_closed(ACCOUNT, events[0].data.model_copy(update={"location_id": "L2"}))
    numbers = [body(event)["DocNumber"] for event in (*events, other)]
    assert len(set(numbers)) == 3
    assert all(len(number) <= 21 for number in numbers)
    assert body(events[0])["DocNumber"] == numbers[0]


def test_the_lookup_finds_our_own_entry_and_no_other() -> None:
    client = Client(settings("daily_journal"))
    event = closed(sold(SALES["plain"][0]))
    (step,) = client.deliver(event).steps
    (entry,) = client.stored("JournalEntry")
    done = client.look_up(step)
    assert done is not None
    assert (done.remote_id, done.already) == (entry["Id"], True)
    # Somebody's own entry of the same number and day is not ours.
    theirs = step.request.json | {"PrivateNote": "typed by hand"}
    client.start_anew()
    client.call(Request("POST", "/journalentry", json=theirs))
    assert client.look_up(step) is None


def test_the_same_step_twice_is_one_entry() -> None:
    client = Client(settings("daily_journal"))
    (step,) = client.deliver(closed(sold(SALES["plain"][0]))).steps
    event_id = closed(sold(SALES["plain"][0])).id
    again = client.perform(step, event_id)
    assert len(client.stored("JournalEntry")) == 1
    assert again.remote_id == client.stored("JournalEntry")[0]["Id"]
    assert client.sandbox.counters()["duplicate_requestids"] == 1


def test_closed_books_hold_the_day() -> None:
    client = Client(settings("daily_journal"))
    client.sandbox.configure({"closed_until": "2026-11-30"})
    with pytest.raises(Refusal) as refused:
        client.deliver(closed(sold(SALES["plain"][0])))
    assert type(refused.value.verdict).__name__ == "MissingDependency"
