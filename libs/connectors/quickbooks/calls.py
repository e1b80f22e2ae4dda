"""Calls of the Accounting API: create, read, update, void and query, and the steps made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from libs.connectors.contract.http import Request
from libs.connectors.contract.target import Ref, Remote, Step

Entity = Literal["JournalEntry", "SalesReceipt", "RefundReceipt", "Customer", "Item"]

# Lower versions are served as 75 since 2025-08-01 (Intuit, "Minor versions"); to say so keeps a later change away.
MINOR_VERSION = {"minorversion": "75"}

SYNC_TOKEN = "sync_token"  # noqa: S105 - the kind of a reference, no secret


def write(entity: Entity, body: Mapping[str, Any], **query: str) -> Request:
    """Create the object, or update it when the body has its Id."""
    return Request("POST", f"/{entity.lower()}", query={**MINOR_VERSION, **query}, json=body)


def read(entity: Entity, remote_id: str) -> Request:
    """One object by its id."""
    return Request("GET", f"/{entity.lower()}/{remote_id}", query=MINOR_VERSION)


def query(entity: str, fields: str = "*", **equals: str) -> Request:
    """Objects whose fields have exactly these values."""
    conditions = " and ".join(f"{name} = '{_quoted(value)}'" for name, value in equals.items())
    statement = f"select {fields} from {entity}" + (f" where {conditions}" if conditions else "")
    return Request("GET", "/query", query={**MINOR_VERSION, "query": statement})


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def reference(remote_id: str | Remote) -> dict[str, Any]:
    """A reference to another object, as QuickBooks writes it."""
    return {"value": remote_id}


def change_steps(
    entity: Entity,
    remote_id: str,
    body: Mapping[str, Any],
    *,
    target_key: str,
    event_id: str,
    name: str,
    lookup: Request | None = None,
    **extra: str,
) -> tuple[Step, Step]:
    """Read the object's SyncToken, then change it sparsely: fields that are not named stay as they are.

    QuickBooks refuses a change with an outdated SyncToken (5010), so the read is to be made anew at every attempt,
    and the token is kept for this event alone.
    """
    token = Ref(SYNC_TOKEN, event_id)
    change = {**body, "Id": remote_id, "SyncToken": Remote(token), "sparse": True}
    return (
        Step(f"read {entity}", read(entity, remote_id), target_key, provides=token, reads=True, native_key=False),
        Step(name, write(entity, change, **extra), target_key, lookup=lookup),
    )
