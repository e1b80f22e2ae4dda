"""Every scenario of the bench runs, with almost nothing to do, and says something sane. No time is judged here."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from bench.__main__ import Measured, measure
from bench.duration import minutes
from bench.machine import machine
from bench.measuring import OURS, Comparison, Run, Spread, compare, compare_latencies
from bench.report import show, write
from bench.scenarios import SCENARIOS, comparisons
from bench.sizes import FULL, QUICK, TINY, Sizes
from bench.stand import BenchFailed, Stand
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
    found = [each async for several in comparisons(name, stand, TINY) for each in several]
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
        # Throughput alone is left where a run was too short for the CPU clock.
        assert len(spreads) >= (3 if set(comparison["ratios"]) == {"throughput"} else 5)
        for spread in spreads:
            assert 0 < spread["low"] <= spread["median"] <= spread["high"] < math.inf


async def test_what_is_through_survives_a_scenario_that_fails(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cases that a failing scenario had finished are kept, the next has its turn, and what failed is said."""
    half = Spread(0.5, 0.4, 0.6)

    def comparison(case: str) -> Comparison:
        return Comparison("either", case, "bare loop", {"throughput": half}, {}, {})

    async def fails(_stand: Stand, _sizes: Sizes) -> AsyncIterator[Sequence[Comparison]]:
        yield [comparison("its first case")]
        raise BenchFailed("the contestant fell over")

    async def works(_stand: Stand, _sizes: Sizes) -> Sequence[Comparison]:
        return [comparison("the other's")]

    monkeypatch.setattr("bench.scenarios.SCENARIOS", {"transform": fails, "engine": works})
    measured = Measured()
    await measure(["transform", "engine"], stand, TINY, measured)
    assert [each.case for each in measured.found] == ["its first case", "the other's"]
    assert measured.missing == {"transform": "the contestant fell over"}


def test_what_was_measured_before_an_interruption_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report and the table say which scenarios are missing and why."""
    half = Spread(0.5, 0.4, 0.6)
    found = [
        Comparison("engine", "no call", "bare loop", {"throughput": half}, {}, {"not_available": {"Peer": "no go"}})
    ]
    write(tmp_path / "report.json", found, machine(), 5, {"drain": "interrupted"})
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["not_measured"] == {"drain": "interrupted"}
    assert len(content["comparisons"]) == 1
    show(found, machine(), {"drain": "interrupted"})
    shown = capsys.readouterr().out
    assert "drain was not measured to its end: interrupted" in shown
    assert "Peer is not available: no go" in shown


@pytest.mark.parametrize("sizes", [FULL, QUICK, TINY])
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_says_how_long_it_takes(name: str, sizes: Sizes) -> None:
    """Between a few seconds and three quarters of an hour."""
    assert 0.05 < minutes(name, sizes) < 45


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


def test_memory_is_compared_where_it_was_looked_at() -> None:
    """Twice the memory is a ratio of two; without figures there is no such ratio."""
    looked = [{OURS: Run(100, 1, 1, memory_mb=200), "bare": Run(100, 1, 1, memory_mb=100)}]
    (found,) = compare("connections", "10 connections", looked)
    assert found.measures["memory"] == Spread(2.0, 2.0, 2.0)
    (without,) = compare("engine", "no call", [{OURS: Run(100, 1, 1), "bare": Run(100, 1, 1)}])
    assert set(without.measures) == {"throughput", "cpu"}


def test_cpu_is_compared_where_the_clock_could_tell() -> None:
    """A run too short for one tick of the CPU clock has no CPU ratio, and breaks nothing."""
    (found,) = compare("ingest", "1 KB", [{OURS: Run(60, 1, 0.01), "bare": Run(60, 1, 0.0)}])
    assert set(found.measures) == {"throughput"}
    assert set(found.absolute["bare"]) == {"events_per_second"}


def test_latencies_are_compared_within_a_round() -> None:
    """Twice as late in every round is a ratio of two, whatever the round."""
    rounds = [{OURS: [0.2 * slow, 0.4 * slow], "healthy": [0.1 * slow, 0.2 * slow]} for slow in (1, 7)]
    found = compare_latencies("isolation", "beside", "healthy", rounds)
    assert found.measures["latency_p50"].median == pytest.approx(2.0)
    assert found.absolute[OURS]["p99_ms"].high == pytest.approx(2800)


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
