"""The peers' committed configurations are complete, keep the order of a key, and name the versions that they say.

They are not downloaded here: that is for the bench itself.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.contestants.answerer import Arrived
from bench.contestants.task import CONCURRENCY
from bench.peers import benthos, kafka_connect
from bench.peers.peer import Job, PeerMissing
from deploy.local import jars


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job on eight partitions."""
    return Job("127.0.0.1:9092", "retail.sales", 8, "group-1", "http://127.0.0.1:1/20/group-1/it", tmp_path, 18083)


def _properties(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if line)


def test_kafka_connect_has_a_task_for_each_partition_and_one_record_of_each_in_hand(job: Job) -> None:
    """More at a time are sent at once by the connector, in any order."""
    files = {name: _properties(text) for name, text in kafka_connect.rendered(job).items()}
    sink, worker = files["sink.properties"], files["worker.properties"]
    assert sink["tasks.max"] == "8"
    assert sink["consumer.override.max.poll.records"] == "1"
    assert sink["consumer.override.auto.offset.reset"] == "earliest"
    assert sink["http.request.mapper.default.url"] == f"'{job.url}'"
    assert sink["name"] == job.group
    assert worker["bootstrap.servers"] == job.kafka
    assert worker["connector.client.config.override.policy"] == "All"
    assert not [value for values in files.values() for value in values.values() if "$" in value]


def test_kafka_connect_is_of_the_local_brokers_version() -> None:
    """Runtime and broker are of one release, and the connector is the one that the README names."""
    broker = next(jar.version for jar in jars.read_lock() if jar.artifact == "kafka-server")
    versions = {jar.artifact: jar.version for jar in jars.read_lock(kafka_connect.LOCK)}
    assert versions["connect-runtime"] == broker
    assert versions["kafka-connect-http-connectors"] == kafka_connect.CONNECTOR_VERSION
    readme = (kafka_connect.FOLDER / "README.md").read_text()
    assert broker in readme
    assert kafka_connect.CONNECTOR_VERSION in readme


@pytest.mark.parametrize("name", ["by_partition.yaml", "by_key.yaml"])
def test_benthos_is_told_all_that_its_configuration_asks_and_works_in_lock_step(name: str, job: Job) -> None:
    """One message, or one batch, of each partition in flight; every variable is set; calls carry the event's key."""
    environment = benthos.environment(job)
    text = (benthos.FOLDER / name).read_text()
    assert set(re.findall(r"\$\{([A-Z_]+)\}", text)) <= set(environment)
    content: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{([A-Z_]+)\}", lambda found: environment[found[1]], text))
    assert content["input"]["kafka"]["checkpoint_limit"] == 1
    assert content["input"]["kafka"]["consumer_group"] == job.group
    assert content["pipeline"]["threads"] == 8
    assert "Idempotency-Key" in text


def test_benthos_by_key_makes_as_many_calls_at_once_as_we_do(job: Job) -> None:
    """Over all partitions together."""
    assert int(benthos.environment(job)["KEYS_AT_ONCE"]) * job.partitions == CONCURRENCY
    assert benthos.version().removeprefix("v") in (benthos.FOLDER / "README.md").read_text()


def test_benthos_without_go_is_missing_and_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The bench then goes on without it."""
    monkeypatch.setattr(benthos, "CACHE", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PeerMissing, match="no `go` command"):
        benthos.Benthos("Benthos", "by_key.yaml").prepare(lambda _text: None)


def _body(sale: str, number: int) -> bytes:
    return f'{{"id":"e{number}","refund":{{"id":"refund-{number}","sale_id":"{sale}"}}}}'.encode()


def test_the_target_sees_what_is_out_of_order_and_what_is_sent_again() -> None:
    """Order counts within a sale and a connection; a second sending is no second event."""
    arrived = Arrived()
    for connection, sale, number in [
        ("a", "sale-1", 1),
        ("a", "sale-1", 3),
        ("a", "held-2", 12),
        ("b", "sale-1", 1),
        ("a", "sale-1", 3),
        ("a", "sale-1", 2),
    ]:
        arrived.take(connection, _body(sale, number))
    told = arrived.told()
    assert told["answered"] == 6
    assert told["distinct"] == 5
    assert told["out_of_order"] == 1
    assert told["of"] == {"sale": 4, "held": 1}
    assert told["busiest_second"] == 6
