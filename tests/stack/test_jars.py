"""The jar downloader against a Maven repository on this machine."""

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy.local import StackError, jars

KAFKA = b"the broker"
TOOLS = b"its tools"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Maven repository with two jars, the lock that names them, and an empty cache."""
    root = tmp_path / "repository"
    lines = []
    for artifact, content in (("kafka-server", KAFKA), ("kafka-tools", TOOLS)):
        jar = jars.Jar("org.kafka", artifact, "4.3.1", hashlib.sha256(content).hexdigest(), len(content))
        (root / jar.path).parent.mkdir(parents=True)
        (root / jar.path).write_bytes(content)
        lines.append(f"{jar.group}:{jar.artifact}:{jar.version} {jar.sha256} {jar.size}\n")
    lock = tmp_path / "kafka-jars.lock"
    lock.write_text("# comment\n" + "".join(lines))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(root)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(jars, "LOCK", lock)
    monkeypatch.setattr(jars, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(jars, "PAUSE_S", 0)
    monkeypatch.setenv(jars.REPOSITORY_VARIABLE, f"http://127.0.0.1:{server.server_port}/")
    yield root
    server.shutdown()
    server.server_close()


def test_jars_are_downloaded_once(repository: Path) -> None:
    said: list[str] = []
    class_path = jars.install(said.append)
    assert [path.read_bytes() for path in class_path] == [KAFKA, TOOLS]
    assert class_path[0].parent.name == "kafka-4.3.1"
    assert said
    said.clear()
    assert jars.install(said.append) == class_path
    assert said == []


def test_only_what_is_missing_or_cut_short_is_downloaded_again(repository: Path) -> None:
    kafka, tools = jars.install(lambda _text: None)
    for file in repository.rglob("kafka-server*.jar"):
        file.unlink()
    tools.write_bytes(TOOLS[:3])
    assert [path.read_bytes() for path in jars.install(lambda _text: None)] == [KAFKA, TOOLS]
    assert kafka.exists()


def test_a_jar_with_another_sum_is_refused(repository: Path) -> None:
    for file in repository.rglob("kafka-tools*.jar"):
        file.write_bytes(b"evil tool")
    with pytest.raises(StackError, match="SHA-256"):
        jars.install(lambda _text: None)
    assert not list(jars.folder().glob("kafka-tools*"))


def test_an_unreachable_repository_is_said_plainly(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(jars.REPOSITORY_VARIABLE, "http://127.0.0.1:1")
    with pytest.raises(StackError, match=r"run the same command again .*TILLSTREAM_MAVEN_REPOSITORY"):
        jars.install(lambda _text: None)
