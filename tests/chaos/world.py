"""The world of one scenario: an installation on the shared cluster, what flows into it, and what is counted of it."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Self

from aiokafka.admin import AIOKafkaAdminClient

from tests.chaos.checker import Evidence, Findings, judge
from tests.chaos.ground import Ground
from tests.chaos.proxy import Proxy
from tests.chaos.standing import Standing, hubspot, quickbooks
from tests.chaos.told import Letter, letter, read_events, read_topics
from tests.chaos.traffic import Traffic
from tests.system.installation import ROOT, Installation

SETTLE_SECONDS = 120.0
RECEIPTS, CRM = "qbo-receipts", "hubspot-main"


class Unkept(Exception):
    """A promise that only the scenario itself can see was broken; the message says which."""


class World(Installation):
    """An installation that scenarios break. `chance` is the scenario's own source of randomness."""

    def __init__(self, folder: Path, ground: Ground, chance: random.Random) -> None:
        super().__init__(folder, brokers=3)
        folder.mkdir(parents=True, exist_ok=True)
        self._ground, self.chance = ground, chance
        self.kills = self.faults = 0
        self.poison: set[str] = set()
        self.acknowledged: set[str] = set()
        self.rung: set[str] = set()
        self.notes: dict[str, Any] = {}
        self.realms = {RECEIPTS: "1001"}
        self.samples: int | None = None

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await self.sandbox_options("hubspot", {"limits": {"calls": 10_000, "daily": 100_000_000}})
        return self

    async def open_stack(self) -> None:
        """Stand on the shared ground, with proxies before it that carry faithfully until told otherwise."""
        self.postgres = await self._ground.fresh()
        self.stack, self.kafka = self._ground.stack, self._ground.kafka
        port = int(self.postgres.rsplit(":", 1)[1].split("/")[0])
        self.broker_proxies = [Proxy(told, heard) for told, heard in self.stack.outside_ports]
        self.database_proxy = Proxy(0, port)
        for proxy in (*self.broker_proxies, self.database_proxy):
            await proxy.open()
        # Tills and harm draw at the same time: from one source the order of their draws would be left to chance.
        self.traffic = Traffic(self.kafka_settings, random.Random(self.chance.random()))

    async def close_stack(self) -> None:
        """Leave the ground to the next scenario."""
        await self.traffic.stop()
        for proxy in (*self.broker_proxies, self.database_proxy):
            await proxy.close()

    def content(self, *, journal: bool = False) -> dict[str, Any]:
        """As usual; with the day's journal only when asked: it is written when a day closes, which few scenarios do."""
        content = super().content()
        kept = [each for each in content["connections"] if journal or each["id"] != "qbo-journal"]
        return content | {"connections": kept}

    @property
    def through_proxies(self) -> Mapping[str, str]:
        """The environment of a service that reaches Kafka and PostgreSQL through the proxies only."""
        address, _, name = self.postgres.rpartition("/")
        return {
            "TILLSTREAM_KAFKA": ",".join(f"127.0.0.1:{proxy.port}" for proxy in self.broker_proxies),
            "TILLSTREAM_POSTGRES": f"{address.rsplit(':', 1)[0]}:{self.database_proxy.port}/{name}",
        }

    # Harm -------------------------------------------------------------------------------------------------------

    async def kill(self, name: str) -> None:
        """End a service as a power cut would, and count it."""
        self.kills += 1
        await super().kill(name)

    async def fault(self, vendor: str, kind: str, **more: Any) -> None:
        """Set a vendor's fault, and count it."""
        self.faults += kind != "none"
        await super().fault(vendor, kind, **more)

    async def struck(self, vendor: str) -> int:
        """How often the fault that is on now has befallen a call."""
        shown = await self._sandbox("GET", f"/_sandbox/{vendor}/fault")
        return int(shown["acted"])

    async def moments(self, seconds: float, low: float, high: float) -> AsyncIterator[float]:
        """Seeded moments, `low` to `high` seconds apart, for that long (one at least); gives the seconds left."""
        until = time.monotonic() + seconds
        while True:
            await asyncio.sleep(self.chance.uniform(low, high))
            left = until - time.monotonic()
            yield left
            if until - time.monotonic() <= 0:
                return

    async def leader(self, topic: str, partition: int) -> int:
        """The broker that leads a partition now."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        await admin.start()
        try:
            (described,) = await admin.describe_topics([topic])
        finally:
            await admin.close()
        return next(int(each["leader"]) for each in described["partitions"] if each["partition"] == partition)

    # Afterwards -------------------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Wait until nothing is under way any more, or nothing moved for two minutes: the judge sees what is left."""
        until, before = time.monotonic() + SETTLE_SECONDS, 0
        while (began := time.monotonic()) < until:
            if await self._at_rest():
                return
            # A long harm leaves much to do, and a busy machine does it slowly: that is not what is judged.
            now = await self.count(
                "select (select count(*) from notification where settled_at is not null) "
                "+ (select count(*) from delivery where settled_at is not null)"
            )
            if now > before:
                until, before = began + SETTLE_SECONDS, now
            # Long runs have long topics: reading them must not become the load.
            await asyncio.sleep(max(0.3, 3 * (time.monotonic() - began)))

    async def _at_rest(self) -> bool:
        told = await read_events(self.kafka)
        if not self.rung <= {event.thing for event in told} or (self.acknowledged and await self._upstream_busy()):
            return False
        wanted = {event.event_id for event in told} - self.poison
        for connection in await self.pool.fetch("select connection from connection_state"):
            rows = await self.pool.fetch(
                "select event_id from delivery where connection = $1 and state not in ('claimed', 'parked')",
                connection["connection"],
            )
            if not wanted <= {row["event_id"] for row in rows}:
                return False
        return True

    async def _upstream_busy(self) -> bool:
        waiting = await self.count("select (select count(*) from spool) + (select count(*) from fetch_work)")
        return waiting > 0 or await self.count("select count(*) from notification") < len(self.acknowledged)

    async def judge(self) -> Findings:
        """Gather the evidence and judge it."""
        told = await read_events(self.kafka)
        self.notes["events"] = len({event.event_id for event in told} | self.acknowledged)
        standings = await self.standings()
        letters: list[Letter] = [
            letter(record)
            for record in await read_topics(self.kafka, [f"dlq.{standing.name}" for standing in standings])
        ]
        inbox = await read_topics(self.kafka, ["inbox.square"]) if self.acknowledged else []
        received = {value.decode() for record in inbox for name, value in record.headers if name == "delivery-id"}
        return judge(
            Evidence(
                promised=self.traffic.promised,
                acknowledged=self.acknowledged,
                received=received,
                rung=self.rung,
                told=told,
                standings=standings,
                letters=letters,
                poison=self.poison,
                status=await self.status(),
            )
        )

    async def standings(self) -> list[Standing]:
        """What stands at every target that a sink ever served."""
        served = {row["connection"] for row in await self.pool.fetch("select connection from connection_state")}
        books, crm = await self.state("quickbooks"), await self.state("hubspot")
        found = [quickbooks(books, realm, name) for name, realm in self.realms.items() if name in served]
        return found + ([hubspot(crm, CRM)] if CRM in served else [])

    async def status(self) -> dict[str, Any]:
        """What `till status --check --json` says; its accounts of connections that no sink serves are left out."""
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("till"), "status", "--check", "--json",
            cwd=ROOT, env=self.env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), 60)
        if process.returncode not in (0, 1) or not out:
            raise Unkept(f"till status ended with {process.returncode}: {err.decode(errors='replace')[-500:]}")
        found: dict[str, Any] = json.loads(out)
        found["targets"] = [each for each in found["targets"] if each["circuit"] != "never ran"]
        return found

    def write_account(self, text: str) -> None:
        """Keep where everything stood, beside the logs."""
        (self.folder / "account.txt").write_text(text)
