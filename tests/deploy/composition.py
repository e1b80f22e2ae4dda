"""`docker-compose.yml` as Compose itself understands it, rendered without a container engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
EXAMPLE_ENV = ROOT / "examples/.env.example"
_COMPOSE = Path(sys.executable).with_name("docker-compose")


def run_compose(
    *arguments: str, env_file: Path = EXAMPLE_ENV, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Compose on our file, with the example's environment and nothing of this machine's."""
    return subprocess.run(
        [str(_COMPOSE), "--project-directory", str(ROOT), "--env-file", str(env_file), *arguments],
        capture_output=True, text=True, check=False, timeout=60,
        env={
            "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "TILLSTREAM_ENV_FILE": str(EXAMPLE_ENV),
            **(env or {}),
        },
    )  # fmt: skip


@cache
def services() -> Mapping[str, Any]:
    """Every service of every profile, with anchors merged and variables filled in."""
    rendered = run_compose("--profile", "*", "config", "--format", "json")
    assert rendered.returncode == 0, rendered.stderr
    found: Mapping[str, Any] = json.loads(rendered.stdout)["services"]
    return found


def ours() -> dict[str, Any]:
    """The services that run our image."""
    return {name: service for name, service in services().items() if service["image"].startswith("tillstream:")}


def running() -> dict[str, Any]:
    """Those of ours that run until they are told to stop."""
    return {name: service for name, service in ours().items() if service["restart"] == "unless-stopped"}


def seconds(duration: str) -> int:
    """Compose's `1m30s` in seconds."""
    minutes, _, rest = duration.rpartition("m")
    return 60 * int(minutes or 0) + int(rest.removesuffix("s") or 0)
