"""Make `connect/jars.lock` anew: `python -m bench.peers.relock`. For maintainers; needs Maven.

The connector's POM names a parent that Maven Central does not serve, so Maven cannot resolve it: what it depends on is
listed in `connect/pom.xml`, and its own jars are fetched without their dependencies.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from bench.peers.kafka_connect import CONNECTOR_VERSION, FOLDER, LOCK
from deploy.local.relock import jar_at, jars_of

_CONNECTOR = tuple(
    f"io.github.clescot:kafka-connect-http-{part}:{CONNECTOR_VERSION}" for part in ("connectors", "core")
)
_HEADER = """\
# The jars of Kafka Connect and its HTTP sink, from Maven Central: group:artifact:version, sha256, size in bytes.
# Made by `python -m bench.peers.relock`; the downloader refuses a jar whose sum differs.
"""


def main() -> None:
    """Write the lock."""
    repository = Path.home() / ".m2/repository"
    found = jars_of(FOLDER / "pom.xml")
    for coordinates in _CONNECTOR:
        subprocess.run(
            ["mvn", "-B", "-q", "dependency:get", "-Dtransitive=false", f"-Dartifact={coordinates}"], check=True
        )
        group, artifact, version = coordinates.split(":")
        path = repository / group.replace(".", "/") / artifact / version / f"{artifact}-{version}.jar"
        found.append(jar_at(path, repository))
    lines = (f"{jar.group}:{jar.artifact}:{jar.version} {jar.sha256} {jar.size}\n" for jar in found)
    LOCK.write_text(_HEADER + "".join(lines), encoding="utf-8")
    print(f"{LOCK.name}: {len(found)} jars, {sum(jar.size for jar in found) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
