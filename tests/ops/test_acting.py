"""Pausing, closing days, backfills, checks: what an operator asks for is written down for the services, and audited."""

from __future__ import annotations

import asyncio
import base64
import os
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.main import get_command

from libs.canonical.day import DayClosed, lines_of_sale
from libs.canonical.event import day_closed
from services.ops.till import app
from tests.ops.conftest import AddDelivery
from tests.ops.running import till, till_aside
from tests.system.sales import ACCOUNT, sale


@pytest.mark.usefixtures("at_work")
async def test_pause_and_resume(pool: Any) -> None:
    assert (await till_aside("pause", "hubspot-main", "--reason", "their move", "--as", "ana")).code == 0
    row = await pool.fetchrow("select * from connection_state where connection = 'hubspot-main'")
    assert (row["paused_by"], row["paused_reason"], row["paused_at"] is None) == ("ana", "their move", False)
    again = await till_aside("pause", "hubspot-main", "--as", "bo")
    assert "paused already" in again.out
    assert await pool.fetchval("select paused_by from connection_state") == "ana"
    assert (await till_aside("resume", "hubspot-main")).code == 0
    assert await pool.fetchval("select paused_by from connection_state") is None
    assert "was not paused" in (await till_aside("resume", "hubspot-main")).out
    rows = await pool.fetch("select who, what, object, result from audit order by id")
    assert [(r["what"], r["object"], r["result"]) for r in rows] == [
        ("pause", "hubspot-main", "done"), ("pause", "hubspot-main", "nothing to do"),
        ("resume", "hubspot-main", "done"), ("resume", "hubspot-main", "nothing to do"),
    ]  # fmt: skip


@pytest.mark.usefixtures("at_work")
async def test_an_unknown_connection_names_the_known_ones(pool: Any) -> None:
    said = await till_aside("pause", "hubspot")
    assert said.code == 2
    assert "hubspot-main" in said.err
    assert await pool.fetchval("select count(*) from connection_state") == 0


async def _location(pool: Any) -> None:
    await pool.execute("insert into book_location values ('square:ML1', 'L1', 'USD', 'UTC', '00:00', '2026-11-01')")


@pytest.mark.usefixtures("at_work")
async def test_closing_a_day_asks_the_books(pool: Any) -> None:
    unknown = await till_aside("day", "close", "L1", "2026-11-18")
    assert unknown.code == 2
    await _location(pool)
    assert (await till_aside("day", "close", "L1", "2026-11-18", "--as", "ana")).code == 0
    row = await pool.fetchrow("select * from day_close_request")
    assert (row["account"], row["location_id"], row["business_day"], row["currency"], row["requested_by"]) == (
        "square:ML1", "L1", date(2026, 11, 18), "USD", "ana",
    )  # fmt: skip
    assert (await till_aside("day", "close", "L1", "yesterday")).code == 2
    assert (await till_aside("day", "close", "L1", "2026-11-18", "--currency", "EUR")).code == 2


@pytest.mark.usefixtures("at_work")
async def test_days_show_sums_and_documents(pool: Any, add_delivery: AddDelivery) -> None:
    lines = lines_of_sale(sale(1).data)
    day = DayClosed(
        location_id="L1", business_day=date(2026, 11, 18), currency="USD", timezone="UTC", revision=1, sales=1,
        refunds=0, lines=lines, members=(sale(1).id,), closed_at=datetime(2026, 11, 19, 2, tzinfo=UTC),
    )  # fmt: skip
    event = day_closed(ACCOUNT, day)
    await pool.execute(
        "insert into day_close (account, location_id, business_day, currency, revision, event_id, value, sales, "
        "closed_by, closed_at) values ('square:ML1', 'L1', '2026-11-18', 'USD', 1, $1, $2, 1, 'clock', $3), "
        "('square:ML1', 'L2', '2026-11-18', 'USD', 0, null, null, 0, 'clock', $3)",
        event.id, event.model_dump_json().encode(), day.closed_at,
    )  # fmt: skip
    await pool.execute(
        "insert into book_entry (event_id, account, location_id, business_day, currency, timezone, entity_id, kind, "
        "sales, refunds, lines, difference, business_entered_at) values ('e9', 'square:ML1', 'L1', '2026-11-19', "
        "'USD', 'UTC', 'o9', 'sale.completed', 1, 0, '[]', 0, now())"
    )
    await add_delivery("qbo-journal", event, "delivered", document="TS-L1-1118", remote_id="145")
    found = (await till_aside("day", "show", "--json")).json
    assert [(d["location"], d["revision"]) for d in found] == [("L1", 1), ("L1", None), ("L2", 0)]
    assert (found[0]["paid_for"], found[0]["paid_with"], found[0]["difference"]) == (10.8, 10.8, 0)
    text = await till_aside("day", "show", "--location", "L1")
    assert "qbo-journal TS-L1-1118 145" in text.out
    assert "10.80 USD" in text.out
    assert "open" in text.out
    assert "L2" not in text.out
    assert len((await till_aside("day", "show", "--day", "2026-11-19", "--json")).json) == 1


