"""The local stack against real processes: it starts, survives crashes with its data, and harms no stranger."""

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import UnknownTopicOrPartitionError
from aiokafka.structs import TopicPartition

from deploy.local import Endpoints, Stack, StackError, down, postgres, processes, state, status, up, wipe
from deploy.local.processes import Process

TOPIC = "till-events"
SESSION_TIMEOUT_MS = 1200
"""A killed broker may come back only after this: short, because these tests wait for it often."""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("stack") / "one"
    up(place, session_timeout_ms=SESSION_TIMEOUT_MS, say=_silent)
    yield place
    wipe(place)
    assert not place.exists()


def _silent(_text: str) -> None:
    pass


def _processes(directory: Path) -> dict[str, Process]:
    memory = state.load(directory)
    assert memory is not None
    assert memory.postgres is not None
    found = {f"kafka-{broker.node}": broker.process for broker in memory.brokers} | {
        "postgres": memory.postgres.process
    }
    return {name: process for name, process in found.items() if process is not None}


def _stranger() -> subprocess.Popen[bytes]:
    """A program of the user that PostgreSQL runs as: to PostgreSQL, the likeliest mix-up with itself."""
    user = postgres.account()
    return subprocess.Popen(["sleep", "60"], user=None if user is None else user.uid)


async def _create_topic(kafka: str, name: str, replication: int = 1) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=replication)])
    finally:
        await admin.close()


async def _produce(kafka: str, *values: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True, request_timeout_ms=15_000)
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(TOPIC, value, partition=0)
    finally:
        await producer.stop()


async def _consume(kafka: str) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partition = TopicPartition(TOPIC, 0)
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        await consumer.seek_to_beginning(partition)
        values: list[bytes] = []
        while await consumer.position(partition) < end:
            values += [record.value async for record in _batch(consumer)]
        return values
    finally:
        await consumer.stop()


async def _batch(consumer: AIOKafkaConsumer):  # type: ignore[no-untyped-def]
    for records in (await consumer.getmany(timeout_ms=200)).values():
        for record in records:
            yield record


async def _sql(endpoints: Endpoints, statement: str) -> list[int]:
    connection = await asyncpg.connect(endpoints.postgres, timeout=10)
    try:
        return [int(row[0]) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


async def test_events_and_rows_go_round_trip(directory: Path) -> None:
    endpoints = up(directory, say=_silent)
    await _create_topic(endpoints.kafka, TOPIC)
    await _produce(endpoints.kafka, b"sale", b"refund")
    assert await _consume(endpoints.kafka) == [b"sale", b"refund"]
    await _sql(endpoints, "CREATE TABLE ledger (amount int)")
    await _sql(endpoints, "INSERT INTO ledger VALUES (1), (2)")
    assert await _sql(endpoints, "SELECT amount FROM ledger ORDER BY 1") == [1, 2]


async def test_topics_are_never_created_by_accident(directory: Path) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=up(directory, say=_silent).kafka, request_timeout_ms=1500)
    await producer.start()
    try:
        with pytest.raises(UnknownTopicOrPartitionError):
            await producer.send_and_wait("tpyo", b"lost?")
    finally:
        await producer.stop()


def test_a_second_up_changes_nothing_and_is_quick(directory: Path) -> None:
    before = _processes(directory)
    began = time.monotonic()
    said: list[str] = []
    assert up(directory, say=said.append) == Stack(directory).endpoints
    assert time.monotonic() - began < 1
    assert (said, _processes(directory)) == ([], before)
    assert status(directory).ready


async def test_killed_servers_come_back_with_their_data(directory: Path) -> None:
    endpoints = up(directory, say=_silent)
    for process in _processes(directory).values():
        os.kill(process.pid, signal.SIGKILL)
    assert processes.wait_gone(_processes(directory).values(), 10) == []
    assert set(status(directory).servers.values()) == {"stopped"}

    assert up(directory, say=_silent) == endpoints
    assert await _consume(endpoints.kafka) == [b"sale", b"refund"]
    assert await _sql(endpoints, "SELECT amount FROM ledger ORDER BY 1") == [1, 2]


