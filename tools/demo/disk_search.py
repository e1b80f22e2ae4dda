"""Are the planted card numbers anywhere in what Tillstream keeps? Files are searched byte by byte."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.demo.planted_cards import PLANTS

_CHUNK = 8 * 1024 * 1024
_OVERLAP = 128


@dataclass(frozen=True)
class Search:
    """What was searched, and where something was found. `control`: plants seen at the vendors, where they belong."""

    planted: int
    files: int
    bytes: int
    tables: int
    found: tuple[str, ...]
    control: int

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return {
            "planted": self.planted, "files_searched": self.files, "bytes_searched": self.bytes,
            "tables_searched": self.tables, "found_in": list(self.found), "found_at_the_vendors": self.control,
        }  # fmt: skip


def _needles() -> tuple[bytes, ...]:
    return tuple(dict.fromkeys(needle.encode() for _, plant in PLANTS for needle in plant.needles))


def search(
    folders: Iterable[Path], tables: Mapping[str, bytes], targets: Mapping[str, bytes], sources: bytes
) -> Search:
    """Searches files, tables and the targets' stores; `sources` must hold every plant, or the search is blind."""
    needles = _needles()
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    found = [str(path) for path in files if _in_file(path, needles)]
    found += [f"table {name}" for name, content in tables.items() if _holds(content, needles)]
    found += [f"the store of {name}" for name, content in targets.items() if _holds(content, needles)]
    return Search(
        planted=len(PLANTS),
        files=len(files),
        bytes=sum(path.stat().st_size for path in files),
        tables=len(tables),
        found=tuple(found),
        control=sum(1 for _, plant in PLANTS if _holds(sources, tuple(n.encode() for n in plant.needles))),
    )


def _holds(content: bytes, needles: tuple[bytes, ...]) -> bool:
    return any(needle in content for needle in needles)


def _in_file(path: Path, needles: tuple[bytes, ...]) -> bool:
    end = b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            if _holds(end + chunk, needles):
                return True
            end = chunk[-_OVERLAP:]
    return False
