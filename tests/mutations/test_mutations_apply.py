"""The list of mutations stays true: each still applies, compiles, and names a test that exists."""

from __future__ import annotations

import ast
from collections import Counter

import pytest

from tools.mutants import ROOT, Mutation, Stale, chosen, main, read_mutations

MUTATIONS = read_mutations()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_each_applies_to_the_code_as_it_is(mutation: Mutation) -> None:
    """Its text is there once, and the broken file is still Python: only then is a failing test a verdict."""
    broken = mutation.applied((ROOT / mutation.file).read_text())
    assert ast.dump(ast.parse(broken)) != ast.dump(ast.parse((ROOT / mutation.file).read_text()))


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_each_names_a_test_that_exists(mutation: Mutation) -> None:
    """File and function are there."""
    file, _, function = mutation.killed_by.partition("::")
    tree = ast.parse((ROOT / file).read_text())
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert function.partition("[")[0] in functions


def test_names_are_unique() -> None:
    """A name on the command line means one mutation."""
    assert [name for name, times in Counter(m.name for m in MUTATIONS).items() if times > 1] == []


def test_the_promises_that_matter_most_are_covered() -> None:
    """Durability, accounting, one effect, order, outage, books: at least one mutation each."""
    broken = {promise for mutation in MUTATIONS for promise in mutation.breaks.partition(",")[0].split()}
    assert broken >= {"P1", "P2", "P3", "P4", "P5", "P8"}


def test_a_stale_mutation_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Text that is gone, that is there twice, or that is replaced by itself judges nothing."""
    mutation = Mutation(name="m", breaks="", file="f", replace="a", by="b", killed_by="t")
    assert mutation.applied("xay") == "xby"
    for text in ("xy", "aa"):
        with pytest.raises(Stale, match="not once"):
            mutation.applied(text)
    with pytest.raises(Stale, match="nothing"):
        mutation.model_copy(update={"by": "a"}).applied("a")
    assert main(["no such mutation"]) == 2
    assert "there are: commit before complete" in capsys.readouterr().out.replace("\n", " ")


def test_mutations_are_chosen_by_part_of_their_name() -> None:
    """None named: all."""
    assert chosen(MUTATIONS, []) == MUTATIONS
    assert {m.name for m in chosen(MUTATIONS, ["401"])} == {
        "401 as poison, by status", "401 as poison, without a probe",
    }  # fmt: skip