async def test_each_server_can_be_killed_frozen_and_brought_back_alone(directory: Path) -> None:
    stack = Stack(directory)
    stack.kill_postgres()
    stack.kill_broker(1)
    assert status(directory).servers == {"kafka-1": "stopped", "postgres": "stopped"}
    stack.start_postgres()
    stack.start_broker(1)
    assert status(directory).ready

    stack.pause_broker(1)
    stack.pause_postgres()
    assert status(directory).servers == {"kafka-1": "paused", "postgres": "paused"}
    with pytest.raises(TimeoutError):
        await asyncpg.connect(stack.endpoints.postgres, timeout=0.3)
    stack.resume_postgres()
    stack.resume_broker(1)
    assert status(directory).ready
    assert await _sql(stack.endpoints, "SELECT count(*) FROM ledger") == [2]


def test_servers_that_the_memory_lost_are_recognised_and_not_started_twice(directory: Path) -> None:
    before = _processes(directory)
    memory = state.load(directory)
    assert memory is not None
    assert memory.postgres is not None
    memory.brokers[0].process = memory.postgres.process = None
    state.save(directory, memory)
    up(directory, say=_silent)
    assert _processes(directory) == before


async def test_a_stranger_with_our_old_pid_and_our_old_port_is_left_alone(directory: Path) -> None:
    endpoints = up(directory, say=_silent)
    remembered = _processes(directory)
    down(directory)
    assert set(status(directory).servers.values()) == {"stopped"}
    memory = state.load(directory)
    assert memory is not None
    assert memory.postgres is not None
    stranger = _stranger()
    with closing(socket.create_server(("127.0.0.1", memory.brokers[0].port))):
        try:
            # As if the machine had handed our pids to somebody else since.
            memory.brokers[0].process = replace(remembered["kafka-1"], pid=stranger.pid)
            memory.postgres.process = replace(remembered["postgres"], pid=stranger.pid)
            state.save(directory, memory)
            data = Path(memory.postgres.home) / "data"
            (data / "postmaster.pid").write_text(f"{stranger.pid}\n{data}\n0\n{memory.postgres.port}\n\n127.0.0.1\n")
            assert set(status(directory).servers.values()) == {"stopped"}
            Stack(directory).kill_broker(1)
            down(directory)

            moved = up(directory, say=_silent)
            assert stranger.poll() is None
        finally:
            stranger.kill()
            stranger.wait()
    assert moved.postgres == endpoints.postgres
    assert moved.kafka != endpoints.kafka
    assert await _consume(moved.kafka) == [b"sale", b"refund"]
    assert await _sql(moved, "SELECT count(*) FROM ledger") == [2]


def test_a_failed_start_shows_the_log_and_what_to_do(directory: Path) -> None:
    stack = Stack(directory)
    stack.kill_broker(1)
    settings = directory / "kafka" / "n1.properties"
    settings.write_text(settings.read_text() + "process.roles=cook\n")
    with pytest.raises(StackError) as failure:
        stack.start_broker(1)
    assert "ended while starting" in str(failure.value)
    assert "cook" in str(failure.value)
    assert "deploy.local wipe" in str(failure.value)
    up(directory, say=_silent)
    assert status(directory).ready


def test_a_folder_that_holds_no_stack_is_not_wiped(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(StackError, match="not deleted"):
        wipe(tmp_path)
    assert (tmp_path / "photos").exists()


async def test_three_brokers_survive_the_loss_of_one(tmp_path: Path) -> None:
    directory = tmp_path / "three"
    try:
        endpoints = up(directory, brokers=3, session_timeout_ms=SESSION_TIMEOUT_MS, say=_silent)
        assert len(endpoints.kafka.split(",")) == 3
        await _create_topic(endpoints.kafka, TOPIC, replication=3)
        await _produce(endpoints.kafka, b"before")
        stack = Stack(directory)
        stack.kill_broker(2)
        await _produce(endpoints.kafka, b"without broker 2")
        await asyncio.to_thread(stack.start_broker, 2)
        assert await _consume(endpoints.kafka) == [b"before", b"without broker 2"]
        assert status(directory).ready
        with pytest.raises(StackError, match="has 3 broker"):
            up(directory, brokers=1, say=_silent)
    finally:
        wipe(directory)
