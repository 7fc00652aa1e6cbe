"""A worker's memory does not grow with the events that went through it (short form of `python -m bench.memory`).

Three models, so that their sketches are full size long before the end: what grows then grows with the events.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.fleet import Fleet
from bench.memory import MOST_GROWTH, run


@pytest.mark.stack
@pytest.mark.timeout(200)
async def test_memory_stays_flat(kafka: str, database_url: str, topic: str, tmp_path: Path) -> None:
    with Fleet(kafka, database_url, topic, tmp_path) as fleet:
        memory = await run(fleet, 80_000, step=10_000, models=3)
    assert memory.growth <= MOST_GROWTH, memory
    assert memory.peak < 300
