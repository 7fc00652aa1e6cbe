"""What did a day come to? Reads the results of days, a page at a time; computes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

import msgspec

from stream.store.pool import Connection

METRIC_COLUMNS = (
    "project_id", "model_id", "endpoint", "day", "day_start", "day_end", "zone", "revision", "status", "complete",
    "requests", "first_event_at", "last_event_at", "latency_n", "latency_mean_ms", "latency_min_ms",
    "latency_max_ms", "latency_p50_ms", "latency_p90_ms", "latency_p95_ms", "latency_p99_ms", "prediction_n",
    "prediction_mean", "proba_mean", "rank_error", "baseline_version", "features_scored", "features_warning",
    "features_drift", "worst_feature", "worst_psi", "updated_at", "change_id",
)  # fmt: skip
_FEATURE_KEY = (
    "project_id", "model_id", "endpoint", "feature", "kind", "day", "day_start", "day_end", "zone", "revision",
    "status", "n", "missing", "missing_rate",
)  # fmt: skip
FEATURE_COLUMNS = (
    *_FEATURE_KEY, "non_finite", "minimum", "maximum", "mean", "stddev", "p01", "p05", "p25", "p50", "p75", "p90",
    "p95", "p99", "rank_error", "distinct_count", "exact", "not_kept", "label_error", "top", "updated_at",
)  # fmt: skip
DRIFT_COLUMNS = (
    *_FEATURE_KEY, "baseline_version", "method", "verdict", "psi", "psi_expected", "chi_square",
    "degrees_of_freedom", "p_value", "q_value", "js_distance", "l_infinity", "warning", "drift",
    "baseline_overlaps", "rank_error", "updated_at", "bins",
)  # fmt: skip

METRIC_ORDER = ("day_start", "project_id", "model_id", "endpoint")
FEATURE_ORDER = (*METRIC_ORDER, "feature", "kind")

REACH = timedelta(days=3)
"""A day begins within this of its date's midnight in UTC, in every zone: lets the database skip chunks."""

Order = Literal["asc", "desc"]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Days:
    """Which rows: every field that is not None narrows them. `first` and `last` are dates, both included."""

    project_ids: Sequence[str] | None = None
    model_id: str | None = None
    endpoint: str | None = None
    feature: str | None = None
    kind: str | None = None
    verdicts: Sequence[str] | None = None
    first: date | None = None
    last: date | None = None


class Where:
    """Conditions with their values as parameters; text of the caller never becomes SQL.

    >>> where = Where()
    >>> where.add("a = ?", 1)
    >>> where.add("b > ?", None)
    >>> where.add("c < any(?::int[])", [2])
    >>> where.sql, where.values
    ('a = $1 and c < any($2::int[])', [1, [2]])
    """

    def __init__(self) -> None:
        self._conditions: list[str] = []
        self.values: list[Any] = []

    def add(self, condition: str, value: Any) -> None:
        """Add a condition with one `?`, unless the value is None."""
        if value is not None:
            self._conditions.append(condition.replace("?", self.value(value)))

    def value(self, value: Any) -> str:
        """The parameter that stands for the value."""
        self.values.append(value)
        return f"${len(self.values)}"

    def after(self, columns: Sequence[str], key: Sequence[Any] | None, order: Order) -> None:
        """Only rows behind the one with this key."""
        if key is not None:
            row = ", ".join(self.value(value) for value in key)
            self._conditions.append(f"({', '.join(columns)}) {'>' if order == 'asc' else '<'} ({row})")

    @property
    def sql(self) -> str:
        """All of them; `true` if there are none."""
        return " and ".join(self._conditions) or "true"


def order_by(columns: Sequence[str], order: Order) -> str:
    """The columns, all in one direction."""
    return ", ".join(f"{column} {order}" for column in columns)


async def metrics(
    connection: Connection,
    days: Days,
    *,
    after: Sequence[Any] | None = None,
    order: Order = "desc",
    limit: int,
) -> list[Row]:
    """Rows of `metric_day`, by `METRIC_ORDER`."""
    return await _daily(connection, "metric_day", METRIC_COLUMNS, METRIC_ORDER, days, after, order, limit)


async def features(
    connection: Connection,
    days: Days,
    *,
    after: Sequence[Any] | None = None,
    order: Order = "desc",
    limit: int,
) -> list[Row]:
    """The statistics of `feature_day`, by `FEATURE_ORDER`."""
    return await _daily(connection, "feature_day", FEATURE_COLUMNS, FEATURE_ORDER, days, after, order, limit)


async def drift(
    connection: Connection,
    days: Days,
    *,
    bins: bool = True,
    after: Sequence[Any] | None = None,
    order: Order = "desc",
    limit: int,
) -> list[Row]:
    """The scores of `feature_day`, by `FEATURE_ORDER`; without `bins` a tenth of the size."""
    columns = DRIFT_COLUMNS if bins else DRIFT_COLUMNS[:-1]
    return await _daily(connection, "feature_day", columns, FEATURE_ORDER, days, after, order, limit)


async def _daily(
    connection: Connection,
    table: str,
    columns: Sequence[str],
    key: Sequence[str],
    days: Days,
    after: Sequence[Any] | None,
    order: Order,
    limit: int,
) -> list[Row]:
    where = Where()
    where.add("project_id = any(?::text[])", None if days.project_ids is None else list(days.project_ids))
    where.add("model_id = ?", days.model_id)
    where.add("endpoint = ?", days.endpoint)
    where.add("feature = ?", days.feature)
    where.add("kind = ?", days.kind)
    where.add("verdict = any(?::text[])", None if days.verdicts is None else list(days.verdicts))
    where.add("day >= ?", days.first)
    where.add("day <= ?", days.last)
    where.add("day_start >= ?::date", None if days.first is None else days.first - REACH)
    where.add("day_start < ?::date", None if days.last is None else days.last + REACH)
    where.after(key, after, order)
    size = where.value(limit)
    rows = await connection.fetch(
        f"""select {", ".join(columns)} from ml_guard.{table} where {where.sql}
        order by {order_by(key, order)} limit {size}""",  # noqa: S608  names of this module only
        *where.values,
    )
    return [_row(dict(row)) for row in rows]


def _row(row: Row) -> Row:
    for name in ("bins", "top"):
        if isinstance(row.get(name), str):
            row[name] = msgspec.json.decode(row[name])
    return row
