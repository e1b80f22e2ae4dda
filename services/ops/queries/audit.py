"""The record of what operators did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from libs.runtime.database.pool import Connection as Database
from libs.runtime.database.pool import Pool


async def record(
    database: Pool | Database, who: str, what: str, object_: str, detail: Mapping[str, Any], result: str = "done"
) -> None:
    """Write one action down. `detail` holds ids and hashes, never data of people."""
    await database.execute(
        "insert into audit (who, what, object, detail, result) values ($1, $2, $3, $4, $5)",
        who, what, object_, dict(detail), result,
    )  # fmt: skip
