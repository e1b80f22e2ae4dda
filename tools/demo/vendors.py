"""The vendors' side of the demo: their simulators, and the webhooks they send, in the disorder of real life."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp

from tools.demo.configuration import (
    HUBSPOT_CALLS_PER_10_SECONDS,
    SHOPIFY_POINTS_MAXIMUM,
    SHOPIFY_POINTS_PER_SECOND,
    SQUARE_CALLS_PER_SECOND,
)
from tools.demo.hooks import Deed, Hook, as_json
from tools.demo.installation import DemoFailed
from tools.demo.till import chance

VENDORS = ("square", "shopify", "quickbooks", "hubspot")
_TWICE = 0.02  # share of webhooks that come twice
_LATE = 0.05  # share that is overtaken by up to sixty others
_AT_ONCE = 12
# Deeds whose objects are put at the vendor together, before their webhooks.
_CHUNK = 20


class Simulators:
    """Orders to the simulators."""

    def __init__(self, http: aiohttp.ClientSession, base: str) -> None:
        self._http, self._base = http, base

    async def set_up(self, master: Mapping[str, Mapping[str, Any]], departments: list[Any]) -> None:
        """The limits in force, and what the vendors hold before the first day."""
        await self._post("square", "configure", {"windows": [{"calls": SQUARE_CALLS_PER_SECOND, "seconds": 1}]})
        await self._post(
            "shopify",
            "configure",
            {"points_maximum": SHOPIFY_POINTS_MAXIMUM, "points_per_second": SHOPIFY_POINTS_PER_SECOND},
        )
        await self._post("hubspot", "configure", {"limits": {"calls": HUBSPOT_CALLS_PER_10_SECONDS, "seconds": 10}})
        for vendor, objects in master.items():
            await self.load(vendor, objects)
        await self.load("quickbooks", {"departments": departments})

    async def load(self, vendor: str, objects: Mapping[str, Any]) -> None:
        """Objects put into a vendor's store, as its till or its user would."""
        await self._post(vendor, "load", objects)

    async def state(self, vendor: str) -> Any:
        """Everything that the vendor holds."""
        async with self._http.get(f"{self._base}/_sandbox/{vendor}/state") as answer:
            return await answer.json(content_type=None)

    async def break_down(self, vendor: str) -> None:
        """The vendor does not answer any more."""
        async with self._http.put(f"{self._base}/_sandbox/{vendor}/fault", data=as_json({"kind": "down"})) as answer:
            answer.raise_for_status()

    async def mend(self, vendor: str) -> None:
        """The vendor answers again."""
        async with self._http.delete(f"{self._base}/_sandbox/{vendor}/fault") as answer:
            answer.raise_for_status()

    async def _post(self, vendor: str, what: str, content: Mapping[str, Any]) -> None:
        async with self._http.post(f"{self._base}/_sandbox/{vendor}/{what}", data=as_json(content)) as answer:
            if answer.status >= 300:
                raise DemoFailed(f"the simulator of {vendor} refuses {what}: {(await answer.text())[:300]}")


@dataclass
class Sender:
    """Sends a day's webhooks. `first_sent`: when a thing was first told of, by what it is."""

    http: aiohttp.ClientSession
    base: str
    simulators: Simulators
    sent: int = 0
    twice: int = 0
    overtaken: int = 0
    first_sent: dict[str, datetime] = field(default_factory=dict)
    slowest: float = 0.0
    once: frozenset[str] = frozenset()  # what is told once only

    async def play(self, deeds: Sequence[Deed], number: int) -> None:
        """One day's deeds: objects to the vendors, then the webhooks, some twice and some late."""
        held: list[tuple[int, Hook]] = []
        dice = chance("disorder", number)
        place = 0
        for start in range(0, len(deeds), _CHUNK):
            chunk = deeds[start : start + _CHUNK]
            await self._load(chunk)
            ready: list[Hook] = []
            for hook in (hook for deed in chunk for hook in deed.hooks):
                place += 1
                if dice.random() < _LATE:
                    held.append((place + dice.randint(5, 60), hook))
                    self.overtaken += 1
                else:
                    ready.append(hook)
                if dice.random() < _TWICE and hook.tells not in self.once:
                    held.append((place + dice.randint(1, 60), hook))
                    self.twice += 1
            ready += [hook for due, hook in held if due <= place]
            held = [each for each in held if each[0] > place]
            await self._send_all(ready)
        await self._send_all([hook for _, hook in held])

    async def _load(self, chunk: Sequence[Deed]) -> None:
        """All objects of some deeds in one call per vendor; the last word on an object counts."""
        joined: dict[str, dict[str, list[Any]]] = {}
        for deed in chunk:
            for vendor, objects in deed.load.items():
                for kind, found in objects.items():
                    joined.setdefault(vendor, {}).setdefault(kind, []).extend(found)
        for vendor, kinds in joined.items():
            await self.simulators.load(vendor, kinds)

    async def _send_all(self, hooks: Sequence[Hook]) -> None:
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(hook: Hook) -> None:
            async with gate:
                await self._send(hook)

        await asyncio.gather(*(one(hook) for hook in hooks))

    async def _send(self, hook: Hook) -> None:
        """One webhook, sent again as the vendor would when it is not taken."""
        url = f"{self.base}/webhooks/{hook.connection}"
        for wait in (0.2, 1.0, 3.0, None):
            began = time.monotonic()
            self.first_sent.setdefault(hook.tells, datetime.now(UTC))
            async with self.http.post(url, data=hook.body, headers=dict(hook.headers)) as answer:
                status, text = answer.status, await answer.text()
            self.slowest = max(self.slowest, time.monotonic() - began)
            if status == 200:
                self.sent += 1
                return
            if status < 500 or wait is None:
                raise DemoFailed(f"a webhook of {hook.connection} was answered {status}: {text[:300]}")
            await asyncio.sleep(wait)
