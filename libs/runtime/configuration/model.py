"""The shape of `tillstream.yaml`."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from libs.canonical.identity import Account
from libs.canonical.kinds import Kind
from libs.connectors.contract.connector import Connector, connector
from libs.connectors.contract.manifest import Limits
from libs.connectors.contract.source import SourceSettings


class SecretMissing(Exception):
    """A secret's reference leads nowhere; the message names the reference, never a value."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Secret(_Part):
    """Where a secret is: an environment variable or a file."""

    env: str | None = Field(default=None, description="name of an environment variable")
    file: Path | None = Field(default=None, description="path of a file; its trimmed content is the secret")

    @model_validator(mode="after")
    def _one(self) -> Secret:
        if (self.env is None) == (self.file is None):
            raise ValueError("say where the secret is: either env or file")
        return self

    def read(self) -> str:
        """The secret itself; raises SecretMissing."""
        if self.env is not None:
            value = os.environ.get(self.env, "").strip()
            where = f"environment variable {self.env}"
        else:
            assert self.file is not None
            where = f"file {self.file}"
            try:
                value = self.file.read_text().strip()
            except OSError:
                value = ""
        if not value:
            raise SecretMissing(f"{where} is missing or empty")
        return value


class Polling(_Part):
    """Ask the vendor regularly, beside or instead of webhooks."""

    feeds: tuple[str, ...] = Field(default=(), description="which feeds; none named: all that the vendor has")
    every_seconds: Annotated[float, Field(gt=0)] = 60


class ParkingRules(_Part):
    """How long an event that fails by itself is tried again."""

    delays_seconds: tuple[float, ...] = Field(default=(60, 300, 1800, 7200), description="waits between tries")
    attempts: int = Field(default=20, description="tries before it becomes a dead letter")
    give_up_after_seconds: float = Field(default=86_400, description="age at which it becomes a dead letter")


class Connection(_Part):
    """One account at one vendor. `id` is for ever: consumer groups, ledger rows and dead letters are named by it."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,39}$")]
    vendor: str
    role: Literal["source", "target"]
    account: Annotated[str, StringConstraints(min_length=1)] = Field(
        description="the vendor's own id of the account: merchant id, shop domain, company id, portal id"
    )
    environment: Literal["sandbox", "production"]
    base_url: str | None = Field(default=None, description="another address than the vendor's own: a simulator")
    token_url: str | None = Field(default=None, description="another token address than the vendor's own")
    start: Literal["now", "beginning"] | date = Field(description="from when on: now, a business day, or beginning")
    locations: tuple[str, ...] | None = Field(default=None, description="only these locations; left out: all")
    kinds: tuple[Kind, ...] | None = Field(default=None, description="only these kinds; left out: all it can take")
    accounts: tuple[str, ...] | None = Field(
        default=None, description="targets: only events of these source accounts, as vendor:id; left out: all"
    )
    public_url: str | None = Field(default=None, description="sources: the webhook address as registered at the vendor")
    secrets: dict[str, Secret] = {}
    poll: Polling | None = None
    shadow: bool = Field(default=False, description="targets: do everything but write")
    orphan: Literal["deliver", "hold"] = Field(
        default="deliver", description="targets: a refund whose sale was never delivered: send it alone, or hold it"
    )
    limits: Limits | None = Field(default=None, description="instead of the vendor's published limits")
    parking: ParkingRules = ParkingRules()
    settings: dict[str, Any] = Field(default={}, description="what the vendor's connector wants to know")

    @field_validator("start", mode="wrap")
    @classmethod
    def _start(cls, value: object, read: ValidatorFunctionWrapHandler) -> object:
        try:
            return read(value)
        except ValidationError:
            raise ValueError("is now, beginning or a business day such as 2026-11-18") from None

    @property
    def account_key(self) -> Account:
        """The account as a canonical value."""
        return Account(vendor=self.vendor, id=self.account)

    @property
    def connector(self) -> Connector:
        """What is known of the vendor."""
        return connector(self.vendor)

    @property
    def source_settings(self) -> SourceSettings:
        """A source's settings as its mapping reads them."""
        return SourceSettings.model_validate(self.settings)

    @property
    def target_config(self) -> BaseModel:
        """A target's settings as its connector reads them."""
        target = self.connector.target
        assert target is not None
        return target.config.model_validate(self.settings)

    @property
    def api_url(self) -> str:
        """Base of every call, without a trailing slash."""
        stated = self.base_url or self.connector.manifest.environments[self.environment].base_url
        return stated.replace("{account}", self.account).rstrip("/")

    @property
    def call_limits(self) -> Limits:
        """What may be asked of the vendor."""
        return self.limits or self.connector.manifest.limits


class BooksSettings(_Part):
    """When a business day is closed."""

    grace_seconds: Annotated[float, Field(ge=0)] = Field(
        default=7200, description="after the cut-off, wait this long (business time) for what comes late"
    )
    revision_every_seconds: Annotated[float, Field(ge=0)] = Field(
        default=3600, description="collect what comes after the close at least this long before the next revision"
    )


class Configuration(_Part):
    """An installation: one organisation, any number of accounts, currencies and time zones."""

    version: Literal[1] = 1
    organisation: str
    books: BooksSettings = BooksSettings()
    connections: tuple[Connection, ...]

    def sources(self) -> tuple[Connection, ...]:
        """Connections that bring events in."""
        return tuple(c for c in self.connections if c.role == "source")

    def targets(self, vendor: str | None = None) -> tuple[Connection, ...]:
        """Connections that events go to; of one vendor if named."""
        return tuple(c for c in self.connections if c.role == "target" and vendor in (None, c.vendor))

    def connection(self, connection_id: str) -> Connection:
        """The connection of that id; raises LookupError naming those there are."""
        for candidate in self.connections:
            if candidate.id == connection_id:
                return candidate
        known = ", ".join(c.id for c in self.connections)
        raise LookupError(f"no connection is called {connection_id!r}; there are: {known}")
