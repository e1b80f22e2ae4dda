"""A database with a clock for the runs of a session."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from deploy.local import Endpoints
from tests.conftest import _create
from tests.model.world import Stage


@pytest.fixture(scope="session")
def stage(stack: Endpoints, template: str, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """A fresh, migrated database that goes by a clock of the test's."""
    asyncio.run(_create(stack.postgres, "model", template))
    stage = Stage(f"{stack.postgres.rsplit('/', 1)[0]}/model", tmp_path_factory.mktemp("clock") / "now")
    stage.prepare()
    return stage
