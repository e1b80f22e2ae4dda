"""What a process is told by its environment; read here and nowhere else, and passed on as small typed groups."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path


class SettingMissing(Exception):
    """A needed environment variable is not set; the message says which and what it is for."""


@dataclass(frozen=True)
class KafkaSettings:
    """Where Kafka is. Timeouts in milliseconds; `replication` is used when topics are created."""

    bootstrap: str
    session_timeout_ms: int
    partitions: int
    replication: int
    security: dict[str, str]


@dataclass(frozen=True)
class ProcessSettings:
    """What every Tillstream process is told."""

    config: Path
    kafka: KafkaSettings
    postgres: str
    metrics_port: int
    instance: str
    encryption_key: str | None
    otlp_endpoint: str | None
    log_format: str
    http_host: str
    http_port: int
    lease_seconds: float
    http_timeout_seconds: float


def _needed(name: str, purpose: str) -> str:
    value = os.environ.get(name, "").strip()
    if not value:
        raise SettingMissing(f"environment variable {name} is not set: {purpose}")
    return value


def _secret(name: str) -> str | None:
    """A secret from NAME, or from the file that NAME_FILE names."""
    path = os.environ.get(f"{name}_FILE")
    return Path(path).read_text().strip() if path else os.environ.get(name)


def read_settings() -> ProcessSettings:
    """The settings of this process; raises SettingMissing with what to do."""
    env = os.environ
    sasl = {
        "security_protocol": env.get("TILLSTREAM_KAFKA_SECURITY", "PLAINTEXT"),
        "sasl_mechanism": env.get("TILLSTREAM_KAFKA_SASL_MECHANISM", ""),
        "sasl_plain_username": env.get("TILLSTREAM_KAFKA_USERNAME", ""),
        "sasl_plain_password": _secret("TILLSTREAM_KAFKA_PASSWORD") or "",
    }
    return ProcessSettings(
        config=Path(env.get("TILLSTREAM_CONFIG", "tillstream.yaml")),
        kafka=KafkaSettings(
            bootstrap=_needed("TILLSTREAM_KAFKA", "the bootstrap servers, such as 127.0.0.1:9092"),
            session_timeout_ms=int(env.get("TILLSTREAM_SESSION_TIMEOUT_MS", "45000")),
            partitions=int(env.get("TILLSTREAM_PARTITIONS", "12")),
            replication=int(env.get("TILLSTREAM_REPLICATION", "3")),
            security={key: value for key, value in sasl.items() if value},
        ),
        postgres=_secret("TILLSTREAM_POSTGRES")
        or _needed("TILLSTREAM_POSTGRES", "the database, such as postgresql://user@host:5432/tillstream"),
        metrics_port=int(env.get("TILLSTREAM_METRICS_PORT", "9464")),
        instance=env.get("TILLSTREAM_INSTANCE") or f"{socket.gethostname()}-{os.getpid()}",
        encryption_key=_secret("TILLSTREAM_ENCRYPTION_KEY"),
        otlp_endpoint=env.get("OTEL_EXPORTER_OTLP_ENDPOINT"),
        log_format=env.get("TILLSTREAM_LOG_FORMAT", "json"),
        http_host=env.get("TILLSTREAM_HTTP_HOST", "0.0.0.0"),  # noqa: S104 - vendors call from outside
        http_port=int(env.get("TILLSTREAM_HTTP_PORT", "8080")),
        lease_seconds=float(env.get("TILLSTREAM_LEASE_SECONDS", "30")),
        http_timeout_seconds=float(env.get("TILLSTREAM_HTTP_TIMEOUT_SECONDS", "20")),
    )
