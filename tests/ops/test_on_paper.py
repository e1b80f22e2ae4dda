"""`till map` and `till render`: any file gives a clean answer, and the connectors' own cases give theirs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.connectors.contract.connector import FOLDER, connectors
from tests.ops.running import Said, till

SHOPIFY = FOLDER / "shopify/cases"
SOURCES = [vendor for vendor, known in connectors().items() if known.source]
TARGETS = [vendor for vendor, known in connectors().items() if known.target]


def _case(name: str) -> dict[str, Any]:
    case: dict[str, Any] = json.loads((SHOPIFY / name / "in.json").read_text())
    return case


def _write(folder: Path, name: str, content: Any) -> str:
    path = folder / name
    path.write_text(json.dumps(content))
    return str(path)


@pytest.fixture
def paid(tmp_path: Path) -> dict[str, str]:
    """The files an operator would have of one sale paid in cash."""
    case = _case("cash_with_change")
    return {
        "body": _write(tmp_path, "webhook.json", case["notification"]["body"]),
        "whole": _write(tmp_path, "whole.json", case["notification"]),
        "order": _write(tmp_path, "order_as_fetched.json", case["parts"]["order"]),
        "shop": _write(tmp_path, "shop.json", case["parts"]["shop"]),
        "parts": _write(tmp_path, "parts.json", {"parts": case["parts"]}),
        "settings": _write(tmp_path, "settings.yaml", case["settings"]),
    }


def _map(paid: dict[str, str], *more: str) -> Said:
    return till("map", "shopify", paid["body"], "--type", "orders/paid", "--settings", paid["settings"], *more)


def test_a_raw_body_with_its_objects_becomes_the_sale(paid: dict[str, str]) -> None:
    said = _map(paid, "--with", paid["order"], "--with", paid["shop"])
    assert said.code == 0
    assert "sale.completed" in said.out
    assert "17.35 CAD" in said.out
    assert "adds up" in said.out
    assert "x-shopify-shop-domain was not given" in said.out


def test_an_answer_saved_under_the_name_of_its_object_is_read(tmp_path: Path) -> None:
    """`order.json` holding `{"order": {...}}`, as the vendor answers it: the wrapper is taken off once, not twice."""
    case: dict[str, Any] = json.loads((FOLDER / "square/cases/card_sale_with_tip/in.json").read_text())
    files = [_write(tmp_path, "webhook.json", case["notification"]["body"])]
    for part, value in case["parts"].items():
        kind = part.partition(":")[0]
        if kind in ("order", "location", "payment"):
            files += ["--with", _write(tmp_path, f"{kind}.json", {kind: value})]
    said = till("map", "square", *files)
    assert said.code == 0
    assert "14.40 USD" in said.out
    assert "adds up" in said.out


def test_the_parts_may_come_in_one_file_and_give_the_recorded_events(paid: dict[str, str]) -> None:
    said = _map(paid, "--with", paid["parts"], "--json")
    recorded = json.loads((SHOPIFY / "cash_with_change/out.json").read_text())
    assert said.code == 0
    assert said.json == recorded["roots"][0]["events"]


def test_what_is_missing_is_told_with_method_and_path(paid: dict[str, str]) -> None:
    said = _map(paid, "--with", paid["shop"])
    assert said.code == 3
    assert "order: POST /admin/api/" in said.err
    asked = _map(paid, "--json")
    assert asked.code == 3
    assert {need["part"] for need in asked.json["needs"]} == {"order", "shop"}


def test_another_order_is_not_taken_for_this_one(paid: dict[str, str], tmp_path: Path) -> None:
    order = {**json.loads(Path(paid["order"]).read_text()), "id": "5900000000999"}
    said = _map(paid, "--with", _write(tmp_path, "other.json", order), "--with", paid["shop"])
    assert said.code == 3
    assert "order: POST" in said.err


def test_headers_in_the_file_are_used(paid: dict[str, str]) -> None:
    said = till("map", "shopify", paid["whole"], "--with", paid["parts"], "--settings", paid["settings"])
    assert said.code == 0
    assert "stand-in" not in said.out


def test_card_data_is_cut_before_anything_is_shown(paid: dict[str, str], tmp_path: Path) -> None:
    order = json.loads(Path(paid["order"]).read_text())
    order["note"] = "card 4111 1111 1111 1111"
    said = _map(paid, "--with", _write(tmp_path, "order.json", order), "--with", paid["shop"])
    assert said.code == 0
    assert "card data cut at order.note" in said.out
    assert "4111 1111 1111 1111" not in said.out
    assert (
        "4111 1111 1111 1111"
        not in _map(paid, "--with", str(tmp_path / "order.json"), "--with", paid["shop"], "--json").out
    )


@pytest.mark.parametrize(
    ("case", "code", "text"),
    [
        ("not_paid_yet", 3, "not yet"),
        ("unreadable_status", 3, "would be a dead letter"),
        ("app_uninstalled", 0, "no effect"),
        ("topic_not_used", 0, "no effect"),
        ("does_not_add_up", 0, "does not add up"),
        ("no_order_id", 3, "would be a dead letter"),
    ],
)
def test_the_exit_code_says_what_would_become_of_it(case: str, code: int, text: str) -> None:
    said = till("map", "shopify", str(SHOPIFY / case / "in.json"))
    assert said.code == code
    assert text in said.out + said.err


@pytest.mark.parametrize("vendor", SOURCES)
def test_every_recorded_case_gives_its_recorded_events(vendor: str) -> None:
    compared = 0
    for recorded in sorted((FOLDER / vendor / "cases").glob("*/in.json")):
        out = json.loads((recorded.parent / "out.json").read_text())
        given_case = json.loads(recorded.read_text())
        if "notification" not in given_case or "malformed" in out or "unmappable" in out:
            continue
        events = [event for root in out.get("roots", []) for event in root["events"]]
        said = till("map", vendor, str(recorded), "--json")
        if events:
            assert said.json == events, recorded.parent.name
            compared += 1
    assert compared or not list((FOLDER / vendor / "cases").glob("*/out.json"))


def test_answers_of_the_vendor_are_matched_by_their_ids(tmp_path: Path) -> None:
    """Square's answers wrap the object (`{"order": {...}}`), and many kinds are fetched for one sale."""
    compared = 0
    for recorded in sorted((FOLDER / "square/cases").glob("*/in.json")):
        case = json.loads(recorded.read_text())
        out = json.loads((recorded.parent / "out.json").read_text())
        events = [event for root in out.get("roots", []) for event in root["events"]]
        if len(case.get("parts", {})) < 3 or not events:
            continue
        answers = []
        for number, (part, value) in enumerate(case["parts"].items()):
            kind = part.partition(":")[0]
            content = value if kind == "catalog" or value is None else {kind: value}
            answers += ["--with", _write(tmp_path, f"answer-{number}.json", content)]
        body = _write(tmp_path, "webhook.json", case["notification"])
        config = _write(tmp_path, "settings.yaml", case.get("settings", {}))
        said = till("map", "square", body, *answers, "--settings", config, "--json")
        assert said.json == events, recorded.parent.name
        compared += 1
    assert compared > 5


