"""The most telling scenarios of `make chaos`, a few seconds each: the promises hold on the real parts."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.runtime.kafka.topics import Topic, create_topics
from libs.runtime.kafka.writer import KafkaAway, Writer
from libs.runtime.settings import KafkaSettings
from tests.chaos.__main__ import lengths
from tests.chaos.ground import Ground
from tests.chaos.proxy import Proxy
from tests.chaos.scenario import play
from tests.chaos.scenarios import SCENARIOS

SEED = int(os.environ.get("TILLSTREAM_SEED", "20261122"))


@pytest.fixture(scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    """Three brokers and a PostgreSQL for all of them."""
    ground = Ground(tmp_path_factory.mktemp("chaos") / "stack")
    await ground.open()
    yield ground
    await ground.close()


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("name", "seconds"),
    [("kill_loop", 4), ("leader_killed", 4), ("kafka_gone", 8), ("poison_zoo", 2), ("all_services", 6)],
)
async def test_promises_are_kept(ground: Ground, tmp_path: Path, name: str, seconds: float) -> None:
    """Harm is done, and nothing is lost, doubled, out of order, dead, unaccounted for or left lying."""
    played = await play(SCENARIOS[name], ground, tmp_path, seed=SEED, seconds=seconds, say=print)
    assert played.kept, played.as_json()
    assert played.events > 0, "events did flow"
    assert played.kills + played.faults > 0, "harm was done"


async def test_clients_from_outside_go_through_the_proxies_and_nowhere_else(ground: Ground) -> None:
    """With the proxies down nothing arrives, though every broker is alive; up again, it does."""
    proxies = [Proxy(told, heard) for told, heard in ground.stack.outside_ports]
    for proxy in proxies:
        await proxy.open()
    await create_topics(KafkaSettings(ground.kafka, 4000, 4, 3, {}), [Topic("retail.sales", 4, 3_600_000)])
    addresses = ",".join(f"127.0.0.1:{proxy.port}" for proxy in proxies)
    writer = Writer(KafkaSettings(addresses, 4000, 4, 3, {}))
    try:
        await writer.send("retail.sales", b"key", b"value", [])
        for proxy in proxies:
            await proxy.order("down")
        with pytest.raises(KafkaAway):
            await writer.send("retail.sales", b"key", b"value", [], within=3)
        for proxy in proxies:
            await proxy.order("none")
        await writer.send("retail.sales", b"key", b"value", [], within=60)
    finally:
        await writer.stop()
        for proxy in proxies:
            await proxy.close()


def test_minutes_are_spread_by_share() -> None:
    """A long run takes about its minutes; none is shorter than in a short one; a short one knows no minutes."""
    chosen = list(SCENARIOS.values())
    short, long = lengths(chosen, None), lengths(chosen, 30)
    assert short == {each.name: each.seconds for each in chosen}
    assert all(long[name] >= seconds for name, seconds in short.items())
    assert 20 * 60 < sum(long.values()) < 30 * 60
    assert long["kill_loop"] > 2 * long["told_to_stop"]
