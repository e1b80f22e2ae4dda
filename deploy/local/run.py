"""All services of one configuration on this machine: `make run CONFIG=tillstream.yaml`; Ctrl-C ends them.

Brings the database and the topics up to date first. Logs are in `.local/run/<service>.log`; a service that ends is
named with the last lines of its log, and the others are ended with it.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import yaml

from deploy.local import StackError, up
from deploy.local.layout import DEFAULT_STACK

_FOLDER = Path(".local/run")


def services(config: Path) -> dict[str, list[str]]:
    """The commands that this configuration needs, by name."""
    connections = (yaml.safe_load(config.read_text()) or {}).get("connections", [])
    commands = {
        "webhooks": ["services.ingest", "webhooks"],
        "fetcher": ["services.ingest", "fetcher"],
        "poller": ["services.ingest", "poller"],
        "transform": ["services.transform"],
        "books": ["services.projections", "books"],
        "journey": ["services.projections", "journey"],
        "accounting": ["services.ops", "accounting"],
    }
    for vendor in sorted({c.get("vendor") for c in connections if c.get("role") == "target"}):
        commands[f"sink-{vendor}"] = ["services.sinks", str(vendor)]
    return commands


def environment(config: Path, kafka: str, postgres: str) -> dict[str, str]:
    """What services and `till` must be told; written to `.local/stack/till.env`, which `till` reads by itself."""
    keys = DEFAULT_STACK / "encryption.key"
    if not keys.exists():
        keys.write_text(secrets.token_urlsafe(32))
        keys.chmod(0o600)
    told = {
        "TILLSTREAM_CONFIG": str(config.resolve()),
        "TILLSTREAM_KAFKA": kafka,
        "TILLSTREAM_POSTGRES": postgres,
        "TILLSTREAM_PARTITIONS": "4",
        "TILLSTREAM_REPLICATION": "1",
        "TILLSTREAM_ENCRYPTION_KEY_FILE": str(keys.resolve()),
    }
    (DEFAULT_STACK / "till.env").write_text("".join(f"{name}={value}\n" for name, value in told.items()))
    return {**os.environ, **told}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _prepare(env: Mapping[str, str]) -> None:
    till = str(Path(sys.executable).with_name("till"))
    for command in (["migrate"], ["topics", "apply"]):
        if subprocess.run([till, *command], env=dict(env), check=False).returncode:
            raise StackError("the database or the topics could not be prepared; see above")


def _watch(running: Mapping[str, subprocess.Popen[bytes]]) -> int:
    """Wait until one ends (1) or Ctrl-C (0)."""
    try:
        while True:
            for name, process in running.items():
                if process.poll() is not None:
                    log = (_FOLDER / f"{name}.log").read_text(errors="replace").strip().splitlines()
                    print(f"{name} ended with {process.returncode}:\n" + "\n".join(log[-12:]), file=sys.stderr)
                    return 1
            time.sleep(0.5)
    except KeyboardInterrupt:
        return 0


def main() -> int:
    """Run until Ctrl-C; the exit status."""
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    parser.add_argument("config", type=Path)
    config = parser.parse_args().config
    if not config.exists():
        print(f"error: {config} does not exist. Begin with a copy of examples/first-connection.yaml", file=sys.stderr)
        return 2
    endpoints = up(DEFAULT_STACK, say=lambda text: print(text, flush=True))
    env = environment(config, endpoints.kafka, endpoints.postgres)
    _FOLDER.mkdir(parents=True, exist_ok=True)
    _prepare(env)
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in services(config).items():
            with (_FOLDER / f"{name}.log").open("ab") as log:
                running[name] = subprocess.Popen(
                    [sys.executable, "-m", *command], stdout=log, stderr=log, start_new_session=True,
                    env={**env, "TILLSTREAM_METRICS_PORT": str(_free_port())},
                )  # fmt: skip
        print(f"{len(running)} services run; logs in {_FOLDER}. In another terminal: .venv/bin/till status")
        print("Ctrl-C ends them; Kafka and PostgreSQL go on until `make down`.", flush=True)
        return _watch(running)
    finally:
        for process in running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in running.values():
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
