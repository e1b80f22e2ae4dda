"""`python -m services.sinks VENDOR`: delivers for all target connections of that vendor."""

from __future__ import annotations

import asyncio
import sys

from libs.runtime.configuration.model import Configuration
from libs.runtime.configuration.reading import ConfigurationInvalid, missing_secrets
from libs.runtime.database.pool import open_pool
from libs.runtime.engine.engine import Engine
from libs.runtime.kafka.writer import Writer
from libs.runtime.service import run_service, run_together
from libs.runtime.settings import ProcessSettings
from libs.runtime.telemetry.health import Health

# PostgreSQL allows 100 by default, for all services together; statements are short and wait their turn.
_MOST_POOLED = 30


def pool_size(connections: int) -> int:
    """Database connections for so many engines: a few for each, and never so many that other services find none."""
    return min(6 + 4 * connections, _MOST_POOLED)


class Sinks:
    """The engines of one vendor's connections, isolated from each other in all but the process."""

    def __init__(self, vendor: str) -> None:
        self._vendor = vendor

    async def run(self, settings: ProcessSettings, configuration: Configuration, stopping: asyncio.Event) -> None:
        """Deliver until told to stop."""
        connections = configuration.targets(self._vendor)
        if not connections:
            raise ConfigurationInvalid([f"no target connection of vendor {self._vendor!r} is configured"])
        faults = [fault for connection in connections for fault in missing_secrets(connection)]
        if faults:
            raise ConfigurationInvalid(faults)
        pool = await open_pool(settings.postgres, size=pool_size(len(connections)), name=f"sinks-{self._vendor}")
        writer = Writer(settings.kafka)
        engines = [Engine(connection, settings, pool, writer) for connection in connections]
        loops = [progress for engine in engines for progress in (engine.progress, engine.deliveries)]
        health = Health(settings.metrics_port, loops)
        await health.start()
        try:
            await run_together(stopping, *(engine.run(stopping) for engine in engines))
        finally:
            await writer.stop()
            await health.stop()
            await pool.close()


def main() -> None:
    """Start the sinks of the vendor that is named."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m services.sinks VENDOR\n")
        raise SystemExit(2)
    run_service(f"sinks-{sys.argv[1]}", Sinks(sys.argv[1]).run)


if __name__ == "__main__":
    main()
