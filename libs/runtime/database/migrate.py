"""Bringing a database to the newest schema: `python -m libs.runtime.database.migrate`."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config

from libs.runtime.settings import read_settings

_FOLDER = Path(__file__).parent / "migrations"


def migrate(dsn: str) -> None:
    """Apply what is missing; does nothing to a database that is up to date. Safe to run from several places."""
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.attributes["dsn"] = dsn
    command.upgrade(config, "head")


if __name__ == "__main__":
    migrate(read_settings().postgres)
