"""Running `till` inside a test, as a person at a terminal would."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from typer.testing import CliRunner

from services.ops.till import app


@dataclass(frozen=True)
class Said:
    """What came of one command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


def till(*arguments: str, given: str | None = None) -> Said:
    """Run one command; an exception that is not an exit fails the test."""
    result = CliRunner().invoke(app, list(arguments), input=given)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Said(result.exit_code, result.stdout, result.stderr)


async def till_aside(*arguments: str) -> Said:
    """The same from a test that has an event loop running."""
    return await asyncio.to_thread(till, *arguments)
