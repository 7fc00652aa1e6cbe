"""How are the results of model-days written, so that no reader ever sees a part of them?

`write` belongs inside one fenced transaction together with whatever the results stand for: the changes that they
hold, or the close of their day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime

from stream.store.pool import Connection
from stream.store.snapshot import ModelDayState


@dataclass(frozen=True, slots=True)
class MetricRow:
    """A row of `metric_day`, without what it shares with its features."""

    requests: int
    first_event_at: datetime | None
    last_event_at: datetime | None
    latency_n: int
    latency_mean_ms: float | None
    latency_min_ms: float | None
    latency_max_ms: float | None
    latency_p50_ms: float | None
    latency_p90_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    prediction_n: int
    prediction_mean: float | None
    proba_mean: float | None
    rank_error: float | None
    features_scored: int
    features_warning: int
    features_drift: int
    worst_feature: str | None
    worst_psi: float | None


@dataclass(slots=True)
class FeatureRow:
    """A row of `feature_day`, without what it shares with the model-day's other rows; filled in step by step."""

    feature: str
    kind: str
    n: int
    missing: int
    missing_rate: float | None
    verdict: str
    exact: bool = True
    non_finite: int = 0
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    stddev: float | None = None
    p01: float | None = None
    p05: float | None = None
    p25: float | None = None
    p50: float | None = None
    p75: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    rank_error: float | None = None
    distinct_count: int | None = None
    not_kept: int | None = None
    label_error: int | None = None
    top: str | None = None
    method: str | None = None
    psi: float | None = None
    psi_expected: float | None = None
    chi_square: float | None = None
    degrees_of_freedom: int | None = None
    p_value: float | None = None
    q_value: float | None = None
    js_distance: float | None = None
    l_infinity: float | None = None
    warning: float | None = None
    drift: float | None = None
    bins: str | None = None


@dataclass(frozen=True, slots=True)
class ModelDayResult:
    """What a model-day came to."""

    state: ModelDayState
    baseline_version: int | None
    baseline_overlaps: bool
    metric: MetricRow
    features: tuple[FeatureRow, ...]
    counts: Mapping[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)
    """Of features and kinds that were counted exactly: the values in each bin, without the missing."""


@dataclass(frozen=True, slots=True)
class Edition:
    """What is said of all rows of one write: provisional (revision 0) or final, whole or not."""

    revision: int = 0
    complete: bool = True

    @property
    def status(self) -> str:
        """`provisional` while the day is open."""
        return "final" if self.revision else "provisional"


PROVISIONAL = Edition()

_KEY = {"project_id": "text", "model_id": "text", "endpoint": "text", "day_start": "timestamptz"}
_DAY = {"day": "date", "day_end": "timestamptz", "zone": "text", "revision": "int", "status": "text"}
_TYPES = {
    **dict.fromkeys(("feature", "kind", "verdict", "method", "worst_feature"), "text"),
    **dict.fromkeys(("top", "bins"), "jsonb"),
    **dict.fromkeys(("first_event_at", "last_event_at"), "timestamptz"),
    **dict.fromkeys(("requests", "latency_n", "prediction_n", "n", "missing", "non_finite"), "bigint"),
    **dict.fromkeys(("features_scored", "features_warning", "features_drift", "degrees_of_freedom"), "int"),
    **dict.fromkeys(("distinct_count", "not_kept", "label_error"), "bigint"),
    **dict.fromkeys(("exact",), "boolean"),
}


def _columns(row: type) -> dict[str, str]:
    return {column.name: _TYPES.get(column.name, "double precision") for column in fields(row)}


_METRIC = {**_KEY, **_DAY, "complete": "boolean", "baseline_version": "int", **_columns(MetricRow)}
_FEATURE = {
    **_KEY,
    **_DAY,
    "baseline_version": "int",
    "baseline_overlaps": "boolean",
    **_columns(FeatureRow),
}


def _upsert(table: str, columns: dict[str, str], key: Sequence[str], stamped: Sequence[str]) -> str:
    """One statement for any number of rows: an array a column. JSON travels as text."""
    arrays = [
        f"${number}::{'text' if kind == 'jsonb' else kind}[]"
        for number, kind in enumerate(columns.values(), start=1)
    ]
    values = [f"r.{name}::jsonb" if kind == "jsonb" else f"r.{name}" for name, kind in columns.items()]
    updated = [name for name in columns if name not in key] + list(stamped)
    return (
        f"insert into ml_guard.{table} ({', '.join(columns)}) select {', '.join(values)} "  # noqa: S608
        f"from unnest({', '.join(arrays)}) as r({', '.join(columns)}) "
        f"on conflict ({', '.join(key)}) do update set "
        + ", ".join(f"{name} = excluded.{name}" for name in updated)
    )


_METRIC_UPSERT = _upsert("metric_day", _METRIC, list(_KEY), ["updated_at", "change_id"])
_FEATURE_UPSERT = _upsert("feature_day", _FEATURE, [*_KEY, "feature", "kind"], ["updated_at"])

# A model-day with very many features is written in parts: a statement of some megabytes holds everybody up.
_ROWS_A_STATEMENT = 500


async def write(
    connection: Connection, results: Sequence[ModelDayResult], editions: Sequence[Edition]
) -> None:
    """Write the rows of some model-days and drop rows of features that they no longer have.

    Parameters
    ----------
    editions : sequence of Edition
        One a result.
    """
    metrics: list[tuple[object, ...]] = []
    features: list[tuple[object, ...]] = []
    for result, edition in zip(results, editions, strict=True):
        day = result.state.project_day
        shared = (*result.state.key, day.day, day.day_end, day.zone, edition.revision, edition.status)
        metrics.append((*shared, edition.complete, result.baseline_version, *_values(result.metric)))
        features.extend(
            (*shared, result.baseline_version, result.baseline_overlaps, *_values(feature))
            for feature in result.features
        )
        await _drop_other_features(connection, result)
    # Features first: who follows `change_id` of metric_day finds the features of what it names.
    for begin in range(0, len(features), _ROWS_A_STATEMENT):
        await connection.execute(_FEATURE_UPSERT, *_arrays(features[begin : begin + _ROWS_A_STATEMENT]))
    if metrics:
        await connection.execute(_METRIC_UPSERT, *_arrays(metrics))


async def _drop_other_features(connection: Connection, result: ModelDayResult) -> None:
    await connection.execute(
        """delete from ml_guard.feature_day f
           where f.project_id = $1 and f.model_id = $2 and f.endpoint = $3 and f.day_start = $4
             and not exists (select from unnest($5::text[], $6::text[]) as k(feature, kind)
                              where k.feature = f.feature and k.kind = f.kind)""",
        *result.state.key,
        [row.feature for row in result.features],
        [row.kind for row in result.features],
    )


def _values(row: MetricRow | FeatureRow) -> tuple[object, ...]:
    return tuple(getattr(row, name) for name in row.__slots__)


def _arrays(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
