"""Every scenario of the bench runs, with almost nothing to do, and says something sane. No time is judged here."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bench.machine import machine
from bench.measuring import OURS, Comparison, Run, Spread, compare
from bench.report import show, write
from bench.scenarios import SCENARIOS
from bench.sizes import TINY
from bench.stand import Stand
from deploy.local import wipe


@pytest.fixture(scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    """A Kafka and a PostgreSQL for the bench alone."""
    found = Stand(tmp_path_factory.mktemp("bench"))
    await found.open()
    yield found
    await found.close()
    wipe(found.folder / "stack")


@pytest.mark.parametrize("name", SCENARIOS)
async def test_scenario_measures_ours_and_another(name: str, stand: Stand, tmp_path: Path) -> None:
    """Each comparison has ratios and absolute figures of both sides, all finite and above nothing."""
    found = await SCENARIOS[name](stand, TINY)
    report = tmp_path / "report.json"
    write(report, found, machine(), TINY.rounds)
    content = json.loads(report.read_text())
    assert content["machine"]["cores"] >= 1
    assert content["comparisons"]
    for comparison in content["comparisons"]:
        assert comparison["scenario"] == name
        assert set(comparison["absolute"]) == {OURS, comparison["against"]}
        spreads = [*comparison["ratios"].values()]
        spreads += [spread for figures in comparison["absolute"].values() for spread in figures.values()]
        assert len(spreads) >= 6
        for spread in spreads:
            assert 0 < spread["low"] <= spread["median"] <= spread["high"] < math.inf


def test_ratios_are_taken_within_a_round() -> None:
    """A slow hour hits both sides of its round: the ratio of every round here is one half, and so is the median."""
    rounds = [
        {OURS: Run(100, seconds, cpu_seconds=0.4), "bare": Run(100, seconds / 2, cpu_seconds=0.1)}
        for seconds in (1.0, 10.0, 3.0)
    ]
    (found,) = compare("engine", "no call", rounds)
    assert found.measures["throughput"] == Spread(0.5, 0.5, 0.5)
    assert found.measures["cpu"] == Spread(4.0, 4.0, 4.0)
    assert found.absolute[OURS]["events_per_second"] == Spread(100 / 3, 10.0, 100.0)


def test_table_shows_both_sides(capsys: pytest.CaptureFixture[str]) -> None:
    """A reader finds the case, its opponent and the ratio."""
    half = Spread(0.5, 0.4, 0.6)
    comparison = Comparison(
        "transform", "Square sale", "bare loop", {"throughput": half}, {OURS: {"events_per_second": half}}, {}
    )
    show([comparison], machine())
    shown = capsys.readouterr().out
    assert "Square sale" in shown
    assert "bare loop" in shown
    assert "0.50" in shown
