"""Snapshots: what the vendor answers is searched for card data just as what it sends."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from libs.connectors.contract.http import Request, Response
from libs.runtime import exact_json
from libs.runtime.configuration.reading import parse_configuration
from services.ingest.assembling import Assembler, Gone
from tests.system import square_till as till
from tests.system.configuration import configuration

PAN = "4111 1111 1111 1111"


class _Vendor:
    """Answers what it has, and 404 for everything else."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self._answers = answers

    async def send(self, request: Request) -> Response:
        found = self._answers.get(request.path)
        return Response(404, {}, b"{}") if found is None else Response(200, {}, exact_json.encode(found))


def _assembler(pool: Any, answers: dict[str, Any]) -> Assembler:
    connection = parse_configuration(yaml.safe_dump(configuration("http://sandbox", 1))).connection("square-main")
    settings: Any = SimpleNamespace(http_timeout_seconds=3.0, encryption_key=None, instance="test")
    assembler = Assembler(connection, pool, settings)
    assembler._client = _Vendor(answers)  # type: ignore[assignment]
    return assembler


_ROW = {
    "root_kind": "order", "root_id": "ORD1", "have": {}, "via": "webhook", "type": "order.updated",
    "received_at": datetime(2026, 11, 18, tzinfo=UTC),
}  # fmt: skip


async def test_an_answer_nested_without_end_is_given_up_with_its_reason(pool: Any) -> None:
    """What cannot be searched for card data is not kept."""
    deep: Any = "x"
    for _ in range(100):
        deep = {"a": deep}
    assembler = _assembler(pool, {"/v2/orders/ORD1": {"order": till.order(1) | {"metadata": deep}}})
    with pytest.raises(Gone, match="nested too deeply"):
        await assembler.snapshot(_ROW)


async def test_card_data_in_a_fetched_object_never_reaches_the_snapshot(pool: Any) -> None:
    """A card number noted on an order at the vendor is cut, and a reference the vendor does not have is null."""
    order = till.order(1, note=f"customer read out {PAN}")
    assembler = _assembler(
        pool,
        {
            "/v2/orders/ORD1": {"order": order},
            "/v2/payments/PAY1": {"payment": till.payment(order)},
            "/v2/locations/L1": {"location": till.LOCATION},
        },
    )
    snapshot = await assembler.snapshot(_ROW)
    kept = exact_json.encode(snapshot.model_dump(mode="python")).decode()
    assert "customer read out" in kept
    assert PAN.replace(" ", "") not in kept.replace(" ", "")
    assert snapshot.parts["order:ORD1"]["line_items"][0]["name"] == "Coffee"
    assert snapshot.parts["catalog:VAR-SKU1"] is None
