"""What an answer means, above all one with status 200."""

from __future__ import annotations

import json
from typing import Any

import pytest

from libs.connectors.contract.http import Response
from libs.connectors.contract.source import Unmappable
from libs.connectors.contract.target import AuthFailed, Invalid, Outage, Retry, Throttled
from libs.connectors.shopify.answers import data, judge
from libs.connectors.shopify.pull import following, found
from libs.connectors.shopify.queries import request
from libs.connectors.shopify.sandbox import ShopifySimulator
from tests.connectors.shopify.till import answered


def answer(body: Any, status: int = 200) -> Response:
    return Response(status, {}, json.dumps(body).encode())


def refused(code: str, *path: str, **more: Any) -> Response:
    return answer({"errors": [{"message": "no", "path": list(path), "extensions": {"code": code}}], **more})


def test_throttled_says_how_long_to_wait() -> None:
    cost = {
        "requestedQueryCost": 40,
        "throttleStatus": {"maximumAvailable": 2000, "currentlyAvailable": 10, "restoreRate": 100},
    }
    verdict = judge(refused("THROTTLED", extensions={"cost": cost}))
    assert isinstance(verdict, Throttled)
    assert verdict.after == pytest.approx(0.3)


def test_throttled_without_figures_says_nothing_of_time() -> None:
    verdict = judge(refused("THROTTLED"))
    assert verdict == Throttled("the points of the query are used up", None)


@pytest.mark.parametrize("path", [("order", "staffMember"), ("order", "transactions", "user"), ("order", "customer")])
def test_a_right_that_can_be_done_without_is_no_failure(path: tuple[str, ...]) -> None:
    assert judge(refused("ACCESS_DENIED", *path, data={"order": {}})) is None


@pytest.mark.parametrize("path", [("order",), ("customer",), ("order", "transactions"), ()])
def test_a_right_that_is_needed_is_missing_credentials(path: tuple[str, ...]) -> None:
    assert isinstance(judge(refused("ACCESS_DENIED", *path, data={"order": {}})), AuthFailed)


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (refused("INTERNAL_SERVER_ERROR"), Retry),
        (refused("SHOP_INACTIVE"), Outage),
        (refused("undefinedField"), Invalid),
        (answer({"errors": "plain text"}), Invalid),
        (answer({"errors": [None]}), Invalid),
        (answer({"data": None}), Retry),
        (answer([]), Retry),
        (Response(200, {}, b"<html>"), Retry),
        (answer({}, 402), Outage),
        (answer({}, 423), Outage),
    ],
)
def test_the_reaction_to(response: Response, kind: type) -> None:
    assert isinstance(judge(response), kind)


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_the_plain_status_table_decides(status: int) -> None:
    assert judge(answer({"errors": "x"}, status)) is None


def test_a_good_answer_is_good() -> None:
    assert judge(answer({"data": {"order": None}})) is None
    assert data(answer({"data": {"order": None}})) == {"order": None}


@pytest.mark.parametrize("fault", ["down", "error", "throttled", "throttled_retry_after", "unauthorized", "garbage"])
def test_no_failure_is_ever_read_as_an_empty_page(fault: Any) -> None:
    failed = answered(ShopifySimulator().fault(fault))
    with pytest.raises(Unmappable):
        data(failed)
    with pytest.raises(Unmappable):
        found("orders", failed)
    with pytest.raises(Unmappable):
        following("orders", request("Orders"), failed)
