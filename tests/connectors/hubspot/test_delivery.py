"""What really stands in HubSpot after deliveries, repeats and failures half-way."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from libs.canonical.sale import CustomerRef
from libs.connectors.contract.target import Conflict, Deliver, Done, Filtered, Invalid, MissingDependency, Ref
from libs.connectors.hubspot.config import Config
from libs.connectors.hubspot.sandbox import HubSpotSimulator
from libs.connectors.hubspot.target import TARGET
from tests.connectors.hubspot.delivery import Hub
from tests.connectors.hubspot.sales import amended, completed, customer, erased, line, refunded, sale, voided

ANAS_KEY = "square:ML1:customer:C-1009"
THREE = (line("Milk", 250), line("Bread", 300, "2"), line("Tea", 410))


def all_done(verdicts: Sequence[object]) -> bool:
    return bool(verdicts) and all(isinstance(verdict, Done) for verdict in verdicts)


def pairs(hub: Hub, name: str) -> list[list[str]]:
    found: list[list[str]] = hub.simulator.state()["associations"].get(name, [])
    return found


def test_a_sale_is_one_contact_one_order_and_its_lines() -> None:
    hub = Hub()
    assert all_done(hub.deliver(completed(sale(*THREE))))
    [order] = hub.properties("orders")
    assert order["hs_total_price"] == "12.60"  # 2.50 + 2 x 3.00 + 4.10
    assert [item["name"] for item in hub.properties("line_items")] == ["Milk", "Bread", "Tea"]
    assert [contact["email"] for contact in hub.properties("contacts")] == ["ana@example.org"]
    order_id = hub.known[Ref("order", "square:ML1:sale:S-1042")]
    assert [pair[0] for pair in pairs(hub, "orders->line_items")] == [order_id] * 3
    assert pairs(hub, "orders->contacts") == [[order_id, hub.known[Ref("contact", ANAS_KEY)]]]


def test_the_same_sale_again_changes_nothing_even_when_all_is_forgotten() -> None:
    hub = Hub()
    hub.deliver(completed(sale(*THREE)))
    once = {kind: hub.properties(kind) for kind in ("contacts", "orders", "line_items")}
    joined = pairs(hub, "orders->line_items")
    hub.known.clear()
    assert all_done(hub.deliver(completed(sale(*THREE))))
    assert {kind: hub.properties(kind) for kind in once} == once
    assert pairs(hub, "orders->line_items") == joined


@pytest.mark.parametrize("survived", range(5))
def test_a_crash_between_any_two_steps_is_made_good(survived: int) -> None:
    hub = Hub()
    plan = hub.plan(completed(sale(*THREE)))
    assert isinstance(plan, Deliver)
    hub.send(plan.steps[:survived])
    assert all_done(hub.send(plan.steps[survived:]))
    assert hub.simulator.counters()["orders_created"] == 1
    assert hub.simulator.counters()["line_items_created"] == 3
    assert len(pairs(hub, "orders->line_items")) == 3


def test_a_sale_of_150_lines_has_them_all() -> None:
    hub = Hub()
    lines = [line(f"Item {n}", 100) for n in range(150)]
    assert all_done(hub.deliver(completed(sale(*lines))))
    assert len(hub.properties("line_items")) == 150
    assert len(pairs(hub, "orders->line_items")) == 150


def test_an_amendment_takes_lines_away_and_empties_what_is_gone() -> None:
    hub = Hub()
    before = sale(*THREE)
    hub.deliver(completed(before))
    after = sale(THREE[0].model_copy(update={"sku": None}), line("Cake", 500))
    assert all_done(hub.deliver(amended(before, after)))
    assert [item["name"] for item in hub.properties("line_items")] == ["Milk", "Cake"]
    assert "hs_sku" not in hub.properties("line_items")[0]
    assert hub.properties("orders")[0]["hs_total_price"] == "7.50"
    assert len(pairs(hub, "orders->line_items")) == 2


def test_lines_are_taken_away_although_their_ids_are_forgotten() -> None:
    hub = Hub()
    before = sale(*THREE)
    hub.deliver(completed(before))
    hub.known.clear()
    assert all_done(hub.deliver(amended(before, sale(THREE[0]))))
    assert [item["name"] for item in hub.properties("line_items")] == ["Milk"]


def test_an_amendment_after_a_refund_leaves_the_refund_standing() -> None:
    hub = Hub(Config(pipeline="p", completed_stage="s1", refunded_stage="s2"))
    before = sale(*THREE)
    hub.deliver(completed(before))
    assert hub.properties("orders")[0]["hs_pipeline_stage"] == "s1"
    assert all_done(hub.deliver(refunded("S-1042", 250, 250)))
    assert all_done(hub.deliver(amended(before, sale(*THREE, line("Cake", 500)))))
    [order] = hub.properties("orders")
    assert order["pos_refunded_amount"] == "2.50"
    assert order["hs_external_order_status"] == "has_refund"
    assert order["hs_pipeline_stage"] == "s2"


def test_a_refund_twice_is_one_refund() -> None:
    hub = Hub()
    hub.deliver(completed(sale(*THREE)))
    for _ in range(2):
        assert all_done(hub.deliver(refunded("S-1042", 250, 660)))
    assert hub.properties("orders")[0]["pos_refunded_amount"] == "6.60"


def test_a_void_leaves_the_order_marked() -> None:
    hub = Hub()
    hub.deliver(completed(sale(*THREE)))
    assert all_done(hub.deliver(voided("S-1042")))
    assert hub.properties("orders")[0]["hs_external_order_status"] == "voided"


def test_what_follows_an_unknown_sale_waits_and_makes_no_order() -> None:
    hub = Hub()
    missing = [MissingDependency("the sale is not at HubSpot")]
    assert hub.deliver(refunded("S-1042", 250, 250)) == missing
    assert hub.deliver(voided("S-1042")) == missing
    assert hub.properties("orders") == []


def test_refunds_that_cannot_be_kept_name_their_rule() -> None:
    hub = Hub()
    assert hub.plan(refunded(None, 250, 250)) == Filtered("refund without a sale")
    assert hub.plan(refunded("S-1042", 250, None)) == Filtered("refund without the sale's refunds to date")


@pytest.mark.parametrize("conflict", ["call", "row"])
def test_a_contact_from_a_web_form_becomes_the_customers(conflict: str) -> None:
    hub = Hub(conflict=conflict)
    hub.simulator.load({"contacts": [{"email": "ana@example.org", "city": "Madrid"}]})
    assert all_done(hub.deliver(customer(phone="+34600111222")))
    [contact] = hub.properties("contacts")
    assert contact["pos_customer_id"] == ANAS_KEY
    assert contact["phone"] == "+34600111222"
    assert contact["city"] == "Madrid"


@pytest.mark.parametrize("conflict", ["call", "row"])
def test_a_sale_finds_the_contact_from_a_web_form(conflict: str) -> None:
    hub = Hub(conflict=conflict)
    hub.simulator.load({"contacts": [{"email": "ana@example.org", "firstname": "Anita"}]})
    assert all_done(hub.deliver(completed(sale())))
    assert [contact["firstname"] for contact in hub.properties("contacts")] == ["Anita"]
    assert len(pairs(hub, "orders->contacts")) == 1


def test_an_address_that_is_another_customers_waits_for_a_person() -> None:
    hub = Hub()
    hub.deliver(customer())
    hub.simulator.load({"contacts": [{"email": "new@example.org"}]})
    verdicts = hub.deliver(customer(email="new@example.org"))
    assert verdicts[-1] == Conflict("HubSpot has another object with that unique value (pos_customer_id)")


def test_a_conflict_asked_about_in_other_words_leads_to_the_same_contact() -> None:
    hub = Hub()
    hub.simulator.load({"contacts": [{"email": "ana@example.org"}]})
    plan = hub.plan(customer())
    assert isinstance(plan, Deliver)
    claim = plan.steps[0]
    assert isinstance(TARGET.judge(claim, hub.call(claim.request)), Conflict)
    assert claim.lookup is not None
    assert TARGET.found(claim, hub.call(claim.lookup)) == Done("1001", already=True)


def test_a_lookup_that_finds_nobody_says_so() -> None:
    hub = Hub()
    plan = hub.plan(customer())
    assert isinstance(plan, Deliver)
    assert plan.steps[0].lookup is not None
    assert TARGET.found(plan.steps[0], hub.call(plan.steps[0].lookup)) is None


def test_an_old_sale_does_not_overwrite_a_newer_customer() -> None:
    hub = Hub()
    hub.deliver(customer(given_name="Anna"))
    hub.deliver(completed(sale()))
    assert hub.properties("contacts")[0]["firstname"] == "Anna"


def test_a_customer_without_an_address_is_found_again_by_the_tills_id() -> None:
    hub = Hub()
    hub.deliver(completed(sale(customer=CustomerRef(id="C-1009", given_name="Ana"))))
    assert all_done(hub.deliver(customer(email=None, phone="+34600111222")))
    [contact] = hub.properties("contacts")
    assert contact["phone"] == "+34600111222"


def test_customers_are_one_contact_per_address_when_that_is_the_key() -> None:
    hub = Hub(Config(contact_key="email"))
    hub.deliver(customer())
    assert all_done(hub.deliver(customer(id="C-2", given_name="Anna")))
    assert [contact["firstname"] for contact in hub.properties("contacts")] == ["Anna"]
    first, second = (hub.plan(customer(id=name)) for name in ("C-1009", "C-2"))
    assert isinstance(first, Deliver)
    assert isinstance(second, Deliver)
    # One contact is one target key, or both could meet in one batch and fail it.
    assert first.steps[0].target_key == second.steps[0].target_key
    assert "ana" not in first.steps[0].target_key


@pytest.mark.parametrize("remembered", [True, False])
def test_an_erased_customer_is_archived(remembered: bool) -> None:
    hub = Hub()
    hub.deliver(customer())
    if not remembered:
        hub.known.clear()
    assert all_done(hub.deliver(erased(on_request=False)))
    assert hub.properties("contacts") == []


def test_a_privacy_request_can_delete_for_good_and_be_repeated() -> None:
    hub = Hub(Config(on_erasure="gdpr_delete"))
    hub.deliver(customer())
    for _ in range(2):
        assert all_done(hub.deliver(erased(on_request=True)))
    assert "ana@example.org" not in str(hub.simulator.state())


def test_a_later_sale_of_an_erased_customer_stands_without_the_contact_and_says_so() -> None:
    hub = Hub()
    hub.deliver(customer())
    hub.deliver(erased(on_request=True))
    verdicts = hub.deliver(completed(sale(*THREE)))
    assert verdicts[-1] == Invalid("HubSpot no longer has an object that this refers to")
    assert hub.properties("orders")[0]["hs_total_price"] == "12.60"


def test_the_simulator_forgets_on_reset() -> None:
    simulator = HubSpotSimulator()
    simulator.load({"contacts": [{"email": "ana@example.org"}]})
    simulator.reset()
    assert simulator.state()["contacts"] == []
