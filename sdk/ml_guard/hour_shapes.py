"""What does a comparison of the same hours hold?"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import msgspec

from ml_guard.shapes import Shape


class ComparedDay(Shape, frozen=True, kw_only=True):
    """A day before, and whether it is part of a comparison; `reason` says why not."""

    day: date
    compared: bool
    requests: int | None = None
    reason: str | None = None


class HourlyFeature(Shape, frozen=True, kw_only=True):
    """A feature of the open day up to a full hour, scored against the same hours of so many `days` before.

    The bins' `baseline_share` is that of the days before; `verdict` may also be `not_counted`.
    """

    feature: str
    kind: str
    n: int
    missing: int
    days: int
    verdict: str
    mean: float | None = None
    mean_before: float | None = None
    p05: float | None = None
    p25: float | None = None
    p50: float | None = None
    p75: float | None = None
    p95: float | None = None
    p99: float | None = None
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
    bins: Any = None


class SameHours(Shape, frozen=True, kw_only=True):
    """The open day up to its last full local hour, against the same hours of the days before.

    `reason` None: there is a comparison. Both sides were counted in the bins of `baseline_version`.
    """

    project_id: str
    model_id: str
    endpoint: str
    day: date | None = None
    day_start: datetime | None = None
    zone: str | None = None
    hour: int | None = None
    hour_at: datetime | None = None
    baseline_version: int | None = None
    weekdays: list[int] | None = None
    requests: int | None = None
    requests_before: float | None = None
    reason: str | None = None
    days: list[ComparedDay] = msgspec.field(default_factory=list)
    features: list[HourlyFeature] = msgspec.field(default_factory=list)
