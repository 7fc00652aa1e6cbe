"""How are baselines stored and found: versions, frozen bins, the settings that a capture freezes?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np

from stream.bins import FrozenBins, Kind
from stream.store.closing import CAPTURE_SHARD
from stream.store.hashing import require_hashes
from stream.store.pool import Connection
from stream.weekdays import Weekdays, displaces


@dataclass(frozen=True, slots=True)
class BaselineFeature:
    """A row of `baseline_feature`: what a feature was like in the window, and what the days are held against."""

    feature: str
    kind: str
    n: int
    missing: int
    edges: tuple[float, ...] | None
    labels: tuple[str, ...] | None
    other_labels: tuple[str, ...] | None
    shares: tuple[float, ...]
    share_errors: tuple[float, ...]
    warning: float
    drift: float
    ignored: bool = False
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    stddev: float | None = None
    quantiles: tuple[float, ...] | None = None

    def frozen_bins(self) -> FrozenBins:
        """The bins, ready to count with."""
        return FrozenBins(
            kind=Kind(self.kind),
            edges=np.array(self.edges or (), dtype=np.float64),
            labels=self.labels or (),
            others=None if self.other_labels is None else frozenset(self.other_labels),
            q=np.array(self.shares, dtype=np.float64),
            m=self.n + self.missing,
            s=np.array(self.share_errors, dtype=np.float64),
        )


@dataclass(frozen=True, slots=True)
class Baseline:
    """A row of `baseline`. A version is never changed, only made active or not."""

    project_id: str
    model_id: str
    endpoint: str
    version: int | None
    active: bool
    days: tuple[date, ...]
    day_starts: tuple[datetime, ...]
    window_start: datetime | None
    window_end: datetime | None
    events: int
    captured_at: datetime | None = None
    captured_by: str = ""
    note: str = ""
    weekdays: Weekdays = None
    data_name: str | None = None
    data_sha256: str | None = None
    data_rows: int | None = None
    copied_from: str | None = None
    labels_hashed: bool = False


@dataclass(frozen=True, slots=True)
class FeatureSetting:
    """A row of `feature_setting`; `*` stands for all, None for no opinion."""

    model_id: str
    endpoint: str
    feature: str
    kind: str | None = None
    bins: int | None = None
    warning: float | None = None
    drift: float | None = None
    ignored: bool | None = None


_BASELINE = """project_id, model_id, endpoint, version, active, days, day_starts, window_start, window_end, events,
               captured_at, captured_by, note, weekdays, data_name, data_sha256, data_rows, copied_from,
               labels_hashed"""

_FEATURE = """feature, kind, n, missing, edges, labels, other_labels, shares, share_errors, warning, drift, ignored,
              minimum, maximum, mean, stddev, quantiles"""


def _baseline(row: Any) -> Baseline:
    lists = {name: tuple(row[name]) for name in ("days", "day_starts")}
    return Baseline(**{**row, **lists, "weekdays": tuple(row["weekdays"]) if row["weekdays"] else None})


def feature_of_row(row: Any) -> BaselineFeature:
    """A `baseline_feature` row (at least its columns of `BaselineFeature`) as a value."""
    values: dict[str, Any] = {}
    for name in BaselineFeature.__slots__:
        values[name] = tuple(row[name]) if isinstance(row[name], list) else row[name]
    return BaselineFeature(**values)


async def baseline_versions(
    connection: Connection, project_id: str, model_id: str, endpoint: str
) -> list[Baseline]:
    """All versions, the newest first."""
    rows = await connection.fetch(
        f"""select {_BASELINE} from ml_guard.baseline
            where project_id = $1 and model_id = $2 and endpoint = $3 order by version desc""",  # noqa: S608
        project_id,
        model_id,
        endpoint,
    )
    return [_baseline(row) for row in rows]


async def read_baseline(
    connection: Connection, project_id: str, model_id: str, endpoint: str, version: int
) -> Baseline | None:
    """A version; nothing if there is none."""
    versions = await baseline_versions(connection, project_id, model_id, endpoint)
    return next((found for found in versions if found.version == version), None)


async def read_baseline_features(
    connection: Connection, project_id: str, model_id: str, endpoint: str, version: int
) -> tuple[BaselineFeature, ...]:
    """The features of a version, by name."""
    rows = await connection.fetch(
        f"""select {_FEATURE} from ml_guard.baseline_feature
            where project_id = $1 and model_id = $2 and endpoint = $3 and version = $4
            order by feature, kind""",  # noqa: S608
        project_id,
        model_id,
        endpoint,
        version,
    )
    return tuple(feature_of_row(row) for row in rows)


async def read_settings(connection: Connection, project_id: str) -> list[FeatureSetting]:
    """What the project has set for its features."""
    rows = await connection.fetch(
        """select model_id, endpoint, feature, kind, bins, warning, drift, ignored
           from ml_guard.feature_setting where project_id = $1""",
        project_id,
    )
    return [FeatureSetting(*row) for row in rows]


async def live_features(
    connection: Connection, project_id: str, model_id: str, endpoint: str
) -> frozenset[str] | None:
    """The features that the model's events had in its last 7 days with any; None if it has had no event."""
    newest = await connection.fetchval(
        """select max(day_start) from ml_guard.metric_day
           where project_id = $1 and model_id = $2 and endpoint = $3""",
        project_id,
        model_id,
        endpoint,
    )
    if newest is None:
        return None
    rows = await connection.fetch(
        """select distinct feature from ml_guard.feature_day
           where project_id = $1 and model_id = $2 and endpoint = $3 and day_start > $4 and n > 0""",
        project_id,
        model_id,
        endpoint,
        newest - timedelta(days=7),
    )
    return frozenset(row["feature"] for row in rows)


