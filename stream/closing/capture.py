"""How does an explicit window of closed days become a baseline version?

The days' sketches are merged over days and shards, and the bins frozen from them with the project's settings of that
moment. Closed days do not change under the capture: it looks again, in the transaction that writes, whether each is
still of the revision that was read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Any, Protocol

from stream.bins import Kind, freeze
from stream.closing.choices import choices_for, choose_kind
from stream.closing.errors import (
    CaptureRacedError,
    NoDaysError,
    NothingToCaptureError,
    OpenDaysError,
    UnknownDaysError,
    UnknownModelError,
    UnknownVersionError,
)
from stream.closing.groups import partition, refuse_few_events, warnings_of
from stream.closing.reference import QUANTILES
from stream.closing.scoring import MergedFeature, merge_shards
from stream.sketches import NumericSketch
from stream.store.baselines import (
    Baseline,
    BaselineFeature,
    FeatureSetting,
    ask_for_rollup,
    insert_baseline,
    lock_model,
    read_settings,
    set_active,
)
from stream.store.closing import ProjectDay, ProjectDayKey, read_days_on, read_project_days
from stream.store.pool import Connection
from stream.store.snapshot import ModelDayKey, read_state, repeatable
from stream.weekdays import Weekdays

CapturedFeature = BaselineFeature


class Database(Protocol):
    """A pool, or anything else that lends connections."""

    def acquire(self) -> AbstractAsyncContextManager[Any]:
        """A connection for the time of a `with`."""


@dataclass(frozen=True)
class Captured(Baseline):
    """A baseline with its features; `version` is None for a preview."""

    features: tuple[CapturedFeature, ...] = ()


@dataclass(frozen=True)
class CapturedByWeekday:
    """A baseline for each group of weekdays, and what is to be said of groups with little in them."""

    items: tuple[Captured, ...]
    warnings: tuple[str, ...]


@dataclass
class Window:
    """The merged days."""

    days: list[ProjectDay]
    weekdays: Weekdays = None
    events: int = 0
    features: dict[tuple[str, str], MergedFeature] = field(default_factory=dict)
    settings: list[FeatureSetting] = field(default_factory=list)


async def capture(
    database: Database,
    project_id: str,
    model_id: str,
    endpoint: str,
    days: Sequence[date],
    *,
    captured_by: str,
    note: str = "",
) -> Captured:
    """Store the next version and make it the one active baseline; open days are scored against it.

    Raises
    ------
    CaptureError
        As `stream.closing.errors` draws them; nothing was stored.
    """
    key = (project_id, model_id, endpoint)
    windows = [await _read(database, key, days)]
    return (await _store(database, key, windows, await _frozen(key, windows), captured_by, note))[0]


async def preview(
    database: Database, project_id: str, model_id: str, endpoint: str, days: Sequence[date]
) -> Captured:
    """What `capture` would store.

    Raises
    ------
    CaptureError
        As `capture` does.
    """
    key = (project_id, model_id, endpoint)
    return (await _frozen(key, [await _read(database, key, days)]))[0]


async def capture_by_weekday(
    database: Database,
    project_id: str,
    model_id: str,
    endpoint: str,
    days: Sequence[date],
    groups: Sequence[Sequence[int]],
    *,
    captured_by: str,
    note: str = "",
) -> CapturedByWeekday:
    """Store a version for each group of weekdays, from those of the days that are its own, all or none.

    Each becomes the active one of its weekdays; active ones that share a weekday with it are ended.

    Parameters
    ----------
    groups : sequence of sequence of int
        ISO weekdays, Monday 1 to Sunday 7; none of them twice.

    Raises
    ------
    CaptureError
        As `stream.closing.errors` draws them; nothing was stored.
    """
    key = (project_id, model_id, endpoint)
    windows = await _read_groups(database, key, days, groups)
    frozen = await _frozen(key, windows)
    stored = await _store(database, key, windows, frozen, captured_by, note)
    return CapturedByWeekday(tuple(stored), tuple(warnings_of(stored)))


async def preview_by_weekday(
    database: Database,
    project_id: str,
    model_id: str,
    endpoint: str,
    days: Sequence[date],
    groups: Sequence[Sequence[int]],
) -> CapturedByWeekday:
    """What `capture_by_weekday` would store.

    Raises
    ------
    CaptureError
        As `capture_by_weekday` does.
    """
    key = (project_id, model_id, endpoint)
    frozen = await _frozen(key, await _read_groups(database, key, days, groups))
    return CapturedByWeekday(tuple(frozen), tuple(warnings_of(frozen)))


async def activate(
    database: Database, project_id: str, model_id: str, endpoint: str, version: int
) -> Baseline:
    """Score new days against an older (or newer) version; open days that no worker began with one too.

    Raises
    ------
    UnknownModelError, UnknownVersionError
    """
    async with database.acquire() as connection, connection.transaction():
        if not await lock_model(connection, project_id, model_id, endpoint):
            raise UnknownModelError(project_id, model_id, endpoint)
        baseline = await set_active(connection, project_id, model_id, endpoint, version)
        if baseline is None:
            raise UnknownVersionError(model_id, endpoint, version)
        await ask_for_rollup(connection, project_id, model_id, endpoint)
    return baseline


async def _read_groups(
    database: Database, key: tuple[str, str, str], days: Sequence[date], groups: Sequence[Sequence[int]]
) -> list[Window]:
    parts = partition(days, groups)
    windows = [await _read(database, key, part, weekdays) for weekdays, part in parts]
    refuse_few_events([(window.weekdays, window.events) for window in windows])
    return windows


async def _frozen(key: tuple[str, str, str], windows: Sequence[Window]) -> list[Captured]:
    return [await asyncio.to_thread(freeze_window, window, key) for window in windows]


async def _store(
    database: Database,
    key: tuple[str, str, str],
    windows: Sequence[Window],
    frozen: Sequence[Captured],
    captured_by: str,
    note: str,
) -> list[Captured]:
    stored = []
    async with database.acquire() as connection, connection.transaction():
        if not await lock_model(connection, *key):
            raise UnknownModelError(*key)
        await _check_unchanged(connection, [day for window in windows for day in window.days])
        for one in frozen:
            row = await insert_baseline(
                connection, replace(one, captured_by=captured_by, note=note), one.features
            )
            stored.append(Captured(**asdict(row), features=one.features))
        await ask_for_rollup(connection, *key)
    return stored


async def _read(
    database: Database, key: tuple[str, str, str], days: Sequence[date], weekdays: Weekdays = None
) -> Window:
    project_id, model_id, endpoint = key
    wanted = sorted(set(days))
    if not wanted:
        raise NoDaysError
    async with database.acquire() as connection:
        if not await _known(connection, project_id, model_id, endpoint):
            raise UnknownModelError(project_id, model_id, endpoint)
        project_days = await read_days_on(connection, project_id, wanted)
        still_open = sorted({day.day for day in project_days if not _closed(day)})
        if still_open:
            raise OpenDaysError(still_open)
        window = Window([], weekdays, settings=await read_settings(connection, project_id))
        for day in project_days:
            await _add(
                connection, window, ModelDayKey(project_id, model_id, endpoint, day.key.day_start), day
            )
    unknown = sorted(set(wanted) - {day.day for day in window.days})
    if unknown:
        raise UnknownDaysError(model_id, endpoint, unknown)
    return window


async def _add(connection: Connection, window: Window, key: ModelDayKey, day: ProjectDay) -> None:
    """Merge one day into the window; a day at a time, so that memory holds one day's sketches."""
    async with repeatable(connection):
        state = await read_state(connection, key, day)
    if not state.events:
        return
    window.days.append(day)
    window.events += sum(row.n for row in state.events)
    for kind, feature in (await asyncio.to_thread(merge_shards, state.sketches)).items():
        there = window.features.setdefault(kind, feature)
        if there is not feature:
            there.sketch.merge(feature.sketch)  # type: ignore[arg-type]  # one kind, one type


