"""One HTTP client per connection. What went wrong is told apart by whether the call can have had an effect."""

from __future__ import annotations

import asyncio

import aiohttp

from libs.connectors.contract.http import Request, Response
from libs.runtime import exact_json
from libs.runtime.configuration.model import Connection
from libs.runtime.database.pool import Pool
from libs.runtime.http.credentials import Credentials, CredentialsRefused, credentials

# An answer larger than this (bytes) is not one of the vendor's.
_MAX_ANSWER = 32 * 1024 * 1024


class NotSent(Exception):
    """The call did not reach the vendor: it had no effect."""


class NoAnswer(Exception):
    """The call went out and no answer came: it may have had an effect."""


class VendorClient:
    """Sends a connection's requests. `timeout` in seconds bounds a whole call."""

    def __init__(self, connection: Connection, pool: Pool, *, timeout: float, encryption_key: str | None) -> None:
        self._base = connection.api_url
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=min(5.0, timeout)),
            connector=aiohttp.TCPConnector(limit=connection.call_limits.concurrency + 4, keepalive_timeout=30),
            auto_decompress=True,
        )
        self._credentials: Credentials = credentials(connection, pool, self._session, encryption_key)

    async def close(self) -> None:
        """Close the pool of connections."""
        await self._session.close()

    async def renew_credentials(self) -> bool:
        """After a refusal: True when it is worth trying again with other credentials."""
        try:
            return await self._credentials.renew()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def send(self, request: Request) -> Response:
        """The answer. Raises NotSent, NoAnswer, CredentialsRefused."""
        try:
            headers = await self._credentials.headers()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NotSent(f"no access token: {type(error).__name__}") from None
        headers["Accept"] = "application/json"
        if request.headers:
            headers |= request.headers
        body: bytes | dict[str, str] | None = None
        if request.json is not None:
            body = exact_json.encode(request.json)
            headers["Content-Type"] = "application/json"
        elif request.form is not None:
            body = dict(request.form)
        try:
            async with self._session.request(
                request.method,
                f"{self._base}{request.path}",
                params=request.query or None,
                data=body,
                headers=headers,
                allow_redirects=False,
            ) as answer:
                return Response(answer.status, answer.headers, await _whole(answer))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotSent(type(error).__name__) from None
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:  # noqa: UP041 - said for the reader
            raise NoAnswer(type(error).__name__) from None


async def _whole(answer: aiohttp.ClientResponse) -> bytes:
    """The answer's body, to its end. Raises NoAnswer when it is larger than any of the vendor's."""
    chunks, size = [], 0
    # `read(n)` gives what has arrived so far: an answer in pieces would be cut.
    async for chunk in answer.content.iter_any():
        size += len(chunk)
        if size > _MAX_ANSWER:
            raise NoAnswer(f"an answer of more than {_MAX_ANSWER} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


__all__ = ["CredentialsRefused", "NoAnswer", "NotSent", "VendorClient"]
