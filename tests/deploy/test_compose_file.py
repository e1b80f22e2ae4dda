"""What docker-compose.yml promises, read from what Compose makes of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.connectors.contract.connector import connectors
from libs.runtime.configuration.reading import missing_secrets, read_configuration
from tests.deploy.composition import EXAMPLE_ENV, ROOT, ours, run_compose, running, seconds, services

EXAMPLE = ROOT / "examples/tillstream.yaml"
# Finish what is in flight (20 + 2), commit (5), leave the group (10), flush the producer (5): libs/runtime/engine.
LONGEST_STOP_SECONDS = 42


def test_it_is_valid() -> None:
    """Compose takes it, every profile included."""
    for profile in ((), ("--profile", "*")):
        result = run_compose(*profile, "config", "--quiet")
        assert (result.returncode, result.stderr) == (0, "")


def test_a_missing_password_is_told(tmp_path: Path) -> None:
    """Nobody starts a database with an empty password by mistake."""
    empty = tmp_path / "empty.env"
    empty.touch()
    result = run_compose("config", "--quiet", env_file=empty)
    assert result.returncode != 0
    assert "set it in .env" in result.stderr


@pytest.mark.parametrize("name", ours())
def test_each_of_ours_is_confined(name: str) -> None:
    """No root, no capabilities, nothing to write but a folder in memory."""
    service = ours()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"] == ["/tmp"]
    assert "privileged" not in service
    assert all(volume["read_only"] for volume in service["volumes"])


@pytest.mark.parametrize("name", running())
def test_each_that_runs_is_watched_and_given_time(name: str) -> None:
    """A health check of its own, and more time to stop than it may need."""
    service = running()[name]
    assert re.search(r"127\.0\.0\.1:\d+/health", service["healthcheck"]["test"][-1])
    assert seconds(service["stop_grace_period"]) > LONGEST_STOP_SECONDS
    if name != "sandbox":
        assert service["environment"]["TILLSTREAM_METRICS_PORT"] in service["healthcheck"]["test"][-1]
        assert service["depends_on"].keys() == {"migrate", "topics"}
        assert all(
            need["condition"] == "service_completed_successfully" and need["required"]
            for need in service["depends_on"].values()
        )


def test_what_runs_once_waits_for_what_it_needs() -> None:
    """Schema and topics come first, and neither is started over and over."""
    for name, needs in (("migrate", "postgres"), ("topics", "kafka")):
        service = ours()[name]
        assert service["restart"] == "no"
        assert service["depends_on"] == {needs: {"condition": "service_healthy", "required": True}}
        assert "test" in services()[needs]["healthcheck"]


def test_every_target_has_its_sink() -> None:
    """A connector that can be a target and has no service here would be configured and never run."""
    targets = {f"sink-{vendor}" for vendor, known in connectors().items() if known.target}
    assert targets == {name for name in running() if name.startswith("sink-")}


def test_kafka_makes_no_topic_by_itself() -> None:
    """A misspelt topic shows at once, and one copy is all that one broker can keep."""
    kafka = services()["kafka"]["environment"]
    assert kafka["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert all(value == "1" for name, value in kafka.items() if name.endswith(("REPLICATION_FACTOR", "MIN_ISR")))
    assert all(service["environment"]["TILLSTREAM_REPLICATION"] == "1" for service in ours().values())


def test_images_of_others_are_pinned_and_their_data_is_kept() -> None:
    """A version each, and a named volume each."""
    for name in services().keys() - ours().keys():
        assert re.search(r":v?\d+(\.\d+){0,2}$", services()[name]["image"]), name
        assert any(volume["type"] == "volume" for volume in services()[name]["volumes"]), name


def test_only_webhooks_can_be_reached_from_outside() -> None:
    """Everything else is published on this machine alone, or not at all; the database and Kafka are not."""
    published = {
        name: [port.get("host_ip") for port in service["ports"]]
        for name, service in services().items()
        if "ports" in service
    }
    assert published == {"webhooks": [None], "sandbox": ["127.0.0.1"], "prometheus": ["127.0.0.1"]}


def _example_environment() -> dict[str, str]:
    lines = (line for line in EXAMPLE_ENV.read_text().splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def _named_secrets() -> set[str]:
    document: Any = yaml.safe_load(EXAMPLE.read_text())
    return {secret["env"] for connection in document["connections"] for secret in connection["secrets"].values()}


def test_the_example_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is valid, all its secrets are in the example environment, and its targets have nothing to complain of."""
    configuration = read_configuration(EXAMPLE)
    for name, value in _example_environment().items():
        monkeypatch.setenv(name, value)
    assert [fault for connection in configuration.connections for fault in missing_secrets(connection)] == []
    for connection in configuration.targets():
        target = connection.connector.target
        assert target is not None
        assert list(target.check(connection.target_config)) == []


def test_the_example_environment_has_nothing_beside() -> None:
    """Every variable in it is read by somebody."""
    ours_by_design = {"POSTGRES_PASSWORD", "TILLSTREAM_ENCRYPTION_KEY", "TILLSTREAM_CONFIG_FILE"}
    assert _example_environment().keys() == ours_by_design | _named_secrets()
