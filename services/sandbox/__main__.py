"""`python -m services.sandbox`: serve the simulators until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from libs.connectors.contract.connector import UnknownVendor, connector, connectors
from libs.connectors.contract.simulator import Simulator
from services.sandbox.app import build

# Calls that hang on purpose are not waited for.
_PATIENCE_SECONDS = 0.5


def simulators(names: Sequence[str]) -> dict[str, Simulator]:
    """A fresh simulator of each vendor; of all of them when none is named. Raises UnknownVendor."""
    return {name: connector(name).simulator() for name in (names or list(connectors()))}


async def serve(app: web.Application, host: str, port: int, ready_file: Path | None) -> None:
    """Listen until SIGTERM or SIGINT. The base URL goes to standard output and, when asked for, into `ready_file`."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    # A call whose client has gone must not hang on.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_PATIENCE_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        address, bound = runner.addresses[0][:2]
        url = f"http://[{address}]:{bound}" if ":" in address else f"http://{address}:{bound}"
        if ready_file:
            _write_whole(ready_file, f"{url}\n")
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        await stopping.wait()
    finally:
        await runner.cleanup()


def _write_whole(path: Path, text: str) -> None:
    """Whoever waits for the file never sees half of it."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    part.replace(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; gives the exit status: 0 stopped as told, 2 wrong arguments, 1 the address cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m services.sandbox", description="Vendors' simulators over HTTP.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 (the default): any free one, told on standard output")
    parser.add_argument("--vendors", default="", help="names, separated by commas; all when left out")
    parser.add_argument("--ready-file", type=Path, help="written with the base URL once calls are answered")
    parser.add_argument("--seed", type=int, help="makes faults by probability repeatable")
    asked = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        app = build(simulators([name for name in asked.vendors.split(",") if name]), seed=asked.seed)
        asyncio.run(serve(app, asked.host, asked.port, asked.ready_file))
    except (UnknownVendor, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, UnknownVendor) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
