"""The documents: links that lead somewhere, commands that exist, tables that are there."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.main import get_command

from libs.runtime.database.migrations.versions import __path__ as versions_path
from libs.runtime.telemetry import metrics
from services.ops.till import app
from tests.deploy.composition import ROOT

DOCUMENTS = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "CONTRIBUTING.md"])
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_BLOCK = re.compile(r"(?ms)^```[a-z]*\n(.*?)^```")


@cache
def anchors(document: Path) -> frozenset[str]:
    """The fragments that lead into a document, as GitHub makes them from headings, and explicit ones."""
    text = document.read_text()
    found = set(re.findall(r'<a id="([^"]+)">', text))
    for heading in re.findall(r"(?m)^#+ (.+)$", text):
        found.add(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-"))
    return frozenset(found)


@each_document
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link names a file, and every fragment a heading of it."""
    for link in _LINK.findall(document.read_text()):
        path, _, fragment = link.partition("#")
        if link.startswith(("http://", "https://")):
            continue
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), f"{link} leads nowhere"
        assert not fragment or fragment in anchors(target), f"{link}: no such heading"


def _commands(document: Path) -> list[str]:
    text = document.read_text()
    lines = [line.strip() for block in _BLOCK.findall(text) for line in block.splitlines()]
    spoken = [*_CODE.findall(_BLOCK.sub("", text)), *lines]
    return [line for line in spoken if line.startswith("till ")]


@each_document
def test_commands_of_till_exist(document: Path) -> None:
    """Each command is one of `till`, with options that it has."""
    for line in _commands(document):
        command: Any = get_command(app)
        # A description follows the command after some blanks.
        words = shlex.split(re.split(r"\s{3,}", line)[0])[1:]
        while words and hasattr(command, "commands") and not words[0].startswith("-"):
            assert words[0] in command.commands, f"{line!r}: there is no {words[0]!r}"
            command, words = command.commands[words[0]], words[1:]
        known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
        assert {word for word in words if word.startswith("--")} <= known, line


def test_commands_are_found_at_all() -> None:
    """The check above looks at something."""
    assert len(_commands(ROOT / "docs/operations.md")) > 15


@each_document
def test_targets_of_make_exist(document: Path) -> None:
    """Each `make x` is in the Makefile."""
    there = set(re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text()))
    named = set(re.findall(r"`make ([a-z]+)", document.read_text()))
    assert named <= there


@each_document
def test_metrics_that_are_named_exist(document: Path) -> None:
    """Each metric is one that is exported."""
    exported = Path(metrics.__file__).read_text()
    for name in re.findall(r"`(tillstream_[a-z_]+)`", document.read_text()):
        assert f'"{name}"' in exported


def test_every_table_has_its_writer() -> None:
    """The table of tables in architecture.md names all that the migrations make, and no other."""
    migrations = "".join(path.read_text() for path in Path(next(iter(versions_path))).glob("*.py"))
    made = set(re.findall(r"create table (?:if not exists )?(\w+)", migrations))
    section = (ROOT / "docs/architecture.md").read_text().partition("## Tables")[2].partition("\n## ")[0]
    named = {name for row in re.findall(r"(?m)^\| (`[^|]+) \|", section) for name in _CODE.findall(row)}
    assert named == made


def test_every_decision_is_listed_and_whole() -> None:
    """The list names each page, and each page has its four parts."""
    pages = sorted(path for path in (ROOT / "docs/decisions").glob("[0-9]*.md"))
    listed = _LINK.findall((ROOT / "docs/decisions/README.md").read_text())
    assert listed == [page.name for page in pages]
    for number, page in enumerate(pages, start=1):
        text = page.read_text()
        assert page.name.startswith(f"{number:04}-")
        assert re.findall(r"(?m)^\*\*(\w+)\.\*\*", text) == ["Context", "Decision", "Why", "Consequences"]


def test_the_picture_is_well_formed() -> None:
    """GitHub shows no SVG that is not, and people who cannot see it are told what it shows."""
    picture = ElementTree.parse(ROOT / "docs/architecture.svg").getroot()
    names = {child.tag.partition("}")[2] for child in picture}
    assert {"title", "desc"} <= names
