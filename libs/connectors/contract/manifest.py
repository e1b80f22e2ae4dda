"""The facts about a vendor that the runtime, the docs and the checks read: `manifest.yaml` of each connector."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from libs.canonical.kinds import Kind


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Environment(_Part):
    """Where the vendor's API is; `{account}` is replaced by the account's id."""

    base_url: str


class Authentication(_Part):
    """How calls are authenticated.

    `bearer`: a static token in `Authorization: Bearer`. `header`: a static token in the header `header`.
    `oauth2_refresh`: a refresh token (rotating when `rotates`), exchanged at `token_url` for short-lived access tokens.
    """

    scheme: Literal["bearer", "header", "oauth2_refresh"]
    header: str = "Authorization"
    token_url: str | None = None
    client: Literal["basic", "body"] = "basic"
    rotates: bool = False


class Window(_Part):
    """At most `calls` in any `seconds`."""

    calls: Annotated[int, Field(gt=0)]
    seconds: Annotated[float, Field(gt=0)]


class Limits(_Part):
    """What the vendor allows; all windows hold at once."""

    windows: tuple[Window, ...] = ()
    concurrency: Annotated[int, Field(gt=0)] = 8


class Quota(_Part):
    """A header in which the vendor says how many calls are left; at none, nobody calls until the reset.

    `says` left: the number itself; used/allowed: as in `32/40`. `reset`: the header that says when there are calls
    again: in so many seconds or milliseconds, or the moment in seconds since 1970. Where it says nothing,
    `otherwise_seconds` is waited.
    """

    header: str
    says: Literal["left", "used/allowed"] = "left"
    reset: str | None = None
    reset_in: Literal["seconds", "milliseconds", "epoch"] = "seconds"
    otherwise_seconds: Annotated[float, Field(gt=0)] = 1.0


class Idempotency(_Part):
    """How a repeated write is kept from having a second effect.

    native: the vendor remembers a key for `horizon_seconds`; upsert: the write is one; lookup: we can ask whether it
    was done; none: it cannot be known (then the docs say so).
    """

    means: Literal["native", "upsert", "lookup", "none"]
    horizon_seconds: int | None = None
    key_in: Literal["query", "header"] | None = None
    key_name: str | None = None
    key_max_length: int | None = None


class Batch(_Part):
    """A batch call of the vendor: at most `max_items` steps joined.

    `key` whole: the vendor's idempotency key goes on the call and stands for exactly these steps in this order.
    """

    max_items: Annotated[int, Field(gt=0)]
    key: Literal["none", "whole"] = "none"


class Delivery(_Part):
    """How events of one kind go to the target.

    `policy` strict: every one, in order; latest_wins: an older version never follows a newer one. `needs` are the
    kinds that must have gone before (hard), `prefers` those that a stand-in can replace (soft).
    """

    policy: Literal["strict", "latest_wins"]
    needs: tuple[Kind, ...] = ()
    prefers: tuple[Kind, ...] = ()


class SignatureFacts(_Part):
    """How the vendor signs webhooks."""

    header: str
    over: str  # in words, for the docs
    secrets: tuple[str, ...]  # names of the secrets in a connection's configuration; any of them may match


class SourceFacts(_Part):
    """What the vendor can tell us."""

    signature: SignatureFacts
    answer_budget_seconds: float
    type_header: str | None = None  # the header that says what a webhook is, when the body does not
    events: dict[str, tuple[Kind, ...]]  # vendor event type -> kinds that may come of it
    feeds: tuple[str, ...]  # what can be polled and backfilled
    card_fields: tuple[str, ...]  # field names whose values are cut wherever they occur
    not_cards: tuple[str, ...]  # field names that may hold long digit strings which are no card numbers


class TargetFacts(_Part):
    """What the vendor can be told."""

    kinds: dict[Kind, Delivery]
    idempotency: tuple[Idempotency, ...]
    batches: dict[str, Batch] = {}

    @property
    def native(self) -> Idempotency | None:
        """The vendor's own idempotency key, if it has one."""
        return next((way for way in self.idempotency if way.means == "native"), None)

    @model_validator(mode="after")
    def _keys(self) -> TargetFacts:
        if self.native is None and any(batch.key == "whole" for batch in self.batches.values()):
            raise ValueError("a batch with a key over the whole needs `native` among the means of idempotency")
        return self


class Manifest(_Part):
    """Everything declared about a vendor."""

    vendor: str
    title: str
    level: Literal["bronze", "silver", "gold"]
    checked_against: str
    documentation: str
    environments: dict[Literal["sandbox", "production"], Environment]
    authentication: Authentication
    limits: Limits
    quotas: tuple[Quota, ...] = ()
    source: SourceFacts | None = None
    target: TargetFacts | None = None
    exemptions: dict[str, str] = {}  # conformance rule -> reason


def load_manifest(folder: Path) -> Manifest:
    """The manifest of a connector's folder; raises pydantic's ValidationError when a fact is missing or misspelt."""
    return Manifest.model_validate(yaml.safe_load((folder / "manifest.yaml").read_text()))
