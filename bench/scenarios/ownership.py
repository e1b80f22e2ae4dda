"""Waiting until the engines own their partitions, so that nobody is timed while groups still move."""

from __future__ import annotations

import asyncpg

from bench.stand import Stand


async def settled(stand: Stand, name: str, *, owners: int, partitions: int) -> None:
    """So many partitions of the connections `<name>-...` are owned by so many processes; raises BenchFailed."""
    database = await asyncpg.connect(stand.postgres)

    async def owned() -> bool:
        found = await database.fetchrow(
            "select count(distinct owner) as owners, count(*) as partitions from partition_owner "
            "where connection like $1 || '-%'",
            name,
        )
        return found is not None and (found["owners"], found["partitions"]) == (owners, partitions)

    try:
        await stand.until(owned, f"{partitions} partitions are owned by {owners} processes", seconds=120)
    finally:
        await database.close()
