"""`python -m bench.worker CONTESTANT ORDER`: one contestant in a process of its own, timed from inside.

Start-up is not measured: the clock runs from the first tenth of the events to the last. Prints one line of JSON.
An order with `endless` is carried out until SIGTERM instead, and is timed by whoever gave it (bench/referee.py).
Set TILLSTREAM_BENCH_PROFILE to a file to have the run profiled by cProfile (its figures are then worth nothing).
"""

from __future__ import annotations

import asyncio
import cProfile
import importlib
import json
import os
import signal
import sys
import time
from typing import Any

import uvloop

from bench.contestants.task import Progress, Task

_LONGEST = 200.0
# The modules that hold a contestant as `run(task, progress, stopping)`.
CONTESTANTS = {
    "transform": "bench.contestants.transform",
    "transform.bare": "bench.contestants.transform_bare",
    "engine": "bench.contestants.engine",
    "deliveries.bare": "bench.contestants.deliveries_bare",
    "engine.bare": "bench.contestants.engine_bare",
    "engine.faststream_batches": "bench.contestants.engine_faststream",
    "engine.faststream_single": "bench.contestants.engine_faststream",
}


async def _timed(name: str, task: Task) -> dict[str, Any]:
    progress, stopping = Progress(), asyncio.Event()
    run = importlib.import_module(CONTESTANTS[name]).run
    running = asyncio.create_task(run(task, progress, stopping))
    profile = cProfile.Profile() if os.environ.get("TILLSTREAM_BENCH_PROFILE") else None
    deadline = time.monotonic() + _LONGEST

    async def reached(events: int) -> None:
        while progress.finished() < events:
            if running.done():
                running.result()
                raise RuntimeError(f"{name} ended after {progress.finished()} of {task.events} events")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} handled {progress.finished()} of {task.events} events in {_LONGEST} s")
            await asyncio.sleep(0.002)

    await reached(max(1, task.events // 10))
    if profile:
        profile.enable()
    if progress.finished() >= task.events:
        raise RuntimeError(f"{name} was through at once: {task.events} events are too few to be timed")
    before, began, cpu = progress.finished(), time.perf_counter(), time.process_time()
    await reached(task.events)
    cpu, seconds, events = time.process_time() - cpu, time.perf_counter() - began, progress.finished() - before
    if profile:
        profile.disable()
        profile.dump_stats(os.environ["TILLSTREAM_BENCH_PROFILE"])
    stopping.set()
    await asyncio.wait_for(running, 30)
    return {"events": events, "seconds": seconds, "cpu_seconds": cpu}


async def _until_told(name: str, task: Task) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await importlib.import_module(CONTESTANTS[name]).run(task, Progress(), stopping)


def main() -> None:
    """Run the contestant that is named."""
    name, order = sys.argv[1:]
    task = Task(**json.loads(order))
    if task.endless:
        uvloop.run(_until_told(name, task))
    else:
        print(json.dumps(uvloop.run(_timed(name, task))), flush=True)


if __name__ == "__main__":
    main()
