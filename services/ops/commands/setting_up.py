"""`till check`, `till topics`, `till migrate`, `till key`, `till schema`: what a going-live needs."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from libs.runtime.configuration.model import Configuration
from libs.runtime.configuration.reading import ConfigurationInvalid, configuration_schema
from libs.runtime.database.migrate import migrate as bring_up_to_date
from libs.runtime.kafka.topics import Topic, create_topics, missing_topics
from libs.runtime.kafka.topics import topics as needed_topics
from libs.runtime.settings import ProcessSettings
from services.ops.environment import configuration, database, settings
from services.ops.readiness import Finding, of_configuration, of_database, of_encryption, of_kafka
from services.ops.speaking import AsJson, Failure, duration, plainly, say, say_json, show

Config = Annotated[
    Path | None, typer.Option("--config", help="Another file than TILLSTREAM_CONFIG says: `--config tillstream.yaml`")
]

# How often a new topic is looked for, every 0.2 s, before it is left to the services to wait for it.
_LOOKS = 50


@plainly
def check(
    offline: Annotated[
        bool,
        typer.Option("--offline", help="Without Kafka and database: only the configuration: `till check --offline`"),
    ] = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Tell everything that keeps this installation from going live; exit 1 when anything does."""
    try:
        known = configuration(config)
        findings = list(of_configuration(known)) if offline else asyncio.run(_check(known, settings()))
    except ConfigurationInvalid as error:
        findings = [Finding("blocks", "configuration", fault) for fault in error.faults]
    blocking = [finding for finding in findings if finding.level == "blocks"]
    show({"ready": not blocking, "findings": findings}, as_json, lambda: _draw(findings))
    if blocking:
        raise Failure(
            f"{len(blocking)} of these must be put right first" if len(blocking) > 1 else "this must be put right first"
        )
    if not as_json:
        say("ready", style="green")


async def _check(known: Configuration, here: ProcessSettings) -> list[Finding]:
    kafka, postgres = await asyncio.gather(of_kafka(known, here), of_database(here))
    return [*of_configuration(known), *of_encryption(known, here), *kafka, *postgres]


def _draw(findings: Sequence[Finding]) -> None:
    for finding in findings:
        say(f"{finding.level}  {finding.about}: {finding.text}", style="red" if finding.level == "blocks" else "yellow")


@plainly
def plan(as_json: AsJson = False) -> None:
    """Show which topics exist and which `till topics apply` would create."""
    here, known = settings(), configuration()
    wanted = needed_topics(known, here.kafka.partitions)
    missing = {topic.name for topic in asyncio.run(missing_topics(here.kafka, wanted))}
    rows = [
        {"topic": t.name, "partitions": t.partitions, "retention_ms": t.retention_ms, "exists": t.name not in missing}
        for t in wanted
    ]
    show(rows, as_json, lambda: _draw_topics(wanted, missing))


def _draw_topics(wanted: Sequence[Topic], missing: set[str]) -> None:
    for topic in wanted:
        sign, style = ("+ create", "yellow") if topic.name in missing else ("  exists", "dim")
        say(
            f"{sign}  {topic.name}: {topic.partitions} partitions, kept {duration(topic.retention_ms / 1000)}",
            style=style,
        )
    say(f"{len(missing)} of {len(wanted)} to create" if missing else f"all {len(wanted)} topics exist")


@plainly
def apply(as_json: AsJson = False) -> None:
    """Create the topics that are missing. Changes nothing that exists; running it again does nothing."""
    here, known = settings(), configuration()
    created = asyncio.run(_create(here, needed_topics(known, here.kafka.partitions)))
    show(
        {"created": created}, as_json, lambda: say(f"created: {', '.join(created)}" if created else "all topics exist")
    )


async def _create(here: ProcessSettings, wanted: Sequence[Topic]) -> tuple[str, ...]:
    """Create and see: brokers answer before each of them knows a new topic, and a service started now must find it."""
    created = await create_topics(here.kafka, wanted)
    for _ in range(_LOOKS if created else 0):
        if not await missing_topics(here.kafka, wanted):
            return created
        await asyncio.sleep(0.2)
    return created


@plainly
def migrate(as_json: AsJson = False) -> None:
    """Bring the database to the newest schema. Does nothing to one that is up to date."""
    here = settings()

    async def reachable() -> None:
        async with database(here.postgres):
            return

    asyncio.run(reachable())
    bring_up_to_date(here.postgres)
    show({"done": True}, as_json, lambda: say("the database has the newest schema"))


@plainly
def key(as_json: AsJson = False) -> None:
    """Print a new random key for TILLSTREAM_ENCRYPTION_KEY. Keep it: without it saved tokens cannot be read."""
    value = secrets.token_urlsafe(32)
    show({"key": value}, as_json, lambda: typer.echo(value))


@plainly
def schema(as_json: AsJson = False) -> None:
    """Print the JSON Schema of tillstream.yaml, for editors and checks."""
    say_json(configuration_schema())
