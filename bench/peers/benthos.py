"""Benthos, built here from the Go module proxy: bench/peers/benthos/README.md."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from bench.contestants.task import CONCURRENCY
from bench.peers.peer import Job, Launch, PeerMissing, Say
from deploy.local.layout import CACHE
from deploy.local.state import locked

FOLDER = Path(__file__).parent / "benthos"
_MODULE = "github.com/benthosdev/benthos/v4"
_BUILD_SECONDS = 1200


def version() -> str:
    """The version that `go.mod` pins, such as v4.27.0."""
    found = re.search(rf"{re.escape(_MODULE)} (v\S+)", (FOLDER / "go.mod").read_text())
    assert found is not None, "go.mod names it"
    return found[1]


def environment(job: Job) -> dict[str, str]:
    """What the configurations read from the environment."""
    return {
        "KAFKA": job.kafka,
        "TOPIC": job.topic,
        "GROUP": job.group,
        "URL": job.url,
        "PARTITIONS": str(job.partitions),
        "KEYS_AT_ONCE": str(max(1, CONCURRENCY // job.partitions)),
    }


class Benthos:
    """One of the committed configurations."""

    def __init__(self, name: str, configuration: str) -> None:
        self.name, self._configuration = name, FOLDER / configuration

    def prepare(self, say: Say) -> None:
        """Build it, once for each version; raises PeerMissing."""
        self._program = CACHE / f"benthos-{version()}"
        with locked(CACHE):
            if not self._program.exists():
                _build(self._program, say)

    def launch(self, job: Job) -> Launch:
        """It needs no files."""
        return Launch([str(self._program), "-c", str(self._configuration)], environment(job))


def _build(program: Path, say: Say) -> None:
    go = shutil.which("go")
    if go is None:
        raise PeerMissing("there is no `go` command to build it with")
    say(f"Building Benthos {version()}: one to five minutes, once ...")
    part = program.with_suffix(".part")
    try:
        subprocess.run(
            ["nice", "-n", "10", go, "build", "-mod=readonly", "-trimpath", "-o", str(part), "."],
            cwd=FOLDER, env={**os.environ, "CGO_ENABLED": "0"}, check=True, capture_output=True, text=True,
            timeout=_BUILD_SECONDS,
        )  # fmt: skip
    except subprocess.CalledProcessError as error:
        raise PeerMissing(f"`go build` of {_MODULE} {version()} failed: {error.stderr.strip()[-500:]}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerMissing(f"`go build` of {_MODULE} {version()} did not end: {error}") from error
    part.replace(program)
