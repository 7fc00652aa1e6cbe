"""How do two selections of days differ: champion and challenger, staging and production, this week and last?

The stored sketches of each side's days are merged; the first side's bins are frozen as a baseline's would be, and the
second is scored in them as a day is. So the statistics are those of drift, and as exact as merged sketches are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from stream.closing.capture import Window, freeze_window
from stream.closing.errors import UnknownDaysError, UnknownModelError
from stream.closing.scoring import ScoringBaseline, merge_shards, result_of
from stream.store.baselines import read_settings
from stream.store.closing import ProjectDay, read_days_on
from stream.store.pool import Connection
from stream.store.reading import REACH
from stream.store.results import FeatureRow, MetricRow
from stream.store.snapshot import ModelDayKey, ModelDayState, read_state

DAYS = 7
"""The newest days that are taken where none are named."""
DAYS_MOST = 92
"""A quarter; a day of a model with 50 features in four shards is about 1 MB of sketches."""


@dataclass(frozen=True)
class Selection:
    """Days of a model's endpoint, both ends included; without them the newest `DAYS`."""

    project_id: str
    model_id: str
    endpoint: str
    first: date | None = None
    last: date | None = None


@dataclass(frozen=True)
class Side:
    """What a selection came to."""

    project_id: str
    model_id: str
    endpoint: str
    days: tuple[date, ...]
    metric: MetricRow


@dataclass(frozen=True)
class Pair:
    """A feature on both sides; `b` has the score in the bins of `a`."""

    b: FeatureRow
    a: FeatureRow | None


@dataclass(frozen=True)
class Comparison:
    """Both sides and their features, and the largest error of a rank that merging sketches left."""

    a: Side
    b: Side
    features: tuple[Pair, ...]
    exact: bool
    rank_error: float


async def compare(connection: Connection, a: Selection, b: Selection) -> Comparison:
    """Compare `b` with `a`. The connection must be in a transaction that sees one instant.

    Raises
    ------
    UnknownModelError, UnknownDaysError, NothingToCaptureError
    """
    settings = await read_settings(connection, a.project_id)
    first, second = await _read(connection, a), await _read(connection, b)
    return await asyncio.to_thread(_compared, a, b, first, second, settings)


def _compared(
    a: Selection, b: Selection, first: _Days, second: _Days, settings: Sequence[object]
) -> Comparison:
    window = Window(
        list(first.days),
        events=sum(row.n for row in first.state.events),
        features=merge_shards(first.state.sketches),
        settings=list(settings),  # type: ignore[arg-type]
    )
    frozen = freeze_window(window, (a.project_id, a.model_id, a.endpoint))
    bins = {one.feature: one.frozen_bins() for one in frozen.features}
    baseline = ScoringBaseline(0, frozenset(), {one.feature: one for one in frozen.features}, bins)
    before, after = result_of(first.state, None), result_of(second.state, baseline)
    there = {(row.feature, row.kind): row for row in before.features}
    pairs = tuple(Pair(row, there.get((row.feature, row.kind))) for row in after.features)
    rows = [*before.features, *(row for row in after.features if row.n)]
    return Comparison(
        Side(a.project_id, a.model_id, a.endpoint, first.dates, before.metric),
        Side(b.project_id, b.model_id, b.endpoint, second.dates, after.metric),
        pairs,
        all(row.exact for row in rows),
        max((row.rank_error or 0.0 for row in rows), default=0.0),
    )


@dataclass(frozen=True)
class _Days:
    """Several days as if they were one."""

    days: tuple[ProjectDay, ...]
    state: ModelDayState

    @property
    def dates(self) -> tuple[date, ...]:
        return tuple(day.day for day in self.days)


async def _read(connection: Connection, which: Selection) -> _Days:
    dates = await _dates(connection, which)
    found: list[tuple[ProjectDay, ModelDayState]] = []
    for day in await read_days_on(connection, which.project_id, dates):
        key = ModelDayKey(which.project_id, which.model_id, which.endpoint, day.key.day_start)
        state = await read_state(connection, key, day)
        if state.events:
            found.append((day, state))
    if not found:
        raise UnknownDaysError(which.model_id, which.endpoint, dates)
    whole = ModelDayState(
        found[0][1].key,
        found[0][0],
        tuple(row for _, state in found for row in state.events),
        tuple(row for _, state in found for row in state.sketches),
    )
    return _Days(tuple(day for day, _ in found), whole)


async def _dates(connection: Connection, which: Selection) -> list[date]:
    """The newest days with events in the range, as many as may be read."""
    rows = await connection.fetch(
        """select distinct day from ml_guard.day_sketch
           where project_id = $1 and model_id = $2 and endpoint = $3 and feature = '@events' and kind = 'events'
             and ($4::date is null or (day >= $4 and day_start >= $4::date - $7::interval))
             and ($5::date is null or (day <= $5 and day_start < $5::date + $7::interval))
           order by day desc limit $6""",
        which.project_id,
        which.model_id,
        which.endpoint,
        which.first,
        which.last,
        DAYS if which.first is None and which.last is None else DAYS_MOST,
        REACH + timedelta(days=1),
    )
    if not rows:
        if which.first is None and which.last is None:
            raise UnknownModelError(which.project_id, which.model_id, which.endpoint)
        raise UnknownDaysError(
            which.model_id, which.endpoint, [day for day in (which.first, which.last) if day]
        )
    return [row["day"] for row in rows]
