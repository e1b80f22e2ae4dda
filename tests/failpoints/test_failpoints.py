"""A crash at every dangerous place, on a real broker and a real PostgreSQL, counted at the targets; the short form.

`TILLSTREAM_FAILPOINT_EXITS`, `TILLSTREAM_FAILPOINT_KILLS` and `SEED` make it longer and repeat it, as
`python -m tests.failpoints` does.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from tests.failpoints.ground import Ground
from tests.failpoints.report import table
from tests.failpoints.trial import BOOKS_PLACES, ENGINE_PLACES, Row, Trial, rows_of

EXITS = int(os.environ.get("TILLSTREAM_FAILPOINT_EXITS", "3"))
KILLS = int(os.environ.get("TILLSTREAM_FAILPOINT_KILLS", "1"))
SEED = int(os.environ.get("SEED", "1"))
# Seconds for the lives of one place and what comes before and after them, on a busy machine.
_PATIENCE = 600 + 20 * (EXITS + KILLS) * len(ENGINE_PLACES)


async def _try(folder: Path, rows: list[Row], **target_options: object) -> None:
    async with Ground(folder, {row.service: row.target for row in rows if row.target != "books"}) as ground:
        for row in rows:
            if target_options:
                ground.targets.simulators[row.service].configure(target_options)
        await Trial(ground, rows, exits=EXITS, kills=KILLS, seed=SEED, minutes=math.inf, say=print).run()
    print(table(rows))


@pytest.mark.timeout(_PATIENCE)
async def test_of_a_delivery(tmp_path: Path) -> None:
    """Wherever a sink dies, every event has its effect once and in order, and every refused one its dead letter."""
    rows = rows_of(list(ENGINE_PLACES))
    await _try(tmp_path, rows)
    assert [row for row in rows if not row.findings.none] == [], table(rows)
    assert {row.place: sum(r.exits for r in rows if r.place == row.place) for row in rows} == dict.fromkeys(
        ENGINE_PLACES, EXITS
    )
    assert sum(row.kills for row in rows) == KILLS * len(ENGINE_PLACES)


@pytest.mark.timeout(_PATIENCE)
async def test_of_a_day_close(tmp_path: Path) -> None:
    """Wherever the books die, every fact is in one revision of its day, and each revision is posted once."""
    rows = rows_of(list(BOOKS_PLACES))
    await _try(tmp_path, rows)
    assert [row for row in rows if not row.findings.none] == [], table(rows)
    assert [(row.exits, row.kills) for row in rows] == [(EXITS, KILLS)] * len(BOOKS_PLACES)


@pytest.mark.timeout(_PATIENCE)
async def test_a_second_effect_would_be_seen(tmp_path: Path) -> None:
    """The counting can fail: a vendor that breaks its word and forgets its request ids at once gets receipts twice."""
    [row] = [row for row in rows_of(["after_send"]) if row.target == "quickbooks"]
    await _try(tmp_path, [row], request_id_seconds=0)
    # What else such a vendor brings about (events refused because their object is there twice) is not judged.
    assert row.findings.doubled > 0
