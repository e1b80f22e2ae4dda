"""What a trial stands on: a broker and a PostgreSQL of its own, topics, and a connection for each place and target."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import yaml

from deploy.local import up, wipe
from libs.runtime.configuration.reading import read_configuration
from libs.runtime.database.migrate import migrate
from libs.runtime.database.pool import open_pool
from libs.runtime.kafka.topics import create_topics, topics
from libs.runtime.kafka.writer import Writer
from libs.runtime.settings import KafkaSettings, ProcessSettings
from tests.failpoints.lives import Lives
from tests.failpoints.targets import Targets
from tests.system.configuration import SECRETS, configuration

# A partition of a life that ended is free after this long. On a busy machine the living miss shorter ones too.
SESSION_TIMEOUT_MS = 3000
JOURNAL = "journal"
_PARTITIONS = 2
_ALWAYS = 1_000_000


class Ground:
    """Use as `async with Ground(folder, vendors)`, `vendors` naming the vendor of each connection by its id."""

    def __init__(self, folder: Path, vendors: Mapping[str, str]) -> None:
        self.folder, self._vendors = folder, {**vendors, JOURNAL: "quickbooks"}
        self.targets = Targets(self._vendors)

    async def __aenter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        endpoints = await asyncio.to_thread(
            up, self.folder / "stack", brokers=1, session_timeout_ms=3000, say=lambda _text: None
        )
        await asyncio.to_thread(migrate, endpoints.postgres)
        await self.targets.__aenter__()
        file = self.folder / "tillstream.yaml"
        file.write_text(yaml.safe_dump(_configuration(self.targets.url, self._vendors)))
        os.environ.update(SECRETS)
        self.configuration = read_configuration(file)
        self.kafka = KafkaSettings(endpoints.kafka, SESSION_TIMEOUT_MS, _PARTITIONS, 1, {})
        await create_topics(self.kafka, topics(self.configuration, _PARTITIONS))
        self.pool = await open_pool(endpoints.postgres, size=4, name="trial")
        self.writer = Writer(self.kafka)
        settings = ProcessSettings(
            config=file, kafka=self.kafka, postgres=endpoints.postgres, metrics_port=0, instance="trial",
            encryption_key="test", otlp_endpoint=None, log_format="json", http_host="127.0.0.1", http_port=0,
            lease_seconds=1.0, http_timeout_seconds=5.0,
        )  # fmt: skip
        self.lives = Lives(settings, self.folder)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.writer.stop()
        await self.pool.close()
        await self.targets.__aexit__()
        await asyncio.to_thread(wipe, self.folder / "stack")


def _configuration(url: str, vendors: Mapping[str, str]) -> dict[str, Any]:
    content = configuration(url, 1)
    source, receipts, journal, hubspot = content["connections"]
    patterns = {"quickbooks": receipts, "hubspot": hubspot}
    content["connections"] = [source] + [
        _connection(name, number, url, journal if name == JOURNAL else patterns[vendor])
        for number, (name, vendor) in enumerate(vendors.items())
    ]
    return content


def _connection(name: str, number: int, url: str, pattern: Mapping[str, Any]) -> dict[str, Any]:
    """A connection like the pattern, to a simulator and an account of its own."""
    adapted = {
        **pattern,
        "id": name,
        "account": f"account-{number}",
        "base_url": pattern["base_url"].replace(f"{url}/{pattern['vendor']}", f"{url}/{name}"),
        "limits": {"windows": [{"calls": _ALWAYS, "seconds": 1}], "concurrency": 8},
    }
    if pattern["vendor"] == "hubspot":
        # A refund whose sale was never told is given up soon.
        return {**adapted, "parking": {"delays_seconds": [0.2], "attempts": 4}}
    settings = pattern["settings"]
    items = {**settings["items"], "by_sku": True, "income_account": "79"}
    return {
        **adapted,
        "token_url": pattern["token_url"].replace(f"{url}/quickbooks", f"{url}/{name}"),
        # What falls into a closed month waits until it is opened again.
        "parking": {"delays_seconds": [0.2], "attempts": _ALWAYS},
        "settings": {**settings, "items": items},
    }


def names(vendors: Sequence[str], places: Sequence[str]) -> dict[str, str]:
    """A connection's id for each place and vendor, with its vendor."""
    return {f"{vendor}-{place.replace('_', '-')}": vendor for place in places for vendor in vendors}
