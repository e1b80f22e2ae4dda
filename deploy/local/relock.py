"""Make `kafka-jars.lock` anew: `python -m deploy.local.relock 4.3.1`. For maintainers; needs Maven.

Maven resolves the broker's runtime dependencies; jars that only Kafka's command-line tools use are left out.
"""

import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.local.jars import LOCK, Jar

LOG4J = "2.24.3"
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"

# Compile-time macros, XML validation rules, CSV and YAML of the command-line tools: no broker loads these.
# (Neither does it load commons-validator's own dependencies; of that, only the address check is used.)
LEFT_OUT = re.compile(r"(scala-reflect|commons-(?!validator)\w+|jackson-dataformat-\w+|snakeyaml|jspecify)-\d")

_POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>kafka-jars</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{kafka}</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId><version>{log4j}</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>{log4j}</version></dependency>
  </dependencies>
</project>
"""

_HEADER = """\
# The jars a Kafka broker runs on, from Maven Central: group:artifact:version, sha256, size in bytes.
# Made by `python -m deploy.local.relock`; the downloader refuses a jar whose sum differs.
"""


def resolve(kafka: str) -> list[Jar]:
    """The jars of this Kafka release, as Maven resolves them."""
    with tempfile.TemporaryDirectory() as place:
        pom = Path(place) / "pom.xml"
        pom.write_text(_POM.format(kafka=kafka, log4j=LOG4J), encoding="utf-8")
        return [jar for jar in jars_of(pom) if not LEFT_OUT.match(jar.name)]


def jars_of(pom: Path) -> list[Jar]:
    """The jars that a POM's dependencies need at run time, as Maven resolves them."""
    with tempfile.TemporaryDirectory() as place:
        repository = Path(place) / "jars"
        subprocess.run(
            [
                *("mvn", "-B", "-q", "--strict-checksums", "-f", pom, f"{PLUGIN}:copy-dependencies"),
                *("-DincludeScope=runtime", "-Dmdep.useRepositoryLayout=true", f"-DoutputDirectory={repository}"),
            ],
            check=True,
        )
        return [jar_at(path, repository) for path in sorted(repository.rglob("*.jar"))]


def jar_at(path: Path, repository: Path) -> Jar:
    """The lock's line for a jar in a folder laid out as a Maven repository."""
    *group, artifact, version, _name = path.relative_to(repository).parts
    content = path.read_bytes()
    return Jar(".".join(group), artifact, version, hashlib.sha256(content).hexdigest(), len(content))


def main() -> None:
    """Write the lock for the Kafka version given on the command line."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m deploy.local.relock KAFKA_VERSION")
    found = resolve(sys.argv[1])
    lines = (f"{jar.group}:{jar.artifact}:{jar.version} {jar.sha256} {jar.size}\n" for jar in found)
    LOCK.write_text(_HEADER + "".join(lines), encoding="utf-8")
    print(f"{LOCK.name}: {len(found)} jars, {sum(jar.size for jar in found) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
