"""Making one snapshot: asking the connector what is missing, and the vendor for it, until nothing is missing."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any

from libs.connectors.contract.http import Request, Response
from libs.connectors.contract.source import Fetch, Snapshot, Source, Unmappable
from libs.connectors.contract.target import AuthFailed, Done, Invalid, Throttled
from libs.runtime.carddata import TooDeep, cut
from libs.runtime.configuration.model import Connection
from libs.runtime.database.pool import Pool
from libs.runtime.http.answers import judge_status
from libs.runtime.http.client import CredentialsRefused, NoAnswer, NotSent, VendorClient
from libs.runtime.limits import shared_limiter
from libs.runtime.settings import ProcessSettings
from libs.runtime.telemetry.metrics import CARD_DATA_CUT

_MAX_ROUNDS = 12
_REMEMBERED = 20_000


class VendorAway(Exception):
    """The vendor could not be asked now; `after` in seconds when it said when."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class Gone(Exception):
    """The vendor answers that there is no such object, or will not give it."""


class Assembler:
    """Makes snapshots of one connection."""

    def __init__(self, connection: Connection, pool: Pool, settings: ProcessSettings) -> None:
        source = connection.connector.source
        assert source is not None
        assert source.manifest.source is not None
        self._connection, self._pool, self._source = connection, pool, source
        self._facts = source.manifest.source
        self._settings = settings
        self._limiter = shared_limiter(connection, pool, settings)
        self._client: VendorClient | None = None
        self._memory: OrderedDict[str, tuple[float, Any]] = OrderedDict()
        self._asking: dict[str, asyncio.Lock] = {}

    @property
    def source(self) -> Source:
        """The vendor's connector."""
        return self._source

    async def close(self) -> None:
        """Close the HTTP client, give back what is leased of the limits."""
        await self._limiter.close()
        if self._client is not None:
            await self._client.close()

    async def snapshot(self, row: Any) -> Snapshot:
        """The complete snapshot of a `fetch_work` row; raises VendorAway, Gone."""
        parts: dict[str, Any] = dict(row["have"])
        for _ in range(_MAX_ROUNDS):
            needed = self._source.assemble(row["root_kind"], row["root_id"], parts)
            if not needed:
                break
            values = await asyncio.gather(*(self._part(fetch) for fetch in needed))
            parts |= {fetch.part: value for fetch, value in zip(needed, values, strict=True)}
        else:
            raise Gone("the object is still incomplete after many questions")
        return Snapshot(
            vendor=self._connection.vendor,
            account_id=self._connection.account,
            connection=self._connection.id,
            root_kind=row["root_kind"],
            root_id=row["root_id"],
            parts=parts,
            via=row["via"],
            notified_as=row["type"],
            received_at=row["received_at"],
            assembled_at=datetime.now(UTC),
        )

    async def _part(self, fetch: Fetch) -> Any:
        if not fetch.reference:
            return await self._ask(fetch)
        remembered = self._memory.get(fetch.part)
        if remembered is not None and remembered[0] > time.monotonic():
            return remembered[1]
        lock = self._asking.setdefault(fetch.part, asyncio.Lock())
        async with lock:  # many snapshots want the same location at once: one asks
            remembered = self._memory.get(fetch.part)
            if remembered is not None and remembered[0] > time.monotonic():
                return remembered[1]
            value = await self._stored(fetch)
            self._memory[fetch.part] = (time.monotonic() + fetch.reference, value)
            while len(self._memory) > _REMEMBERED:
                self._memory.popitem(last=False)
        self._asking.pop(fetch.part, None)
        return value

    async def _stored(self, fetch: Fetch) -> Any:
        row = await self._pool.fetchrow(
            "select value from reference_part where connection = $1 and part = $2 "
            "and fetched_at > now() - make_interval(secs => $3)",
            self._connection.id, fetch.part, float(fetch.reference),
        )  # fmt: skip
        if row is not None:
            return row["value"]
        value = await self._ask(fetch)
        if value is None:
            # Not there at the vendor: remembered by this process for a while, but no fact to keep.
            return None
        await self._pool.execute(
            "insert into reference_part (connection, part, value, fetched_at) values ($1, $2, $3, now()) "
            "on conflict (connection, part) do update set value = excluded.value, fetched_at = now()",
            self._connection.id, fetch.part, value,
        )  # fmt: skip
        return value

    async def _ask(self, fetch: Fetch) -> Any:
        response = await self._send(fetch, fetch.request)
        if response is None:
            return None
        try:
            return await self._read(fetch, response)
        except Unmappable as error:
            raise Gone(f"{fetch.part}: {error}") from None
        except TooDeep:
            raise Gone(f"{fetch.part}: nested too deeply to be searched for card data") from None

    async def _read(self, fetch: Fetch, response: Response) -> Any:
        value = fetch.items(response) if fetch.items else response.json
        request: Request | None = fetch.request
        while fetch.next_page and request is not None:
            request = fetch.next_page(request, response)
            if request is None:
                break
            answer = await self._send(fetch, request)
            if answer is None:
                break
            response = answer
            value = [*value, *(fetch.items(response) if fetch.items else response.json)]
        # A vendor's answer may hold card data just as a webhook may.
        clean = cut(value, card_fields=self._facts.card_fields, not_cards=self._facts.not_cards)
        for finding in clean.findings:
            CARD_DATA_CUT.labels(self._connection.id, str(finding.rule)).inc()
        return clean.document

    async def _send(self, fetch: Fetch, request: Request) -> Response | None:
        try:
            if self._client is None:
                self._client = VendorClient(
                    self._connection, self._pool, timeout=self._settings.http_timeout_seconds,
                    encryption_key=self._settings.encryption_key,
                )  # fmt: skip
            async with self._limiter.slot():
                response = await self._client.send(request)
            self._limiter.heed(response)
        except (NotSent, NoAnswer) as error:
            raise VendorAway(f"{fetch.part}: {error}") from None
        except CredentialsRefused as error:
            raise VendorAway(str(error), 30.0) from None
        if response.status == 404 and fetch.optional:
            return None
        judge = self._source.judge
        verdict = (judge(response) if judge else None) or judge_status(response, reads=True)
        if isinstance(verdict, Done):
            if response.json is None:
                raise VendorAway(f"{fetch.part}: an answer that is no JSON")
            return response
        if isinstance(verdict, Throttled):
            self._limiter.pause(verdict.after if verdict.after is not None else 1.0)
            raise VendorAway(f"{fetch.part}: throttled", verdict.after)
        if isinstance(verdict, AuthFailed):
            await self._client.renew_credentials()
            raise VendorAway(f"{fetch.part}: credentials refused (HTTP {response.status})", 5.0)
        if isinstance(verdict, Invalid):
            raise Gone(f"{fetch.part}: {verdict.reason}")
        raise VendorAway(f"{fetch.part}: {getattr(verdict, 'reason', type(verdict).__name__)}")
