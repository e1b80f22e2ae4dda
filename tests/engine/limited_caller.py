"""A process that calls a server as often as its account's limits allow: `python limited_caller.py JSON`."""

from __future__ import annotations

import asyncio
import json
import sys

import aiohttp

from libs.connectors.contract.manifest import Limits
from libs.runtime.database.pool import open_pool
from libs.runtime.limits.limiter import Limiter
from libs.runtime.limits.shared import SharedBudget


async def main(dsn: str, url: str, account: str, limits: Limits, name: str, at_once: int) -> None:
    """Call until killed."""
    pool = await open_pool(dsn, size=2, name=name)
    limiter = Limiter(limits, SharedBudget(pool, account), holder=name, longest_call=2.0)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2.0)) as session:

        async def caller() -> None:
            while True:
                async with limiter.slot():
                    answer = await session.get(url)
                    answer.release()
                if answer.status == 429:
                    limiter.pause(float(answer.headers["Retry-After"]))

        await asyncio.gather(*(caller() for _ in range(at_once)))


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    asyncio.run(main(**told | {"limits": Limits(**told["limits"])}))
