"""A database with a clock for the runs of a session."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import Endpoints
from tests.conftest import _create
from tests.model.flavours import Flavour
from tests.model.world import Begin, ModelWorld, Stage

_worlds = itertools.count(1)  # all runs of a session share a database


@pytest.fixture(scope="session")
def stage(stack: Endpoints, template: str) -> Iterator[Stage]:
    """A fresh, migrated database that goes by a clock of the test's."""
    asyncio.run(_create(stack.postgres, "model", template))
    # Not below pytest's folder: PostgreSQL may run as a user who cannot enter it.
    with tempfile.NamedTemporaryFile(prefix="tillstream-clock-") as file:
        Path(file.name).chmod(0o644)
        stage = Stage(f"{stack.postgres.rsplit('/', 1)[0]}/model", Path(file.name))
        stage.prepare()
        yield stage


@pytest.fixture
def begin(stage: Stage, request: pytest.FixtureRequest) -> Iterator[Begin]:
    """Begins a run that is named for the test."""
    worlds: list[ModelWorld] = []

    def beginning(flavour: Flavour) -> ModelWorld:
        name = request.node.name.removeprefix("test_").replace("_", "-")[:26].rstrip("-")
        worlds.append(ModelWorld(stage, f"{flavour}-{name}-{next(_worlds)}", flavour, seed=1))
        return worlds[-1]

    yield beginning
    for world in worlds:
        world.close()
