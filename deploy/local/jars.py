"""The broker's jars: fetched from Maven Central once, each checked against the committed lock."""

import concurrent.futures
import hashlib
import http.client
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.layout import CACHE
from deploy.local.state import locked

LOCK = Path(__file__).with_name("kafka-jars.lock")
CENTRAL = "https://repo.maven.apache.org/maven2"
REPOSITORY_VARIABLE = "TILLSTREAM_MAVEN_REPOSITORY"
ATTEMPTS = 3
PAUSE_S = 1.0
TIMEOUT_S = 60


@dataclass(frozen=True)
class Jar:
    """One line of the lock. `size` is in bytes."""

    group: str
    artifact: str
    version: str
    sha256: str
    size: int

    @property
    def name(self) -> str:
        """The file name, as Maven gives it."""
        return f"{self.artifact}-{self.version}.jar"

    @property
    def path(self) -> str:
        """The address below a Maven repository."""
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.name}"


def read_lock(lock: Path | None = None) -> tuple[Jar, ...]:
    """The jars of the lock, in its order (which is the order on the class path)."""
    found = []
    for line in (lock or LOCK).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            coordinates, sha256, size = line.split()
            group, artifact, version = coordinates.split(":")
            found.append(Jar(group, artifact, version, sha256, int(size)))
    return tuple(found)


def folder() -> Path:
    """Where the jars of the locked Kafka release lie."""
    version = next(jar.version for jar in read_lock() if jar.artifact == "kafka-server")
    return CACHE / f"kafka-{version}"


def _fetch(jar: Jar, home: Path, repository: str, got: Callable[[int], None]) -> None:
    """Download one jar, check it, and only then give it its name."""
    part = home / f"{jar.name}.part"
    digest = hashlib.sha256()
    request = urllib.request.Request(f"{repository}/{jar.path}", headers={"User-Agent": "tillstream"})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response, part.open("wb") as file:
        while block := response.read(262_144):
            digest.update(block)
            file.write(block)
            got(len(block))
    if digest.hexdigest() != jar.sha256:
        part.unlink()
        raise StackError(
            f"{jar.name} from {repository} is not the file that the lock names (its SHA-256 differs). "
            f"If {REPOSITORY_VARIABLE} is set, check that mirror; otherwise report it."
        )
    part.replace(home / jar.name)


def _fetch_patiently(jar: Jar, home: Path, repository: str, got: Callable[[int], None]) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _fetch(jar, home, repository, got)
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            if attempt == ATTEMPTS:
                raise StackError(
                    f"Kafka's jars cannot be downloaded from {repository} ({error}). "
                    "What has arrived is kept: run the same command again when the network is back, or set "
                    f"{REPOSITORY_VARIABLE} to a Maven repository that can be reached."
                ) from error
            time.sleep(attempt * PAUSE_S)
    return None


def _download(missing: list[Jar], home: Path, say: Callable[[str], None]) -> None:
    repository = os.environ.get(REPOSITORY_VARIABLE, CENTRAL).rstrip("/")
    total = sum(jar.size for jar in missing)
    say(f"Downloading Kafka: {len(missing)} jars, {total / 1e6:.1f} MB ...")
    began = told = time.monotonic()
    received = 0
    guard = threading.Lock()

    def got(size: int) -> None:
        nonlocal received, told
        with guard:
            received += size
            if time.monotonic() - told > 2:
                told = time.monotonic()
                say(f"  {received / 1e6:.1f} of {total / 1e6:.1f} MB")

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        largest_first = sorted(missing, key=lambda jar: -jar.size)
        downloads = [pool.submit(_fetch_patiently, jar, home, repository, got) for jar in largest_first]
        try:
            for download in concurrent.futures.as_completed(downloads):
                download.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    say(f"Kafka downloaded: {received / 1e6:.1f} MB in {time.monotonic() - began:.1f} s.")


def install(say: Callable[[str], None], lock: Path | None = None, home: Path | None = None) -> list[Path]:
    """All jars of the lock in the cache folder, downloading those that are not there. Returns the class path."""
    jars = read_lock(lock)
    home = home or folder()
    with locked(home):
        missing = [jar for jar in jars if not _is_there(home / jar.name, jar)]
        if missing:
            _download(missing, home, say)
    return [home / jar.name for jar in jars]


def _is_there(path: Path, jar: Jar) -> bool:
    # A file has its final name only after its sum was right, so its size is enough from then on.
    return path.is_file() and path.stat().st_size == jar.size
