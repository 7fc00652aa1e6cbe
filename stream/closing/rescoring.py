"""What would past days say against another baseline version? Nothing is stored.

A day is scored by counters where they cover it for that version, else from its merged sketches; each row says which.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date
from typing import Any

import msgspec

from stream.closing.errors import UnknownDaysError, UnknownVersionError
from stream.closing.scoring import ScoringBaseline, result_of
from stream.store.baselines import read_baseline, read_baseline_features
from stream.store.closing import read_days_on
from stream.store.pool import Connection
from stream.store.results import ModelDayResult
from stream.store.snapshot import ModelDayKey, read_counts, read_state


async def score_against(
    connection: Connection, project_id: str, model_id: str, endpoint: str, version: int, days: Sequence[date]
) -> list[dict[str, Any]]:
    """The drift rows of the days against a version, the newest day first. The connection sees one instant.

    Raises
    ------
    UnknownVersionError, UnknownDaysError
    """
    key = (project_id, model_id, endpoint)
    stored = await read_baseline(connection, *key, version)
    if stored is None:
        raise UnknownVersionError(model_id, endpoint, version)
    baseline = ScoringBaseline.of(stored, await read_baseline_features(connection, *key, version))
    rows: list[dict[str, Any]] = []
    for day in reversed(await read_days_on(connection, project_id, days)):
        model_day = ModelDayKey(*key, day.key.day_start)
        state = await read_state(connection, model_day, day)
        if state.events:
            counts = await read_counts(connection, model_day, version)
            rows += _rows(await asyncio.to_thread(result_of, state, baseline, counts))
    if not rows:
        raise UnknownDaysError(model_id, endpoint, days)
    return rows


def _rows(result: ModelDayResult) -> list[dict[str, Any]]:
    state = result.state
    day = state.project_day
    shared = {
        "project_id": state.key.project_id,
        "model_id": state.key.model_id,
        "endpoint": state.key.endpoint,
        "day": day.day,
        "day_start": day.key.day_start,
        "day_end": day.day_end,
        "zone": day.zone,
        "revision": day.revision,
        "status": "final" if day.revision else "provisional",
        "baseline_version": result.baseline_version,
        "baseline_overlaps": result.baseline_overlaps,
    }
    return [
        {
            **{name: getattr(row, name) for name in _COLUMNS},
            **shared,
            "bins": None if row.bins is None else msgspec.json.decode(row.bins),
        }
        for row in result.features
    ]


_COLUMNS = (
    "feature", "kind", "n", "missing", "missing_rate", "rank_error", "method", "verdict", "psi", "psi_expected",
    "chi_square", "degrees_of_freedom", "p_value", "q_value", "js_distance", "l_infinity", "warning", "drift",
)  # fmt: skip
