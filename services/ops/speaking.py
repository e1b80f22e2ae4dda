"""How `till` speaks: results for people or as JSON on standard output, faults in plain words on standard error.

Exit codes: 0 done, 1 failed, 2 used wrongly, 3 would be a dead letter or needs more.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, ParamSpec

import asyncpg
import msgspec
import typer
from rich.console import Console, RenderableType

from libs.connectors.contract.connector import UnknownVendor
from libs.runtime import exact_json
from libs.runtime.configuration.reading import ConfigurationInvalid
from libs.runtime.database.pool import DATABASE_AWAY
from libs.runtime.kafka.away import KAFKA_AWAY
from libs.runtime.kafka.topics import TopicsDiffer
from libs.runtime.kafka.writer import KafkaAway
from libs.runtime.settings import SettingMissing

DONE, FAILED, USAGE, NEEDS_MORE = 0, 1, 2, 3

# A pipe has no width: wide enough that no cell is broken in the middle of an id.
_WIDTH_OF_A_PIPE = 200

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text: `till status --json | jq .`")]

P = ParamSpec("P")


class Failure(Exception):
    """The command cannot do what was asked; the message is for a person and says what to do."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


class DatabaseAway(Exception):
    """The database cannot be reached."""


def console(*, error: bool = False) -> Console:
    """Where people read. Square brackets in reasons are text, never markup."""
    stream = sys.stderr if error else sys.stdout
    width = None if stream.isatty() else _WIDTH_OF_A_PIPE
    return Console(file=stream, markup=False, highlight=False, emoji=False, width=width)


def say(text: RenderableType, style: str | None = None) -> None:
    """One line or picture for people; a long line is not broken."""
    console().print(text, style=style, soft_wrap=isinstance(text, str))


def say_json(value: Any) -> None:
    """A result for programs."""
    sys.stdout.write(readable_json(value) + "\n")


def show(value: Any, as_json: bool, draw: Callable[[], None]) -> None:
    """The result as JSON, or drawn for people."""
    if as_json:
        say_json(value)
    else:
        draw()


def readable_json(value: Any) -> str:
    """Indented JSON with exact numbers."""
    try:
        return msgspec.json.format(exact_json.encode(value), indent=2).decode()
    except (OverflowError, RecursionError, TypeError, ValueError):
        # Integers beyond 64 bits and the like: rarer, slower, but still JSON.
        return json.dumps(value, indent=2, default=str, ensure_ascii=False)


def age(moment: datetime | None) -> str:
    """How long ago, for people: `3 min`."""
    if moment is None:
        return "-"
    return duration((datetime.now(UTC) - moment).total_seconds())


def duration(seconds: float) -> str:
    """A span of time for people, in its largest unit."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}" if seconds < 10 * size else f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def moment(at: datetime | None) -> str:
    """A moment in UTC, to the second."""
    return "-" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _kafka_away(said: object) -> str:
    return f"Kafka is away ({said}). Is it running? TILLSTREAM_KAFKA says where it is looked for"


def _no_setting(error: BaseException) -> str:
    return f"{error}. Or start a stack here with `make up`, which writes .local/stack/till.env"


# Order counts: a database that is away is also an OSError, so the ones that say more come first.
_FAULTS: tuple[tuple[tuple[type[BaseException], ...], int, Callable[[BaseException], str]], ...] = (
    ((SettingMissing,), USAGE, _no_setting),
    ((ConfigurationInvalid,), FAILED, lambda error: f"the configuration cannot be used:\n{error}"),
    ((UnknownVendor,), USAGE, str),
    ((TopicsDiffer, DatabaseAway), FAILED, str),
    (
        (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError),
        FAILED,
        lambda _: "the database has no schema, or an older one: run `till migrate`",
    ),
    (
        (asyncpg.InvalidCatalogNameError, asyncpg.InvalidAuthorizationSpecificationError),
        FAILED,
        lambda error: f"the database refuses us: {error}. Check TILLSTREAM_POSTGRES",
    ),
    ((KafkaAway,), FAILED, _kafka_away),
    (KAFKA_AWAY, FAILED, lambda error: _kafka_away(type(error).__name__)),
    (
        DATABASE_AWAY,
        FAILED,
        lambda error: f"the database went away ({type(error).__name__}): nothing is half done, try again",
    ),
)


def plainly(command: Callable[P, None]) -> Callable[P, None]:
    """A command whose faults end as a plain sentence and an exit code, never as a traceback."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except Failure as failure:
            _end(str(failure), failure.code)
        except KeyboardInterrupt:
            _end("stopped", FAILED)
        except Exception as error:
            for kinds, code, sentence in _FAULTS:
                if isinstance(error, kinds):
                    _end(sentence(error), code)
            raise

    return run


def _end(message: str, code: int) -> None:
    console(error=True).print(message, style="red", soft_wrap=True)
    raise typer.Exit(code)
