"""One Kafka node: its settings, its formatting, its command line, and whether it answers."""

import hashlib
import io
import os
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local import jars, processes
from deploy.local.errors import StackError
from deploy.local.java import Java
from deploy.local.ports import LOOPBACK
from deploy.local.processes import Process
from deploy.local.state import Broker, State

START_S = 90.0
"""How long a node may take until it answers, on a slow machine; 1 to 3 s are usual."""

_LOG4J = Path(__file__).with_name("log4j2.properties")
_HEAP = ("-Xms96m", "-Xmx384m", "-XX:MaxDirectMemorySize=128m")
# Short start-up and small memory matter here more than throughput at full load.
_TUNING = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true", "-Dlog4j2.disableJmx=true")
_QUIET_ARCHIVE = ("-Xlog:cds=off", "-Xlog:cds+dynamic=off")


@dataclass(frozen=True)
class Runtime:
    """What is needed to run a node: a Java and the jars."""

    java: Java
    class_path: tuple[Path, ...]

    @property
    def archive(self) -> Path:
        """The class-data archive of this Java and these jars: with it a node starts in half the time."""
        parts = (self.java.version, str(self.java.command), *(str(jar) for jar in self.class_path))
        key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
        return jars.folder() / f"classes-{key}.jsa"

    def command(self, main: str, *arguments: str | Path, heap: Sequence[str], archive: Sequence[str]) -> list[str]:
        """The command line of one of Kafka's main classes."""
        class_path = os.pathsep.join(str(jar) for jar in self.class_path)
        options = (*heap, *_TUNING, *archive, f"-Dlog4j2.configurationFile={_LOG4J.as_uri()}")
        return [str(self.java.command), *options, "-cp", class_path, main, *(str(each) for each in arguments)]

    def use_archive(self) -> tuple[str, ...]:
        """Use the archive if there is one. Java ignores it by itself when it does not fit."""
        return (f"-XX:SharedArchiveFile={self.archive}", *_QUIET_ARCHIVE) if self.archive.exists() else ()


class Node:
    """The files of one node below the stack's folder."""

    def __init__(self, directory: Path, broker: Broker) -> None:
        self.broker = broker
        self.folder = directory / "kafka" / f"n{broker.node}"
        self.settings = directory / "kafka" / f"n{broker.node}.properties"
        self.log = directory / "logs" / f"kafka-{broker.node}.log"

    def write_settings(self, state: State) -> None:
        """Write the node's settings file; it follows the stack's memory at every start."""
        self.settings.parent.mkdir(parents=True, exist_ok=True)
        self.settings.write_text(_settings(state, self.broker, self.folder), encoding="utf-8")

    def format(self, runtime: Runtime, cluster_id: str) -> None:
        """Give the node its identity. Does nothing to a node that has one."""
        if (self.folder / "meta.properties").exists():
            return
        arguments = ("format", "--cluster-id", cluster_id, "--config", self.settings, "--ignore-formatted")
        command = runtime.command(
            "kafka.tools.StorageTool", *arguments, heap=("-Xmx128m",), archive=runtime.use_archive()
        )
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise StackError(
                f"Kafka's storage in {self.folder} cannot be prepared:\n{(result.stdout + result.stderr).strip()}\n"
                "If the disk is not full, run `python -m deploy.local wipe` and try again."
            )

    def start(self, runtime: Runtime) -> Process:
        """Start the node; it is not ready yet when this returns."""
        processes.rotate(self.log)
        command = runtime.command(
            "kafka.Kafka",
            self.settings,
            heap=(*_HEAP, "-XX:+ExitOnOutOfMemoryError"),
            archive=self._archive_options(runtime),
        )
        return processes.start(command, self.log)

    def keep_archive(self) -> None:
        """Move the archive that this node recorded and completed to where every stack finds it."""
        for recorded in self.folder.parent.glob(f"n{self.broker.node}-classes-*.jsa"):
            recorded.replace(jars.folder() / recorded.name.partition("-")[2])

    def _archive_options(self, runtime: Runtime) -> tuple[str, ...]:
        for unfinished in self.folder.parent.glob(f"n{self.broker.node}-classes-*.jsa"):
            unfinished.unlink()
        # One recording is enough, and it makes the end of the node some seconds slower.
        if self.broker.node != 1 or runtime.archive.exists():
            return runtime.use_archive()
        recording = self.folder.parent / f"n1-{runtime.archive.name}"
        return (f"-XX:ArchiveClassesAtExit={recording}", *_QUIET_ARCHIVE)

    def find(self) -> Process | None:
        """The node's process, looked up by its command line."""
        return processes.find(lambda words: len(words) > 2 and words[-2:] == ["kafka.Kafka", str(self.settings)])

    def ask_to_stop(self) -> None:
        """Ask the node to hand its partitions over and end."""
        processes.stop(self.broker.process, politely=signal.SIGTERM)

    def await_ready(self, nodes: Collection[int]) -> None:
        """Wait until this node answers a metadata call and lists all of `nodes` as alive."""
        deadline = time.monotonic() + START_S
        while not alive_brokers(self.broker.port) >= set(nodes):
            what = None
            if not processes.is_running(self.broker.process):
                what = f"Kafka node {self.broker.node} ended while starting."
            elif time.monotonic() > deadline:
                what = f"Kafka node {self.broker.node} is not ready after {START_S:.0f} s."
            if what is not None:
                raise StackError(
                    f"{what} The end of {self.log}:\n{processes.last_lines(self.log)}\n"
                    "Run the same command again; if that fails too, `python -m deploy.local wipe` starts from nothing."
                )
            time.sleep(0.05)


