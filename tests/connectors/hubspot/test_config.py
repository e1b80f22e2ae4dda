"""What a connection may be told, and what is refused before going live."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from libs.connectors.hubspot.config import Config, check


@pytest.mark.parametrize(
    "settings",
    [
        {"contact_key": "phone"},
        {"unknown": 1},
        {"objects_path": "https://elsewhere.example"},
        {"orders": {"rename": {"pos_order_id": "other"}}},
        {"orders": {"rename": {"hs_tax": "pos_order_id"}}},
        {"line_items": {"leave_out": ["pos_line_id"]}},
        {"contacts": {"constants": {"pos_customer_id": "x"}}},
        {"orders": {"facts": {"weather": "pos_weather"}}},
        {"orders": {"facts": {"tip": "Not A Property"}}},
        {"orders": {"facts": {"tip": "pos_order_id"}}},
    ],
)
def test_what_cannot_work_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Config.model_validate(settings)


def test_the_defaults_need_nothing() -> None:
    assert check(Config()) == ()


def test_a_stage_needs_its_pipeline_and_a_pipeline_its_first_stage() -> None:
    assert check(Config(voided_stage="s")) == ("voided_stage is set without pipeline: a stage belongs to one.",)
    assert check(Config(pipeline="p")) == ("completed_stage is missing: a pipeline is named.",)
    assert check(Config(pipeline="p", completed_stage="s", voided_stage="v")) == ()


def test_every_setting_is_described() -> None:
    described = Config.model_json_schema()
    for name, schema in described["properties"].items():
        assert schema.get("description"), name
    for definition in described["$defs"].values():
        for name, schema in definition["properties"].items():
            assert schema.get("description"), name
