"""Mutation check: the code is broken on purpose, one promise at a time, and the named test has to notice.

    python -m tools.mutants [NAME...]

The list is `tests/mutations/mutations.yaml`. All is done in a temporary copy of the files that git tracks, with this
interpreter. First every named test must pass unbroken: one that always fails would prove nothing. Names may be parts.
Exit status: 0 all killed, 1 one survived or could not be judged, 2 no such mutation, or the list is stale.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
LIST = ROOT / "tests/mutations/mutations.yaml"
# Downloads of the local stack that tests may use and never change.
_SHARED = (".local/cache", ".local/toolchain")
# Seconds: longer than any of the tests takes, on a busy machine too.
_PATIENCE = 300
# What pytest says with its exit status.
_PASSED, _FAILED = 0, 1


class Stale(Exception):
    """The text of a mutation is not there exactly once: the code moved on, and the list has to follow."""


class Mutation(BaseModel):
    """One way to break a promise. `breaks` says which and what would come of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    breaks: str
    file: str
    replace: str
    by: str
    killed_by: str

    def applied(self, text: str) -> str:
        """The file's text, broken. Raises Stale."""
        found = text.count(self.replace)
        if found != 1:
            raise Stale(f"{self.name}: its text occurs {found} times in {self.file}, not once")
        broken = text.replace(self.replace, self.by)
        if broken == text:
            raise Stale(f"{self.name}: it changes nothing")
        return broken


@dataclass(frozen=True)
class Result:
    """What became of a mutation."""

    mutation: Mutation
    outcome: str
    seconds: float

    @property
    def killed(self) -> bool:
        """Whether the test noticed."""
        return self.outcome.startswith("killed")


def read_mutations(path: Path = LIST) -> list[Mutation]:
    """All mutations of the list; raises pydantic's ValidationError when one is incomplete or misspelt."""
    return TypeAdapter(list[Mutation]).validate_python(yaml.safe_load(path.read_text()))


def chosen(mutations: Sequence[Mutation], names: Sequence[str]) -> list[Mutation]:
    """Those whose name holds one of the names (all, when none is given); raises LookupError for one that fits none."""
    for name in names:
        if not any(name in mutation.name for mutation in mutations):
            raise LookupError(f"no mutation is called {name!r}; there are: {', '.join(m.name for m in mutations)}")
    return [mutation for mutation in mutations if not names or any(name in mutation.name for name in names)]


def copy_tree(destination: Path) -> None:
    """Copy every tracked file as it is in the working tree, and link the stack's downloads."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (source := ROOT / name).is_file():
            target = destination / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    for name in _SHARED:
        if (ROOT / name).exists():
            (destination / name).parent.mkdir(parents=True, exist_ok=True)
            (destination / name).symlink_to(ROOT / name)


def run_tests(tree: Path, tests: Sequence[str]) -> int | None:
    """The exit status of pytest in that tree, or None when it did not end."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--no-header", *tests]
    # Bytecode is recognised by time and size: a mutation of the same length within a second would go unseen.
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    with (tree / "pytest.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=tree, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            return process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.poll() is None:
                # Interrupted, pytest takes its broker and database down; that may last a moment.
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(60)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()


def said(tree: Path) -> str:
    """The end of what pytest wrote."""
    return (tree / "pytest.log").read_text(errors="replace")[-3000:]


def attempt(mutation: Mutation, tree: Path) -> Result:
    """Break the copy, run the test, mend the copy. Raises Stale."""
    file = tree / mutation.file
    sound = file.read_text()
    broken = mutation.applied(sound)
    started = time.monotonic()
    try:
        file.write_text(broken)
        status = run_tests(tree, [mutation.killed_by])
    finally:
        file.write_text(sound)
    # Only a test that ran and failed has noticed: a tree that cannot be imported fails every test.
    outcome = {_FAILED: "killed", _PASSED: "SURVIVED", None: "killed (never ended)"}.get(status, f"ERROR {status}")
    return Result(mutation, outcome, time.monotonic() - started)


def show(results: Sequence[Result], console: Console) -> None:
    """The table."""
    table = Table("mutation", "outcome", "seconds", "test")
    for result in results:
        colour = "green" if result.killed else "bold red"
        table.add_row(
            result.mutation.name, f"[{colour}]{result.outcome}[/]", f"{result.seconds:.1f}",
            result.mutation.killed_by.split("::")[-1],
        )  # fmt: skip
    console.print(table)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="names of mutations, or parts of them; none: all")
    console = Console()
    try:
        mutations = chosen(read_mutations(), parser.parse_args(arguments).names)
        for mutation in mutations:
            mutation.applied((ROOT / mutation.file).read_text())
    except (LookupError, Stale) as error:
        console.print(str(error), markup=False)
        return 2
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder)
        copy_tree(tree)
        tests = sorted({mutation.killed_by for mutation in mutations})
        console.print(f"{len(tests)} tests on sound code ...")
        if run_tests(tree, tests) != _PASSED:
            console.print(f"they do not pass unbroken, so they prove nothing:\n{said(tree)}", markup=False)
            return 1
        results = []
        for mutation in mutations:
            results.append(attempt(mutation, tree))
            console.print(f"{results[-1].outcome:>20}  {mutation.name}", markup=False)
            if results[-1].outcome.startswith("ERROR"):
                console.print(said(tree), markup=False)
    show(results, console)
    survivors = [result for result in results if not result.killed]
    for result in survivors:
        console.print(f"{result.mutation.name} would break {result.mutation.breaks}", markup=False)
    console.print(f"{len(results) - len(survivors)} of {len(results)} killed")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
