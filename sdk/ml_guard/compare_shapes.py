"""What does a comparison of two selections of days look like, and one of past days with another baseline?"""

from __future__ import annotations

from datetime import date
from typing import Any

from ml_guard.shapes import DriftDay, Shape


class ComparedSide(Shape, frozen=True, kw_only=True):
    """A selection: its days together."""

    project_id: str
    model_id: str
    endpoint: str
    days: list[date]
    requests: int
    latency_mean_ms: float | None = None
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    latency_p99_ms: float | None = None
    prediction_n: int = 0
    prediction_mean: float | None = None
    proba_mean: float | None = None


class FeatureSide(Shape, frozen=True, kw_only=True):
    """A feature in a selection."""

    n: int
    missing: int
    missing_rate: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    stddev: float | None = None
    p05: float | None = None
    p50: float | None = None
    p95: float | None = None
    distinct_count: int | None = None
    exact: bool = True
    rank_error: float | None = None


class ComparedFeature(Shape, frozen=True, kw_only=True):
    """A feature of both: `b` scored in bins that are frozen from `a`; a side without values is None."""

    feature: str
    kind: str
    verdict: str
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
    a: FeatureSide | None = None
    b: FeatureSide | None = None
    bins: list[dict[str, Any]] | None = None


class Comparison(Shape, frozen=True, kw_only=True):
    """Two selections of days. `exact`: all numbers are those of the raw values, else ranks are within `rank_error`."""

    a: ComparedSide
    b: ComparedSide
    method: str
    exact: bool
    rank_error: float
    features: list[ComparedFeature]


class Rescored(Shape, frozen=True, kw_only=True):
    """Past days against a baseline version; they keep the verdicts that they have. Each row says by which `method`."""

    baseline_version: int
    stored: bool
    items: list[DriftDay]
