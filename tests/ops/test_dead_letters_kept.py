"""A dead letter's topic forgets it after 30 days; its row has everything that is needed to send it, however it died."""

from __future__ import annotations

from typing import Any

from libs.canonical.sale import CustomerRef
from libs.runtime.kafka.writer import Outgoing, Writer
from tests.ops.expiring import expire_all
from tests.system.installation import Installation
from tests.system.sales import outgoing, refund, sale

HUBSPOT = "hubspot-main"
TOO_LONG = "Ana" * 30_000  # HubSpot takes 65,536 characters


async def test_whatever_way_it_died_its_row_has_its_bytes(installation: Installation) -> None:
    """Refused, unreadable, given up after waiting, dead behind another, dead again after a replay."""
    content = installation.content()
    (hubspot,) = (each for each in content["connections"] if each["id"] == HUBSPOT)
    hubspot["parking"] = {"delays_seconds": [0.3], "attempts": 2}
    await installation.configure(content)
    refused = sale(1, customer=CustomerRef(id="c9", email="ana@example.org", given_name=TOO_LONG))
    behind = sale(1, price=2000, customer=CustomerRef(id="c9", email="ana@example.org", given_name=TOO_LONG))
    behind = behind.model_copy(update={"id": "second", "entity_id": "second"})
    orphan = refund(7)  # its sale was never delivered here: waits, and is given up
    unreadable = Outgoing("retail.sales", b"k", b"\x00\xff no event", [("ce_id", b"odd"), ("ce_type", b"x\xff")])
    fine = [outgoing(sale(n)) for n in (2, 3, 4)]
    writer = Writer(installation.kafka_settings)
    await installation.start("hubspot")
    await writer.send_all([*fine, outgoing(refused), outgoing(behind), outgoing(orphan), unreadable])
    expected = {event.id: outgoing(event) for event in (refused, behind, orphan)} | {"odd": unreadable}

    async def state(event_id: str) -> str | None:
        found: str | None = await installation.pool.fetchval(
            "select state from delivery where connection = $1 and event_id = $2", HUBSPOT, event_id
        )
        return found

    async def dead(*names: str) -> bool:
        return all([await state(name) == "dead" for name in names])

    await installation.until(lambda: dead(refused.id, orphan.id, "odd"), "all three are dead")
    await _as_written(installation.pool, expected)
    # Replayed without a cure it is dead again; given up, what waited behind it is taken up and refused for itself.
    await installation.pool.execute(
        "update delivery set state = 'parked', class = 'replay', attempts = 0, dead_at = null, next_attempt_at = now() "
        "where event_id = $1", refused.id,
    )  # fmt: skip
    await installation.until(lambda: dead(refused.id), "it is dead again")
    await installation.pool.execute(
        "update delivery set state = 'discarded', value = null, key = null, headers = null where event_id = $1",
        refused.id,
    )
    await installation.until(lambda: dead("second"), "what waited behind it is dead in its turn")
    await expire_all(installation.kafka_settings, f"dlq.{HUBSPOT}", "retail.sales")
    assert await _as_written(installation.pool, expected) == 3
    await writer.stop()


async def _as_written(pool: Any, expected: dict[str, Outgoing]) -> int:
    """Every dead row has the record's bytes and headers; gives how many there are."""
    rows = await pool.fetch("select * from delivery where state = 'dead'")
    for row in rows:
        record = expected[row["event_id"]]
        assert (row["key"], row["value"]) == (record.key, record.value), row["event_id"]
        assert [name for name, *_ in row["headers"]] == [name for name, _ in record.headers]
        assert row["in_topic"]
    return len(rows)
