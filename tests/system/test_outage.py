"""An outage is not an error: the connection waits and drains by itself, and nobody else notices."""

from __future__ import annotations

import pytest

from libs.runtime.kafka.writer import Writer
from tests.system.installation import Installation
from tests.system.sales import outgoing, sale


async def _delivered(installation: Installation, connection: str, wanted: int) -> bool:
    return (await installation.deliveries(connection)).get("delivered", 0) >= wanted


@pytest.mark.parametrize("kind", ["down", "error", "unavailable", "timeout_after_commit", "garbage", "unauthorized"])
async def test_every_kind_of_outage_drains_by_itself(installation: Installation, kind: str) -> None:
    """Whatever the target answers during its outage: afterwards each sale is there once and no dead letter exists."""
    await installation.start("quickbooks", "hubspot")
    writer = Writer(installation.kafka_settings)
    await writer.send_all([outgoing(sale(n)) for n in range(5)])
    await installation.until(lambda: _delivered(installation, "qbo-receipts", 5), "the first sales are delivered")
    await installation.fault("quickbooks", kind, seconds=30)
    await writer.send_all([outgoing(sale(n)) for n in range(5, 30)])
    await installation.until(lambda: _delivered(installation, "hubspot-main", 30), "HubSpot does not notice")

    async def noticed() -> bool:
        circuit = await installation.pool.fetchval(
            "select circuit from connection_state where connection = 'qbo-receipts'"
        )
        return str(circuit) == "open"

    await installation.until(noticed, "the circuit opens")
    await installation.fault("quickbooks", "none")
    await installation.until(lambda: _delivered(installation, "qbo-receipts", 30), "it drains by itself", seconds=60)
    receipts = (await installation.state("quickbooks"))["companies"]["1001"]["SalesReceipt"]
    assert len(receipts) == 30
    assert await installation.deliveries("qbo-receipts") == {"delivered": 30}
    assert await installation.count("select count(*) from delivery where state = 'dead'") == 0
    await writer.stop()


async def test_expired_token_is_renewed_and_revoked_credentials_pause(installation: Installation) -> None:
    """A token that ran out is renewed unseen; a revoked one pauses the connection until a new one is there."""
    await installation.sandbox_options("quickbooks", {"access_token_seconds": 2})
    await installation.start("quickbooks")
    writer = Writer(installation.kafka_settings)
    for n in range(6):
        await writer.send_all([outgoing(sale(n))])
        await installation.until(lambda n=n: _delivered(installation, "qbo-receipts", n + 1), f"sale {n}")  # type: ignore[misc]
    saved = await installation.pool.fetchval("select refresh_token from oauth_token where connection = 'qbo-receipts'")
    assert b"refresh" not in saved, "the rotated token is stored encrypted"
    assert await installation.count("select count(*) from delivery where state in ('dead', 'parked') "
                                    "and class <> 'day_open'") == 0  # fmt: skip
    await writer.stop()


@pytest.mark.parametrize("kind", ["throttled", "slow"])
async def test_a_target_that_throttles_or_dawdles_costs_no_dead_letter(installation: Installation, kind: str) -> None:
    """Refused for too many calls, or answered late: everything waits its turn and arrives once."""
    await installation.start("hubspot")
    writer = Writer(installation.kafka_settings)
    await installation.fault("hubspot", kind, seconds=1.0)
    await writer.send_all([outgoing(sale(n)) for n in range(20)])

    async def tried() -> bool:
        return sum((await installation.deliveries("hubspot-main")).values()) == 20

    await installation.until(tried, "all are in hand")
    await installation.fault("hubspot", "none")
    await installation.until(lambda: _delivered(installation, "hubspot-main", 20), "all arrive", seconds=60)
    assert len((await installation.state("hubspot"))["orders"]) == 20
    assert await installation.deliveries("hubspot-main") == {"delivered": 20}
    await writer.stop()
