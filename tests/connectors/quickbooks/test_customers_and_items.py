"""Customers under unique names, items under unique names with their SKU."""

from __future__ import annotations

from typing import Any

import pytest

from libs.canonical.catalogue import Product
from libs.canonical.customer import Customer, CustomerErased
from libs.canonical.event import AnyEvent, state_changed
from libs.canonical.kinds import Kind
from libs.connectors.contract.target import Filtered, Ref
from libs.connectors.quickbooks.config import Settings
from tests.connectors.quickbooks.company import Client, Refusal
from tests.connectors.quickbooks.samples import ACCOUNT, ITEMS, NOON, settings

C7 = Ref("customer", "square:ML1:customer:C7")


def customer(**more: Any) -> AnyEvent:
    data = Customer(**{"id": "C7", "updated_at": NOON, "given_name": "Ada", "family_name": "Byron", **more})
    return state_changed(ACCOUNT, Kind.CUSTOMER_CHANGED, data)


def erased(*, on_request: bool) -> AnyEvent:
    data = CustomerErased(id="C7", erased_at=NOON, on_request=on_request)
    return state_changed(ACCOUNT, Kind.CUSTOMER_ERASED, data)


def product(**more: Any) -> AnyEvent:
    data = Product(**{"id": "V1", "sku": "00123", "name": "Espresso", "updated_at": NOON, **more})
    return state_changed(ACCOUNT, Kind.PRODUCT_CHANGED, data)


@pytest.fixture
def client() -> Client:
    return Client(settings("daily_journal", customers=True, items=ITEMS | {"sync": True, "income_account": "79"}))


def test_a_free_name_is_taken_as_it_is(client: Client) -> None:
    client.deliver(customer(email="ada@example.com"))
    (stored,) = client.stored("Customer")
    assert stored["DisplayName"] == "Ada Byron"
    assert client.known[C7] == stored["Id"]


@pytest.mark.parametrize("kind", ["customers", "vendors"])
def test_a_name_that_somebody_else_has_gets_a_code(client: Client, kind: str) -> None:
    client.sandbox.load({kind: [{"Id": "70", "DisplayName": "ADA BYRON"}]})
    client.deliver(customer(email="ada@example.com"))
    (stored,) = client.stored("Customer")
    assert stored["DisplayName"].startswith("Ada Byron (POS ")
    assert client.known[C7] == stored["Id"]


def test_the_name_of_an_inactive_record_is_taken_too(client: Client) -> None:
    client.sandbox.load({"customers": [{"Id": "70", "DisplayName": "Ada Byron", "Active": False}]})
    client.deliver(customer())
    assert client.stored("Customer")[0]["DisplayName"] != "Ada Byron"


def test_the_same_person_is_linked_and_not_made_again(client: Client) -> None:
    client.sandbox.load(
        {"customers": [{"Id": "70", "DisplayName": "Ada Byron", "PrimaryEmailAddr": {"Address": "Ada@Example.com"}}]}
    )
    client.deliver(customer(email="ada@example.com"))
    assert client.stored("Customer") == []
    assert client.known[C7] == "70"


def test_our_own_customer_is_found_again_when_its_id_was_lost(client: Client) -> None:
    client.deliver(customer())
    first = client.known.pop(C7)
    client.deliver(customer())
    assert client.known[C7] == first
    assert len(client.stored("Customer")) == 1


def test_a_change_keeps_the_display_name_and_what_is_not_known(client: Client) -> None:
    client.deliver(customer(phone="+12025550143"))
    client.deliver(customer(family_name="King"))
    (stored,) = client.stored("Customer")
    assert (stored["DisplayName"], stored["FamilyName"]) == ("Ada Byron", "King")
    assert stored["PrimaryPhone"] == {"FreeFormNumber": "+12025550143"}


def test_a_privacy_request_leaves_nothing_personal(client: Client) -> None:
    client.deliver(customer(email="ada@example.com", phone="+12025550143", company="Engines"))
    client.deliver(erased(on_request=True))
    text = str(client.stored("Customer"))
    assert not any(word in text for word in ("Ada", "Byron", "example.com", "555", "Engines"))


def test_a_customer_deleted_at_the_till_stays(client: Client) -> None:
    client.deliver(customer())
    assert client.plan(erased(on_request=False)) == Filtered("deleted at the till, kept in the books")


def test_a_refused_customer_is_told_without_its_data(client: Client) -> None:
    client.sandbox.load({"customers": [{"Id": "70", "DisplayName": "Ada Byron"}]})
    client.deliver(customer())
    taken = client.stored("Customer")[0]["DisplayName"]
    client.start_anew()
    client.known.clear()
    client.sandbox.load({"customers": [{"Id": "70", "DisplayName": "Ada Byron"}, {"Id": "71", "DisplayName": taken}]})
    with pytest.raises(Refusal) as refused:
        client.deliver(customer())
    assert type(refused.value.verdict).__name__ == "Conflict"
    assert "Byron" not in str(refused.value.verdict)


def test_names_lose_what_quickbooks_refuses_and_what_is_too_long(client: Client) -> None:
    client.deliver(customer(given_name="Ada:\tthe\nfirst", family_name="x" * 300))
    (stored,) = client.stored("Customer")
    assert stored["DisplayName"].startswith("Ada the first x")
    assert len(stored["DisplayName"]) == 100


def test_switched_off_nothing_is_sent() -> None:
    off = Client(settings("receipts"))
    assert off.plan(customer()) == Filtered("customers is off")
    assert off.plan(erased(on_request=True)) == Filtered("customers is off")
    assert off.plan(product()) == Filtered("items.sync is off")


def test_products_are_created_changed_and_keep_their_id(client: Client) -> None:
    client.deliver(product(name="Espresso: short"))
    client.deliver(product(name="Espresso", variation="Double", description="Short", active=False))
    (stored,) = client.stored("Item")
    assert stored["Name"] == "Espresso Double [00123]"
    assert (stored["Sku"], stored["Type"], stored["Active"]) == ("00123", "NonInventory", True)


def test_a_product_is_found_by_its_exact_sku(client: Client) -> None:
    client.sandbox.load({"items": [{"Id": "500", "Name": "Other", "Sku": "abc"}]})
    client.deliver(product(sku="ABC"))
    assert client.known[Ref("item", "ABC")] != "500"


def test_a_product_without_sku_is_filtered(client: Client) -> None:
    for sku in (None, "x" * 101):
        assert client.plan(product(sku=sku)) == Filtered("a product without a usable SKU has no item")


def test_created_items_need_an_income_account() -> None:
    with pytest.raises(ValueError, match="income_account"):
        Settings.model_validate({"mode": "receipts", "home_currency": "USD", "items": {"by_sku": True}})
