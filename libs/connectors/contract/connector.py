"""A connector: the value that a vendor's folder exports as `connector`, and how all of them are found."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from libs.connectors.contract.manifest import Manifest
from libs.connectors.contract.simulator import Simulator
from libs.connectors.contract.source import Source
from libs.connectors.contract.target import Target

FOLDER = Path(__file__).parent.parent


@dataclass(frozen=True)
class Connector:
    """Everything Tillstream knows of one vendor."""

    manifest: Manifest
    folder: Path
    simulator: Callable[[], Simulator]
    source: Source | None = None
    target: Target | None = None


class UnknownVendor(LookupError):
    """There is no connector of that name; the message lists those there are."""


@cache
def connectors() -> Mapping[str, Connector]:
    """All connectors by vendor name: every folder here that has a manifest."""
    found = {}
    for manifest in sorted(FOLDER.glob("*/manifest.yaml")):
        vendor = manifest.parent.name
        module = importlib.import_module(f"libs.connectors.{vendor}")
        found[vendor] = module.connector
    return found


def connector(vendor: str) -> Connector:
    """The connector of that vendor; raises UnknownVendor."""
    try:
        return connectors()[vendor]
    except KeyError:
        known = ", ".join(connectors()) or "none"
        raise UnknownVendor(f"no connector is called {vendor!r}; there are: {known}") from None