def test_a_type_is_refused_where_the_vendor_says_it_in_the_body(tmp_path: Path) -> None:
    said = till("map", "square", _write(tmp_path, "a.json", {}), "--type", "payment.created")
    assert said.code == 2
    assert "leave out --type" in said.err


def test_usage_faults_are_plain(tmp_path: Path) -> None:
    body = _write(tmp_path, "a.json", {})
    assert "there are:" in till("map", "nobody", body).err
    assert "is no source" in till("map", "hubspot", body).err
    assert "is no target" in till("render", "shopify", body).err
    (tmp_path / "broken.json").write_text('{"a": ')
    for arguments in (
        ("map", "shopify", str(tmp_path / "broken.json")),
        ("map", "shopify", str(tmp_path / "not_there.json")),
        ("map", "shopify", body, "--settings", str(tmp_path / "broken.json")),
        ("render", "hubspot", _write(tmp_path, "b.json", [{"kind": "sale.completed"}])),
        ("render", "hubspot", _write(tmp_path, "c.json", 7)),
    ):
        said = till(*arguments)
        assert said.code == 2, arguments
        assert said.err.strip()


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    wrong = tmp_path / "settings.yaml"
    wrong.write_text("default_cut_off: noon\n")
    said = till("map", "shopify", _write(tmp_path, "a.json", {}), "--settings", str(wrong))
    assert said.code == 2
    assert "default_cut_off" in said.err


_NAMES = (
    "id",
    "type",
    "data",
    "object",
    "order",
    "merchant_id",
    "body",
    "headers",
    "order_id",
    "parts",
    "notification",
)
_scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=12)
json_values = st.recursive(
    _scalars | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_NAMES) | st.text(max_size=6), inner, max_size=5)
    ),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=json_values,
    loose=json_values,
    vendor=st.sampled_from(SOURCES),
    type_=st.sampled_from((None, "orders/paid", "refunds/create", "x")),
)
def test_any_json_gives_a_clean_answer(tmp_path: Path, body: Any, loose: Any, vendor: str, type_: str | None) -> None:
    has_header = connectors()[vendor].manifest.source.type_header is not None  # type: ignore[union-attr]
    more = ("--type", type_) if type_ and has_header else ()
    said = till("map", vendor, _write(tmp_path, "b.json", body), "--with", _write(tmp_path, "l.json", loose), *more)
    assert said.code in (0, 2, 3)
    assert "internal error" not in said.err
    assert said.code == 0 or said.err.strip()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=json_values, vendor=st.sampled_from(TARGETS))
def test_render_refuses_what_is_no_event(tmp_path: Path, document: Any, vendor: str) -> None:
    said = till("render", vendor, _write(tmp_path, "e.json", document))
    assert said.code == (0 if document == [] else 2)


def test_map_and_render_fit_together(paid: dict[str, str]) -> None:
    events = _map(paid, "--with", paid["parts"], "--json")
    said = till("render", "hubspot", "-", given=events.out)
    assert said.code == 0
    assert "the connector's sample" in said.out
    assert "POST /crm/v3/objects/orders" in said.out
    plans = till("render", "hubspot", "-", "--json", given=events.out).json
    assert [plan["plan"] for plan in plans] == ["deliver"]


@pytest.mark.parametrize("vendor", TARGETS)
def test_render_gives_the_recorded_plans_where_nothing_was_known(vendor: str, tmp_path: Path) -> None:
    compared = 0
    for recorded in sorted((FOLDER / vendor / "cases").glob("*/in.json"))[::4]:
        case, out = json.loads(recorded.read_text()), json.loads((recorded.parent / "out.json").read_text())
        if "event" not in case or case.get("known"):
            continue
        config = _write(tmp_path, "config.json", case.get("settings", {}))
        said = till("render", vendor, _write(tmp_path, "event.json", case["event"]), "--settings", config, "--json")
        (plan,) = said.json
        assert {name: value for name, value in plan.items() if name not in ("event", "kind")} == out, (
            recorded.parent.name
        )
        assert said.code == (3 if out["plan"] == "hold" else 0)
        compared += 1
    assert compared > 3