@pytest.mark.usefixtures("at_work")
async def test_a_backfill_is_asked_for_and_followed(pool: Any) -> None:
    said = await till_aside(
        "backfill", "square-main", "--from", "2026-11-01", "--to", "2026-11-08", "--feeds", "orders"
    )
    assert said.code == 0, said.err
    row = await pool.fetchrow("select * from backfill_request")
    assert (row["connection"], row["feeds"], row["state"]) == ("square-main", ["orders"], "waiting")
    assert (row["begin_at"], row["end_at"]) == (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 8, tzinfo=UTC))

    async def poller(state: str) -> None:
        """Does what the poller does, half a second after it was asked."""
        await asyncio.sleep(0.5)
        await pool.execute(
            "update backfill_request set state = $1, found = 12, progress = 'HTTP 403' "
            "where id > 1 and state = 'waiting'",
            state,
        )

    done, _ = await asyncio.gather(
        till_aside("backfill", "square-main", "--from", "3d", "--wait", "--json"), poller("done")
    )
    assert (done.code, done.json["state"], done.json["found"]) == (0, "done", 12)
    assert set(done.json["feeds"]) > {"orders"}
    failed, _ = await asyncio.gather(till_aside("backfill", "square-main", "--from", "3d", "--wait"), poller("failed"))
    assert failed.code == 1
    assert "HTTP 403" in failed.err


@pytest.mark.usefixtures("at_work")
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("hubspot-main", "--from", "3d"), "square-main"),
        (("square-main", "--from", "3d", "--feeds", "oders"), "orders"),
        (("square-main", "--from", "2026-11-08", "--to", "2026-11-01"), "must lie before"),
        (("square-main", "--from", "last week"), "is no time"),
    ],
)
async def test_backfills_that_cannot_be(arguments: tuple[str, ...], text: str, pool: Any) -> None:
    said = await till_aside("backfill", *arguments)
    assert said.code == 2
    assert text in said.err
    assert await pool.fetchval("select count(*) from backfill_request") == 0


def _broken(config: Path, **changes: Any) -> None:
    content = yaml.safe_load(config.read_text())
    content["connections"][0] |= changes
    config.write_text(yaml.safe_dump(content))


def test_check_offline_tells_every_fault(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert till("check", "--offline").code == 0
    monkeypatch.delenv("HUBSPOT_TOKEN")
    monkeypatch.delenv("QBO_SECRET")
    said = till("check", "--offline", "--json")
    assert said.code == 1
    assert {finding["about"] for finding in said.json["findings"]} == {"hubspot-main", "qbo-receipts", "qbo-journal"}
    _broken(config, vendor="sqare", colour="red")
    said = till("check", "--offline")
    assert said.code == 1
    assert "colour" in said.out
    assert "Traceback" not in said.out + said.err


def test_check_tells_what_is_away(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLSTREAM_KAFKA", "127.0.0.1:1")
    monkeypatch.setenv("TILLSTREAM_POSTGRES", "postgresql://postgres@127.0.0.1:2/x")
    said = till("check")
    assert said.code == 1
    assert "kafka: 127.0.0.1:1 does not answer" in said.out
    assert "postgres: the database is away" in said.out
    assert "TILLSTREAM_ENCRYPTION_KEY" in said.out
    for command in (("status",), ("topics", "plan")):
        away = till(*command)
        assert away.code == 1
        assert "is away" in away.err


@pytest.mark.usefixtures("at_work")
async def test_a_database_without_schema_is_told_and_migrated(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await pool.execute("create database empty_one")
    dsn = (await pool.fetchval("select current_database()"), "empty_one")
    monkeypatch.setenv("TILLSTREAM_POSTGRES", os.environ["TILLSTREAM_POSTGRES"].replace(*dsn))
    said = await till_aside("dlq", "list")
    assert said.code == 1
    assert "till migrate" in said.err
    assert (await till_aside("migrate")).code == 0
    assert (await till_aside("dlq", "list")).code == 0


def test_missing_settings_say_what_to_do(config: Path) -> None:
    said = till("status")
    assert said.code == 2
    assert "TILLSTREAM_KAFKA" in said.err
    assert "make up" in said.err


def test_a_local_stack_is_found_by_its_note(config: Path) -> None:
    note = config.parent / ".local/stack/till.env"
    note.parent.mkdir(parents=True)
    note.write_text("TILLSTREAM_KAFKA=127.0.0.1:1\nTILLSTREAM_POSTGRES='postgresql://postgres@127.0.0.1:2/x'\n")
    said = till("dlq", "list")
    assert said.code == 1
    assert "the database is away" in said.err


def test_keys_are_random_and_long_enough() -> None:
    one, other = till("key").out.strip(), till("key").out.strip()
    assert one != other
    assert len(base64.urlsafe_b64decode(one + "==")) == 32


def test_the_schema_accepts_a_good_configuration_and_refuses_a_bad_one(config: Path) -> None:
    schema = till("schema").json
    content = yaml.safe_load(config.read_text())
    jsonschema.validate(content, schema)
    content["connections"][0]["vendor"] = "nobody"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, schema)


def _commands(group: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    found: list[tuple[tuple[str, ...], Any]] = []
    for name, command in group.commands.items():
        inner = (*path, name)
        found += _commands(command, inner) if hasattr(command, "commands") else [(inner, command)]
    return found


def test_every_command_and_option_has_help_and_every_command_an_example() -> None:
    commands = _commands(get_command(app))
    assert len(commands) > 15
    for path, command in commands:
        assert command.help, path
        assert f"till {' '.join(path)}" in (command.epilog or ""), path
        assert any(parameter.name == "as_json" for parameter in command.params), path
        for parameter in command.params:
            if parameter.name != "help":
                assert getattr(parameter, "help", None), (path, parameter.name)
        assert till(*path, "--help").code == 0


def test_no_output_is_markup(config: Path) -> None:
    """Square brackets in what others say are shown, not interpreted."""
    _broken(config, vendor="[red]x[/red]")
    said = till("check", "--offline")
    assert "[red]x[/red]" in said.out
