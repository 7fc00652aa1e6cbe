"""Everything at once, under a steady load: `python -m bench.soak` is the long form, with what each process holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.fleet import Fleet
from bench.soak import Options, Run
from bench.soak_result import OK
from tests.chaos.lasting import lasting


@pytest.mark.chaos
@pytest.mark.stack
@pytest.mark.timeout(lasting(400, 900))
async def test_workers_killed_in_turn_while_all_is_in_use_change_no_count(
    kafka: str, database_url: str, topic: str, tmp_path: Path
) -> None:
    options = Options(lasting(20, 300), rate=2_000, kill_every_s=lasting(5, 30), judges_growth=False)
    with Fleet(kafka, database_url, topic, tmp_path / "workers") as fleet:
        result = await Run(fleet, {}, tmp_path, options)()
    assert result.wrong == []
    assert result.kills >= 3
    assert min(result.bridged, result.read[OK], result.opened[OK]) > 0, "not all was in use"
