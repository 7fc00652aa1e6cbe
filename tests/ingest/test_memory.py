"""A worker's memory does not grow with the events that went through it (short form of `python -m bench.memory`).

Three models, so that their sketches are full size long before the end, and a short backlog: what grows then grows with
the events. The allocator comes to rest within the warm-up.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.fleet import Fleet
from bench.memory import MOST_GROWTH, resident_mb, run
from stream.garbage import give_back


@pytest.mark.stack
@pytest.mark.timeout(200)
async def test_memory_stays_flat(kafka: str, database_url: str, topic: str, tmp_path: Path) -> None:
    with Fleet(kafka, database_url, topic, tmp_path) as fleet:
        memory = await run(fleet, 300_000, step=5_000, models=3, warm_up=0.6, behind=10_000)
    assert memory.growth <= MOST_GROWTH, memory
    assert memory.peak < 300


def test_what_nobody_needs_any_more_goes_back_to_the_system() -> None:
    """Pieces of a backlog, of which a few stay in use here and there."""
    pieces = [bytes(1_000) for _ in range(100_000)]
    del pieces[1::2]
    kept = pieces[:: len(pieces) // 50]
    pieces.clear()
    before = resident_mb(os.getpid())
    give_back()
    assert resident_mb(os.getpid()) < before - 40
    assert len(kept) >= 50
