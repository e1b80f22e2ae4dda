"""Kafka Connect in standalone mode with an HTTP sink: bench/peers/connect/README.md."""

from __future__ import annotations

from pathlib import Path
from string import Template

from bench.peers.peer import Job, Launch, PeerMissing, Say
from deploy.local import StackError, jars, java
from deploy.local.layout import CACHE

FOLDER = Path(__file__).parent / "connect"
LOCK = FOLDER / "jars.lock"
CONNECTOR_VERSION = "0.8.84"
_FILES = ("worker.properties", "sink.properties")
_MAIN = "org.apache.kafka.connect.cli.ConnectStandalone"
# The README says why the verifier is off.
_OPTIONS = ("-Xms512m", "-Xmx512m", "-XX:+UnlockDiagnosticVMOptions", "-XX:-BytecodeVerificationRemote")


def rendered(job: Job) -> dict[str, str]:
    """The committed files for this job, by name."""
    values = {
        "kafka": job.kafka, "topic": job.topic, "partitions": str(job.partitions), "group": job.group, "url": job.url,
        "folder": str(job.folder), "port": str(job.port),
    }  # fmt: skip
    return {name: Template((FOLDER / name).read_text()).substitute(values) for name in _FILES}


class KafkaConnect:
    """A task for each partition, one event of each in flight."""

    name = "Kafka Connect"

    def prepare(self, say: Say) -> None:
        """The jars, each checked, and a Java; raises PeerMissing."""
        try:
            self._class_path = jars.install(say, LOCK, CACHE / f"kafka-connect-http-{CONNECTOR_VERSION}")
            self._java = java.find(say).command
        except StackError as error:
            raise PeerMissing(str(error)) from error

    def launch(self, job: Job) -> Launch:
        """Its files are rendered into the job's folder."""
        for name, text in rendered(job).items():
            (job.folder / name).write_text(text)
        logging = f"-Dlog4j2.configurationFile={FOLDER / 'log4j2.properties'}"
        class_path = ":".join(str(path) for path in self._class_path)
        files = [str(job.folder / name) for name in _FILES]
        return Launch([str(self._java), *_OPTIONS, logging, "-cp", class_path, _MAIN, *files])