def alive_brokers(port: int, seconds: float = 2) -> set[int]:
    """The brokers that the node on this loopback port lists in a metadata answer; none if it does not answer.

    This is the Metadata request, version 1, for no topics. It is written out by hand because a client library
    would need an event loop and would log each failed attempt.
    """
    client = b"tillstream-local"
    request = struct.pack(">hhih", 3, 1, 7, len(client)) + client + struct.pack(">i", 0)
    try:
        with socket.create_connection((LOOPBACK, port), timeout=seconds) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            with connection.makefile("rb") as stream:
                answer = io.BytesIO(stream.read(*struct.unpack(">i", stream.read(4))))
        _correlation, count = struct.unpack(">ii", answer.read(8))
        found = set()
        for _ in range(count):
            node, host_length = struct.unpack(">ih", answer.read(6))
            _host, _port, rack_length = answer.read(host_length), answer.read(4), answer.read(2)
            answer.read(max(0, *struct.unpack(">h", rack_length)))
            found.add(node)
    except (OSError, struct.error):
        # Nobody listens yet, or what listens is no Kafka.
        return set()
    return found


def archive_exists() -> bool:
    """Whether a class-data archive was recorded on this machine (it may be another Java's)."""
    return any(jars.folder().glob("classes-*.jsa"))


def _settings(state: State, broker: Broker, folder: Path) -> str:
    copies = min(3, len(state.brokers))
    in_sync = max(1, copies - 1)
    voters = ",".join(f"{each.node}@{LOOPBACK}:{each.controller_port}" for each in state.brokers)
    listeners = advertised = f"PLAINTEXT://{LOOPBACK}:{broker.port}"
    if broker.heard_port is not None:
        listeners += f",OUTSIDE://{LOOPBACK}:{broker.heard_port}"
        advertised += f",OUTSIDE://{LOOPBACK}:{broker.told_port}"
    settings = {
        "process.roles": "broker,controller",
        "node.id": broker.node,
        "controller.quorum.voters": voters,
        "listeners": f"{listeners},CONTROLLER://{LOOPBACK}:{broker.controller_port}",
        "advertised.listeners": advertised,
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,OUTSIDE:PLAINTEXT",
        "log.dirs": folder,
        # A topic that nobody declared is a mistake that must show.
        "auto.create.topics.enable": "false",
        "default.replication.factor": copies,
        "min.insync.replicas": in_sync,
        "offsets.topic.num.partitions": 4,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.num.partitions": 4,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_sync,
        # Tests wait for these; the defaults are made for large clusters.
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,
        "broker.session.timeout.ms": state.session_timeout_ms,
        "broker.heartbeat.interval.ms": max(100, state.session_timeout_ms // 6),
        "controlled.shutdown.max.retries": 1,
        "num.network.threads": 2,
        "num.io.threads": 4,
        # The default of 128 MiB would not fit the small heap.
        "log.cleaner.dedupe.buffer.size": 2_097_152,
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())
