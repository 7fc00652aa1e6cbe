"""Workers that are killed lose nothing and count nothing twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.fleet import Fleet
from bench.kills import run
from tests.conftest import as_role

EVENTS = 100_000
KILLS = 10


@pytest.mark.stack
@pytest.mark.timeout(280)
async def test_killed_workers_leave_the_state_of_a_run_without_faults(
    kafka: str, database_url: str, topic: str, tmp_path: Path
) -> None:
    """Two workers, kill -9 at random moments and at known ones, between the two commits among them."""
    with Fleet(kafka, as_role(database_url, "ml_guard_worker"), topic, tmp_path) as fleet:
        result = await run(fleet, EVENTS, kills=KILLS, seed=7, every_s=(0.6, 1.6), rate=5_000, wait_s=120.0)
    assert result.wrong == []
    assert result.kills + len(result.failpoints) >= KILLS
    assert "after_database_commit" in result.failpoints
