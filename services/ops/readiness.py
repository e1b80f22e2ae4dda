"""Whether an installation is ready to go live: everything that blocks, and everything worth knowing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import asyncpg
from alembic.script import ScriptDirectory

from libs.runtime.configuration.model import Configuration
from libs.runtime.configuration.reading import missing_secrets
from libs.runtime.database import migrate
from libs.runtime.kafka.away import KAFKA_AWAY
from libs.runtime.kafka.topics import TopicsDiffer, missing_topics, topics
from libs.runtime.settings import ProcessSettings
from services.ops.environment import database
from services.ops.speaking import DatabaseAway


@dataclass(frozen=True)
class Finding:
    """One thing found. `about` is a connection's id, `kafka`, `postgres` or `configuration`."""

    level: Literal["blocks", "warns"]
    about: str
    text: str


def of_configuration(known: Configuration) -> Iterator[Finding]:
    """What can be judged without Kafka and database: secrets, mappings, levels."""
    for connection in known.connections:
        for fault in missing_secrets(connection):
            yield Finding("blocks", connection.id, fault.removeprefix(f"connection {connection.id}: "))
        target = connection.connector.target
        if connection.role == "target" and target is not None:
            for sentence in target.check(connection.target_config):
                yield Finding("blocks", connection.id, sentence)
            if connection.shadow:
                yield Finding("warns", connection.id, "runs in shadow: nothing is written to it")
        if connection.role == "source" and connection.public_url is None:
            yield Finding("warns", connection.id, "has no webhooks, only polls: sales arrive later")
        manifest = connection.connector.manifest
        if connection.environment == "production" and manifest.level == "bronze":
            yield Finding(
                "warns", connection.id, f"the connector {manifest.title} is of level bronze: try it in shadow first"
            )
        if connection.environment == "production" and connection.base_url:
            yield Finding("warns", connection.id, f"production, but calls go to {connection.base_url}")


def of_encryption(known: Configuration, settings: ProcessSettings) -> Iterator[Finding]:
    """Rotating tokens are kept encrypted."""
    rotating = [c.id for c in known.connections if c.connector.manifest.authentication.scheme == "oauth2_refresh"]
    if rotating and not settings.encryption_key:
        names = ", ".join(rotating)
        yield Finding(
            "blocks",
            "configuration",
            f"TILLSTREAM_ENCRYPTION_KEY is not set, and {names} need it: make one with `till key`",
        )


async def of_kafka(known: Configuration, settings: ProcessSettings) -> list[Finding]:
    """Whether Kafka answers and has every topic."""
    try:
        missing = await missing_topics(settings.kafka, topics(known, settings.kafka.partitions))
    except TopicsDiffer as error:
        return [Finding("blocks", "kafka", str(error))]
    except KAFKA_AWAY as error:
        return [Finding("blocks", "kafka", f"{settings.kafka.bootstrap} does not answer ({type(error).__name__})")]
    if missing:
        names = ", ".join(topic.name for topic in missing)
        return [Finding("blocks", "kafka", f"topics are missing: {names}. Create them with `till topics apply`")]
    return []


async def of_database(settings: ProcessSettings) -> list[Finding]:
    """Whether the database answers and has the newest schema."""
    newest = ScriptDirectory(str(Path(migrate.__file__).parent / "migrations")).get_current_head()
    try:
        async with database(settings.postgres) as pool:
            there = await pool.fetchval("select version_num from alembic_version")
    except asyncpg.UndefinedTableError:
        there = None
    except (DatabaseAway, asyncpg.PostgresError) as error:
        return [Finding("blocks", "postgres", str(error))]
    if there != newest:
        return [Finding("blocks", "postgres", f"its schema is {there or 'empty'}, not {newest}: run `till migrate`")]
    return []
