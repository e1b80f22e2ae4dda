"""The command line: `python -m deploy.local up|down|status|wipe`."""

import argparse
import sys
from pathlib import Path

from deploy.local import StackError, stack
from deploy.local.layout import DEFAULT_STACK


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when it did what it says, 1 when it could not."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description=__doc__)
    parser.add_argument("command", choices=["up", "down", "status", "wipe"])
    parser.add_argument("--dir", type=Path, default=DEFAULT_STACK, help="the stack's folder (default: .local/stack)")
    parser.add_argument("--brokers", type=int, choices=[1, 3], default=None, help="Kafka brokers of a new stack")
    parser.add_argument("--session-timeout-ms", type=int, default=None, help="until a silent broker counts as lost")
    options = parser.parse_args(arguments)
    try:
        return _run(options)
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error}. Is the disk full, or does the folder belong to another user?", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. What was started goes on: the same command again waits for it.", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace) -> int:
    if options.command == "up":
        endpoints = stack.up(
            options.dir,
            brokers=options.brokers,
            session_timeout_ms=options.session_timeout_ms,
            say=lambda text: print(text, flush=True),
        )
        print(f"kafka     {endpoints.kafka}\npostgres  {endpoints.postgres}")
        return 0
    if options.command == "status":
        found = stack.status(options.dir)
        for server, word in found.servers.items():
            print(f"{server:10}{word}")
        if found.endpoints is None:
            print(f"No stack in {found.directory}. Start one with `make up`.")
        else:
            print(f"kafka     {found.endpoints.kafka}\npostgres  {found.endpoints.postgres}")
            print(f"logs      {found.directory / 'logs'}")
        return 0 if found.ready else 1
    (stack.down if options.command == "down" else stack.wipe)(options.dir)
    return 0


if __name__ == "__main__":
    sys.exit(main())
