"""Credentials of a connection: a static token, or OAuth tokens that rotate.

A rotated refresh token is encrypted and saved before the access token that came with it is used; one writer at a time
by a row lock. A refresh token pasted into the configuration is exchanged at once, and what came back is kept.
"""

from __future__ import annotations

import base64
import hashlib
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import aiohttp
import structlog
from cryptography.fernet import Fernet, InvalidToken

from libs.runtime.configuration.model import Connection
from libs.runtime.database.pool import Pool

log = structlog.get_logger()

# An access token is renewed this many seconds before it expires.
_EARLY = 60


class CredentialsRefused(Exception):
    """The vendor does not accept the credentials; the message says what to do and holds no secret."""


class Credentials(Protocol):
    """What adds authentication to a call."""

    async def headers(self) -> dict[str, str]:
        """Headers to send; raises CredentialsRefused."""
        ...

    async def renew(self) -> bool:
        """Called after a call was refused; True when other credentials are at hand now."""
        ...


class StaticToken:
    """A token from the configuration. Read again after a refusal, so that a rotated secret file is noticed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._facts = connection.connector.manifest.authentication
        self._token = connection.secrets["access_token"].read()

    async def headers(self) -> dict[str, str]:
        """The token in its header."""
        if self._facts.scheme == "header":
            return {self._facts.header: self._token}
        return {"Authorization": f"Bearer {self._token}"}

    async def renew(self) -> bool:
        """True when the secret has changed since it was read."""
        before, self._token = self._token, self._connection.secrets["access_token"].read()
        return self._token != before


class RotatingToken:
    """OAuth 2 refresh tokens kept in the database."""

    def __init__(self, connection: Connection, pool: Pool, http: aiohttp.ClientSession, key: str | None) -> None:
        if not key:
            raise CredentialsRefused(
                f"connection {connection.id}: TILLSTREAM_ENCRYPTION_KEY is not set; rotated tokens are kept encrypted "
                "and need a key (make one with `till key`)"
            )
        self._connection, self._pool, self._http = connection, pool, http
        self._facts = connection.connector.manifest.authentication
        self._fernet = Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()))
        self._access: str | None = None
        self._expires = 0.0

    async def headers(self) -> dict[str, str]:
        """A valid access token, renewed when it is about to expire."""
        if self._access is None or time.time() > self._expires - _EARLY:
            await self._obtain(refused=None)
        return {"Authorization": f"Bearer {self._access}"}

    async def renew(self) -> bool:
        """Another access token than the one that was refused."""
        try:
            await self._obtain(refused=self._access)
        except CredentialsRefused:
            return False
        return True

    def _open(self, sealed: bytes | None) -> str | None:
        try:
            return self._fernet.decrypt(sealed).decode() if sealed else None
        except InvalidToken:
            raise CredentialsRefused(
                f"connection {self._connection.id}: the saved tokens were encrypted with another "
                "TILLSTREAM_ENCRYPTION_KEY; set that key, or paste a new refresh token"
            ) from None

    async def _obtain(self, refused: str | None) -> None:
        pasted = self._connection.secrets["refresh_token"].read()
        pasted_hash = hashlib.sha256(pasted.encode()).hexdigest()
        async with self._pool.acquire() as database, database.transaction():
            # The row lock makes this process the only one that talks to the token endpoint for this connection.
            await database.execute(
                "insert into oauth_token (connection, refresh_token) values ($1, ''::bytea) on conflict do nothing",
                self._connection.id,
            )
            row = await database.fetchrow(
                "select * from oauth_token where connection = $1 for update", self._connection.id
            )
            fresh_paste = row["pasted_hash"] != pasted_hash
            if not fresh_paste:
                access, expires = self._open(row["access_token"]), row["expires_at"]
                soon = datetime.now(UTC) + timedelta(seconds=_EARLY)
                if access and access != refused and expires and expires > soon:
                    self._access, self._expires = access, expires.timestamp()
                    return
            saved = None if fresh_paste else self._open(row["refresh_token"])
            current = pasted if saved is None else saved
            answer = await self._exchange(current)
            expires_at = datetime.now(UTC) + timedelta(seconds=int(answer.get("expires_in", 3600)))
            await database.execute(
                "update oauth_token set refresh_token = $2, access_token = $3, expires_at = $4, pasted_hash = $5, "
                "updated_at = now() where connection = $1",
                self._connection.id,
                self._fernet.encrypt(str(answer.get("refresh_token") or current).encode()),
                self._fernet.encrypt(str(answer["access_token"]).encode()),
                expires_at,
                pasted_hash,
            )
        # Only now, with the new refresh token safely stored, is the access token used.
        self._access, self._expires = str(answer["access_token"]), expires_at.timestamp()
        log.info("access token renewed", connection=self._connection.id)

    async def _exchange(self, refresh_token: str) -> dict[str, Any]:
        client_id = self._connection.secrets["client_id"].read()
        client_secret = self._connection.secrets["client_secret"].read()
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        auth = None
        if self._facts.client == "basic":
            auth = aiohttp.BasicAuth(client_id, client_secret)
        else:
            form |= {"client_id": client_id, "client_secret": client_secret}
        url = self._connection.token_url or self._facts.token_url or ""
        async with self._http.post(url, data=form, auth=auth, headers={"Accept": "application/json"}) as response:
            if response.status in (400, 401):
                raise CredentialsRefused(
                    f"connection {self._connection.id}: the refresh token or client secret is no longer accepted "
                    f"(HTTP {response.status}); connect the account again and paste a new refresh token"
                )
            response.raise_for_status()
            answer: Any = await response.json(content_type=None)
            if not isinstance(answer, dict) or "access_token" not in answer:
                raise aiohttp.ClientPayloadError("token answer without access_token")
            return answer


def credentials(connection: Connection, pool: Pool, http: aiohttp.ClientSession, key: str | None) -> Credentials:
    """The credentials of a connection, as its vendor's manifest says; raises SecretMissing, CredentialsRefused."""
    if connection.connector.manifest.authentication.scheme == "oauth2_refresh":
        return RotatingToken(connection, pool, http, key)
    return StaticToken(connection)