def freeze_window(window: Window, key: tuple[str, str, str]) -> Captured:
    """What a baseline of these days freezes."""
    by_name: dict[str, dict[str, MergedFeature]] = {}
    for (name, kind), feature in window.features.items():
        by_name.setdefault(name, {})[kind] = feature
    frozen = (_freeze_feature(name, kinds, window, key) for name, kinds in sorted(by_name.items()))
    features = tuple(feature for feature in frozen if feature is not None)
    if not features:
        raise NothingToCaptureError(key[1], key[2])
    days = sorted(window.days, key=lambda day: day.key.day_start)
    return Captured(
        *key,
        version=None,
        active=False,
        days=tuple(day.day for day in days),
        day_starts=tuple(day.key.day_start for day in days),
        window_start=days[0].key.day_start,
        window_end=days[-1].day_end,
        events=window.events,
        weekdays=window.weekdays,
        features=features,
    )


def _freeze_feature(
    name: str, kinds: Mapping[str, MergedFeature], window: Window, key: tuple[str, str, str]
) -> BaselineFeature | None:
    choices = choices_for(window.settings, key[1], key[2], name)
    kind = choose_kind({kind: feature.sketch.n for kind, feature in kinds.items()}, choices.kind)
    if kind is None:
        return None
    sketch = kinds[kind].sketch
    bins = freeze(sketch, events=window.events, kind=Kind(kind), n_bins=choices.n_bins, top_k=choices.top_k)
    numeric = isinstance(sketch, NumericSketch)
    return BaselineFeature(
        feature=name,
        kind=kind,
        n=sketch.n,
        missing=window.events - sketch.n,
        edges=tuple(bins.edges.tolist()) if numeric else None,
        labels=None if numeric else bins.labels,
        other_labels=None if bins.others is None else tuple(sorted(bins.others)),
        shares=tuple(bins.q.tolist()),
        share_errors=tuple(bins.s.tolist()),
        warning=choices.warning,
        drift=choices.drift,
        ignored=choices.ignored,
        minimum=sketch.minimum if isinstance(sketch, NumericSketch) else None,
        maximum=sketch.maximum if isinstance(sketch, NumericSketch) else None,
        mean=sketch.mean if isinstance(sketch, NumericSketch) else None,
        stddev=sketch.std if isinstance(sketch, NumericSketch) else None,
        quantiles=tuple(sketch.quantiles(QUANTILES).tolist()) if isinstance(sketch, NumericSketch) else None,
    )


def _closed(day: ProjectDay) -> bool:
    return day.status == "closed" and day.reopened_at is None


async def _known(connection: Connection, project_id: str, model_id: str, endpoint: str) -> bool:
    async with connection.transaction():
        return await lock_model(connection, project_id, model_id, endpoint)


async def _check_unchanged(connection: Connection, days: Sequence[ProjectDay]) -> None:
    """A restatement between reading and writing would leave a baseline that no closed day has ever been."""
    keys: list[ProjectDayKey] = [day.key for day in days]
    current = await read_project_days(connection, keys, lock=True)
    raced: list[date] = [
        day.day
        for day in days
        if day.key not in current
        or not _closed(current[day.key])
        or current[day.key].revision != day.revision
    ]
    if raced:
        raise CaptureRacedError(raced)
