"""Who is who: accounts, entity keys, order keys and the ids of facts and states.

An id is made of what the vendor will say again tomorrow, by any way: never of a delivery, a connection's name, a
way of arrival (webhook, poll, backfill) or a time of receipt.
"""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, StringConstraints

from libs.canonical.frozen import Frozen
from libs.canonical.moments import micros


class Account(Frozen):
    """The vendor's own, immutable name of the seller: a merchant id, a shop domain, a company id."""

    vendor: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
    id: Annotated[str, StringConstraints(min_length=1, max_length=128)]

    def __str__(self) -> str:
        return f"{self.vendor}:{self.id}"


_unambiguous = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def digest(*parts: str | int) -> str:
    """128 bits of SHA-256 over the parts, unambiguously joined, in base64url: 22 characters."""
    joined = _unambiguous(parts).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(joined).digest()[:16]).decode().rstrip("=")


def entity_key(account: Account, entity: str, entity_id: str) -> str:
    """The name of one vendor object everywhere in Tillstream, such as `square:ML1:sale:Ord9`."""
    return f"{account}:{entity}:{entity_id}"


def content_hash(content: BaseModel | dict[str, Any]) -> str:
    """A digest of canonical content that does not depend on the order of fields."""
    data = content.model_dump(mode="json") if isinstance(content, BaseModel) else content
    return digest(json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":")))


def fact_id(account: Account, kind: str, vendor_fact_id: str, ordinal: int = 0) -> str:
    """The id of something that happened once.

    It holds no vendor version: the order created, paid and updated is the same sale. `ordinal` tells apart several
    facts of one kind that the vendor gives one id.
    """
    return digest("fact", str(account), kind, vendor_fact_id, ordinal)


def amendment_id(account: Account, vendor_fact_id: str, money_hash: str, ordinal: int) -> str:
    """The id of the n-th (1, 2, ...) change of a sale's money, made of the new money content.

    The ordinal keeps apart a tip that goes from A to B, back to A and to B again.
    """
    return digest("fact", str(account), "sale.amended", vendor_fact_id, money_hash, ordinal)


def state_id(
    account: Account,
    kind: str,
    entity_id: str,
    *,
    version: int | str | None = None,
    content: BaseModel | dict[str, Any] | None = None,
    vendor_time: datetime | None = None,
) -> str:
    """The id of one version of something replaceable.

    With the vendor's version where there is one; else a hash of the canonical content plus the vendor's time, so that
    A, B and A again are three events. Raises ValueError when neither is given.
    """
    if version is not None:
        return digest("state", str(account), kind, entity_id, "v", version)
    if content is None or vendor_time is None:
        raise ValueError("the id of a state needs the vendor's version, or the content and the vendor's time")
    return digest("state", str(account), kind, entity_id, "h", content_hash(content), micros(vendor_time))
