"""Which rows does the calculation of a model-day need, and which baseline version is the day scored against?"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

from stream.closing.scoring import ScoringBaseline, result_of
from stream.store.baselines import Baseline, baseline_versions, read_baseline_features
from stream.store.closing import ProjectDay
from stream.store.pool import Connection
from stream.store.results import ModelDayResult
from stream.store.snapshot import (
    ModelDayKey,
    ModelDayState,
    PreviousResult,
    ShardCounts,
    read_counts,
    read_previous,
    read_state,
)
from stream.weekdays import version_on

_BASELINES_KEPT = 256
"""Unpacked baselines in memory, some 100 KB each; a version never changes, so only memory limits them."""

_CacheKey = tuple[str, str, str, int | None, datetime | None, bool]


class CalculationError(Exception):
    """A model-day cannot be calculated, e.g. because a stored sketch is damaged; the others go on without it."""

    def __init__(self, key: ModelDayKey, error: Exception) -> None:
        super().__init__(
            f"project {key.project_id!r}, model {key.model_id!r}, endpoint {key.endpoint!r}, day that began at "
            f"{key.day_start.isoformat()} cannot be calculated ({type(error).__name__}: {error}): its results stay as "
            "they are and its day stays open; restore its rows of ml_guard.day_sketch, or delete them"
        )


@dataclass(frozen=True)
class Calculation:
    """Everything that a model-day's result is made of."""

    state: ModelDayState
    baseline: ScoringBaseline | None
    counts: tuple[ShardCounts, ...]

    def result(self) -> ModelDayResult:
        """Calculate it; takes milliseconds, touches nothing.

        Raises
        ------
        CalculationError
            Whatever is wrong with the rows: one model-day must not stop the others.
        """
        try:
            return result_of(self.state, self.baseline, self.counts)
        except Exception as error:
            raise CalculationError(self.state.key, error) from error


def choose_version(
    state: ModelDayState, previous: PreviousResult | None, versions: list[Baseline]
) -> Baseline | None:
    """The version that a day is scored against.

    A day that has closed stays with the version that it closed with, even none. An open one has the lowest version
    that a shard began it with; if none did, the active one of its weekday.
    """
    stored = {found.version: found for found in versions if found.version is not None}
    if previous is not None and previous.revision > 0:
        if previous.baseline_version is None:
            return None
        wanted: int | None = previous.baseline_version
    else:
        wanted = state.pinned_version
    if wanted not in stored:
        active = [(found.version, found.weekdays) for found in versions if found.active and found.version]
        wanted = version_on(state.project_day.day, active)
    return None if wanted is None else stored[wanted]


class StateReader:
    """Reads model-days with the baseline that they are scored against; keeps unpacked baselines."""

    def __init__(self) -> None:
        self._baselines: OrderedDict[_CacheKey, ScoringBaseline] = OrderedDict()

    async def read(self, connection: Connection, key: ModelDayKey, day: ProjectDay) -> Calculation:
        """One model-day. The connection must be in a transaction that sees one instant."""
        state = await read_state(connection, key, day)
        versions = await baseline_versions(connection, key.project_id, key.model_id, key.endpoint)
        previous = await read_previous(connection, key) if day.revision > 0 else None
        chosen = choose_version(state, previous, versions)
        if chosen is None or chosen.version is None:
            return Calculation(state, None, ())
        counts = await read_counts(connection, key, chosen.version)
        return Calculation(state, await self._unpacked(connection, chosen), counts)

    async def _unpacked(self, connection: Connection, baseline: Baseline) -> ScoringBaseline:
        # `captured_at` tells apart versions of a project that was deleted and made anew; labels may become hashes.
        key = (
            baseline.project_id,
            baseline.model_id,
            baseline.endpoint,
            baseline.version,
            baseline.captured_at,
            baseline.labels_hashed,
        )
        found = self._baselines.get(key)
        if found is None:
            assert baseline.version is not None  # it was stored
            rows = await read_baseline_features(
                connection, baseline.project_id, baseline.model_id, baseline.endpoint, baseline.version
            )
            found = self._baselines[key] = ScoringBaseline.of(baseline, rows)
            if len(self._baselines) > _BASELINES_KEPT:
                self._baselines.popitem(last=False)
        self._baselines.move_to_end(key)
        return found
