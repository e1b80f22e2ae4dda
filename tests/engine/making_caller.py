"""A process that needs shared items: `python -m tests.engine.making_caller DSN URL NAME...`.

It says when it is ready, and begins when it is told a line.
"""

from __future__ import annotations

import asyncio
import sys

from libs.runtime.database.pool import open_pool
from tests.engine.plain_target import Vendor, calling, perform, shared_item


async def main(dsn: str, url: str, names: list[str]) -> None:
    """Find or make all of them at once."""
    pool = await open_pool(dsn, size=4)
    async with calling(Vendor(url=url), pool) as caller:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        await asyncio.gather(*(perform(caller, shared_item(name)) for name in names))
    await pool.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