async def live_endpoints(connection: Connection, project_id: str, model_id: str) -> list[str]:
    """The endpoints at which the model has had events."""
    rows = await connection.fetch(
        """select distinct endpoint from ml_guard.metric_day
           where project_id = $1 and model_id = $2 order by endpoint""",
        project_id,
        model_id,
    )
    return [row["endpoint"] for row in rows]


async def lock_model(connection: Connection, project_id: str, model_id: str, endpoint: str) -> bool:
    """One capture or activation of a model's endpoint at a time; false if there is no such model.

    The project is held before its model, in the order of whoever deletes it: so the two do not wait in a circle.
    """
    await connection.execute("select from ml_guard.project where project_id = $1 for share", project_id)
    found = await connection.fetchval(
        """select true from ml_guard.model where project_id = $1 and model_id = $2 and endpoint = $3 for update""",
        project_id,
        model_id,
        endpoint,
    )
    return found is not None


async def insert_baseline(
    connection: Connection, baseline: Baseline, features: Sequence[BaselineFeature]
) -> Baseline:
    """Store the next version and make it the active one of its weekdays. The model must be locked.

    Raises
    ------
    PlainLabelsError
    """
    key = (baseline.project_id, baseline.model_id, baseline.endpoint)
    hashed = await require_hashes(connection, baseline.project_id, lambda: _labels(features))
    await _make_way(connection, key, baseline.weekdays)
    row = await connection.fetchrow(
        f"""insert into ml_guard.baseline
                (project_id, model_id, endpoint, version, active, days, day_starts, window_start, window_end,
                 events, captured_by, note, weekdays, data_name, data_sha256, data_rows, copied_from,
                 labels_hashed)
            select $1, $2, $3, coalesce(max(version), 0) + 1, true, $4, $5, $6, $7, $8, $9, $10, $11::smallint[],
                $12, $13, $14, $15, $16
            from ml_guard.baseline where project_id = $1 and model_id = $2 and endpoint = $3
            returning {_BASELINE}""",  # noqa: S608
        *key,
        list(baseline.days),
        list(baseline.day_starts),
        baseline.window_start,
        baseline.window_end,
        baseline.events,
        baseline.captured_by,
        baseline.note,
        baseline.weekdays,
        baseline.data_name,
        baseline.data_sha256,
        baseline.data_rows,
        baseline.copied_from,
        hashed,
    )
    stored = _baseline(row)
    names = ", ".join(BaselineFeature.__slots__)
    places = ", ".join(f"${number}" for number in range(5, 5 + len(BaselineFeature.__slots__)))
    await connection.executemany(
        f"""insert into ml_guard.baseline_feature (project_id, model_id, endpoint, version, {names})
            values ($1, $2, $3, $4, {places})""",  # noqa: S608
        [(*key, stored.version, *_stored_values(feature)) for feature in features],
    )
    return stored


def _labels(features: Sequence[BaselineFeature]) -> set[str]:
    """Every label that these features name."""
    of_text = [feature for feature in features if feature.kind == Kind.CATEGORICAL]
    return {label for one in of_text for label in (*(one.labels or ()), *(one.other_labels or ()))}


async def set_active(
    connection: Connection, project_id: str, model_id: str, endpoint: str, version: int
) -> Baseline | None:
    """Have new days of the version's weekdays scored against it; nothing if there is no such version."""
    key = (project_id, model_id, endpoint)
    found = await read_baseline(connection, *key, version)
    if found is None:
        return None
    await _make_way(connection, key, found.weekdays)
    row = await connection.fetchrow(
        f"""update ml_guard.baseline set active = true
            where project_id = $1 and model_id = $2 and endpoint = $3 and version = $4
            returning {_BASELINE}""",  # noqa: S608
        *key,
        version,
    )
    return _baseline(row)


async def ask_for_rollup(connection: Connection, project_id: str, model_id: str, endpoint: str) -> None:
    """Have the model's open days scored again. A closed day keeps its verdict and its version."""
    await connection.execute(
        """insert into ml_guard.day_change
               (project_id, model_id, endpoint, day_start, shard, next_offset, changed_at)
           select $1, $2, $3, day_start, $4, nextval('ml_guard.result_change'), clock_timestamp()
           from ml_guard.day_close where project_id = $1 and status <> 'closed' and revision = 0
           on conflict (project_id, model_id, endpoint, day_start, shard)
           do update set next_offset = excluded.next_offset, changed_at = excluded.changed_at""",
        project_id,
        model_id,
        endpoint,
        CAPTURE_SHARD,
    )


async def _make_way(connection: Connection, key: tuple[str, str, str], weekdays: Weekdays) -> None:
    """End the active versions that one of these weekdays takes the place of."""
    ended = [
        found.version
        for found in await baseline_versions(connection, *key)
        if found.active and displaces(weekdays, found.weekdays)
    ]
    await connection.execute(
        """update ml_guard.baseline set active = false
           where project_id = $1 and model_id = $2 and endpoint = $3 and version = any($4::integer[])""",
        *key,
        ended,
    )


def _stored_values(feature: BaselineFeature) -> list[object]:
    values = (getattr(feature, name) for name in BaselineFeature.__slots__)
    return [list(value) if isinstance(value, tuple) else value for value in values]
