"""`python -m tools.demo`: the whole demo; KEEP=1 leaves it running."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import aiohttp

from deploy.local import StackError
from libs.runtime.database.pool import open_pool
from tools.demo.baskets import DataMissing
from tools.demo.configuration import departments
from tools.demo.installation import ENV_FILE, FOLDER, DemoFailed, Installation, keep_for_till
from tools.demo.observing import Observer
from tools.demo.outcome import conclude
from tools.demo.play import Play
from tools.demo.progress import Progress
from tools.demo.story import last_business_day, tell
from tools.demo.vendors import Sender, Simulators


async def demonstrate(*, keep: bool) -> int:
    """Everything; gives the exit status."""
    began = time.monotonic()
    shutil.rmtree(FOLDER / "state", ignore_errors=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with Progress() as progress:
        story = tell(last_business_day(datetime.now(UTC)))
        progress.say(f"{len(story.sales):,} real baskets of {len(story.stores)} stores, {story.first_day} and on.")
        installation = Installation(progress.say)
        async with AsyncExitStack() as ending:
            timeout = aiohttp.ClientTimeout(total=60)
            http = await ending.enter_async_context(aiohttp.ClientSession(timeout=timeout))
            if not keep:
                ending.push_async_callback(installation.stop_stack)
                ending.push_async_callback(installation.stop_services)
            running = await installation.start(story.stores, http)
            pool = await open_pool(running.postgres, size=4, name="demo")
            ending.push_async_callback(pool.close)
            simulators = Simulators(http, running.sandbox)
            await simulators.set_up(story.master, departments(story.stores))
            once = frozenset({story.happenings.unreadable_order.id})
            sender = Sender(http, running.webhooks, simulators, once=once)
            observer = Observer(pool, story.stores)
            stopping = asyncio.Event()
            watching = asyncio.create_task(observer.watch(stopping, progress.show))
            play = Play(story, installation, running, simulators, sender, observer, progress)
            try:
                played = await play.run()
                await play.healed_now()
            finally:
                stopping.set()
                await asyncio.gather(watching, return_exceptions=True)
            progress.say("Checking every record at every vendor ...")
            status = await conclude(
                story, installation, running, simulators, sender, observer, played, began, keep=keep
            )
        if keep:
            keep_for_till()
            progress.say(f"It runs on. Look around: .venv/bin/till status   (settings in {ENV_FILE})")
        return status


def main() -> int:
    """The command; gives the exit status: 0 all is well, 1 something is not, 130 stopped."""

    async def guarded() -> int:
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        return await demonstrate(keep=keep)

    keep = os.environ.get("KEEP", "") not in ("", "0")

    try:
        return asyncio.run(guarded())
    except (DemoFailed, DataMissing, StackError) as error:
        sys.stdout.flush()
        sys.stderr.write(f"The demo failed: {error}\n")
        return 1
    except (asyncio.CancelledError, KeyboardInterrupt):
        ended = "The next run ends what was kept running" if keep else "Everything that it had started is ended"
        sys.stderr.write(f"Stopped. {ended}.\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
