"""What do rows look like on the wire? The columns of the results, flat, with their own names and units."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Status = Literal["provisional", "final"]
Kind = Literal["numeric", "categorical", "boolean"]


class Strict(BaseModel):
    """A body: what it does not know is refused, so that a misspelt field is not silently ignored."""

    model_config = ConfigDict(extra="forbid")


class Day(BaseModel):
    """A local day of a model's endpoint: [day_start, day_end) is `day` in `zone`."""

    project_id: str
    model_id: str
    endpoint: str
    day: date
    day_start: datetime
    day_end: datetime
    zone: str
    revision: int = Field(
        description="0 while the day is open, 1 when it closed, more when late events restated it."
    )
    status: Status
    updated_at: datetime


class MetricDay(Day):
    """A day's traffic, latency and predictions."""

    complete: bool = Field(description="False: it closed without a partition that stood still.")
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
    baseline_version: int | None
    features_scored: int
    features_warning: int
    features_drift: int
    worst_feature: str | None
    worst_psi: float | None
    change_id: int = Field(description="Rises with every write of a row; the live stream's event id.")


class FeatureRow(Day):
    """A day of one feature. `@latency_ms`, `@y_pred` and `@y_proba` are features too."""

    feature: str
    kind: str
    n: int = Field(description="Values present: finite numbers, or labels.")
    missing: int
    missing_rate: float | None
    rank_error: float | None = Field(description="By how much a quantile's rank may be off, as a share.")


class FeatureDay(FeatureRow):
    """A day's statistics of one feature."""

    non_finite: int
    minimum: float | None
    maximum: float | None
    mean: float | None
    stddev: float | None
    p01: float | None
    p05: float | None
    p25: float | None
    p50: float | None
    p75: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    distinct_count: int | None
    exact: bool
    not_kept: int | None = Field(
        description="Text and boolean: of so many values, at most, the label is not kept; 0 while exact."
    )
    label_error: int | None = Field(
        description="Text and boolean: how far the bounds of a label's count are apart at most; 0 while exact."
    )
    top: list[dict[str, Any]] | None = Field(
        description="The most frequent labels with their counts and bounds."
    )


class DriftDay(FeatureRow):
    """A day's drift of one feature against a baseline, with all numbers that the verdict rests on."""

    baseline_version: int | None
    method: Literal["counters", "sketch"] | None
    verdict: str
    psi: float | None
    psi_expected: float | None = Field(description="The PSI that no drift would give.")
    chi_square: float | None
    degrees_of_freedom: int | None
    p_value: float | None
    q_value: float | None
    js_distance: float | None
    l_infinity: float | None
    warning: float | None
    drift: float | None
    baseline_overlaps: bool
    bins: list[dict[str, Any]] | None = Field(
        default=None, description="Each bin with its shares, count and contribution to the PSI."
    )


class Zone(BaseModel):
    """A zone and since when it holds; null: always."""

    zone: str
    effective_from: datetime | None


class Project(BaseModel):
    """A project and the history of its zones; a change that lies ahead stands last."""

    project_id: str
    name: str
    zone: str = Field(description="The IANA zone in force now.")
    zones: list[Zone]
    dedupe_by_event_id: bool
    labels: Literal["plain", "hashed"] = Field(
        description="`hashed`: category labels are stored as keyed hashes only."
    )
    created_at: datetime


class Model(BaseModel):
    """A model's endpoint; workers register it at its first event."""

    project_id: str
    model_id: str
    endpoint: str
    first_seen_at: datetime
    last_event_at: datetime | None
    baseline_version: int | None = Field(description="The newest of its active baselines.")
    baseline_versions: list[int] = Field(
        description="All active ones: several where weekdays have baselines of their own."
    )


class Baseline(BaseModel):
    """What days are compared with: a captured window of closed days, or a reference data set."""

    project_id: str
    model_id: str
    endpoint: str
    version: int | None = Field(description="Null: a preview.")
    active: bool
    days: list[date]
    window_start: datetime | None = Field(description="Null: it was not captured from days.")
    window_end: datetime | None
    events: int
    captured_at: datetime | None
    captured_by: str
    note: str
    weekdays: list[int] | None = Field(
        description="The local days that are compared with it, Monday 1 to Sunday 7; null: all that no other active "
        "baseline names."
    )
    data_name: str | None = Field(description="The reference data set that it was made of; null: days.")
    data_sha256: str | None = Field(description="Of that file, or of the columns as they were sent.")
    data_rows: int | None
    copied_from: str | None = Field(description="The model, endpoint and version that it is a copy of.")


class BaselineFeature(BaseModel):
    """A feature's frozen bins and its share in each."""

    feature: str
    kind: str
    n: int
    missing: int
    edges: list[float] | None
    labels: list[str] | None
    other_labels: list[str] | None = Field(
        description="The labels that share the bin `other`; null: not all are known, and none is `unseen`."
    )
    shares: list[float]
    share_errors: list[float]
    warning: float
    drift: float
    ignored: bool
    minimum: float | None
    maximum: float | None
    mean: float | None
    stddev: float | None
    quantiles: list[float] | None = Field(description="At 1, 5, 25, 50, 75, 95 and 99 %.")


class BaselineDetail(Baseline):
    """A baseline with its features."""

    features: list[BaselineFeature]


class IgnoreProposal(BaseModel):
    """A feature that had better be ignored."""

    feature: str
    reason: str


class BaselineFromData(BaseModel):
    """A reference data set as a baseline."""

    baseline: BaselineDetail
    ignore: list[IgnoreProposal] = Field(description="Features that look like names of their rows.")
    not_in_events: list[str] | None = Field(
        description="Features of the data that no event of the model's last 7 days has had; null: there were no events."
    )
    not_in_data: list[str] | None = Field(description="The other way round.")
    other_endpoints: list[str] = Field(
        description="Where the model has had events, if it has had none at this endpoint."
    )


class BaselinesByWeekday(BaseModel):
    """A baseline for each group of weekdays."""

    items: list[BaselineDetail]
    warnings: list[str] = Field(description="What is to be said of groups with few days or events.")


class ComparedDay(BaseModel):
    """A day before, and whether it is part of a comparison of the same hours."""

    day: date
    compared: bool
    requests: int | None = Field(description="Up to the hour.")
    reason: str | None = Field(description="Why it is not compared.")


class HourlyFeature(BaseModel):
    """A feature of the open day up to a full hour, scored against the same hours of the days before."""

    feature: str
    kind: str
    n: int = Field(description="Values present since the day began: finite numbers, or labels.")
    missing: int
    days: int = Field(description="How many days before it was scored against.")
    verdict: str = Field(
        description="As in daily drift, or `not_counted`: not exactly counted in the baseline's bins."
    )
    mean: float | None
    mean_before: float | None
    p05: float | None
    p25: float | None
    p50: float | None
    p75: float | None
    p95: float | None
    p99: float | None
    psi: float | None
    psi_expected: float | None = Field(description="The PSI that no drift would give.")
    chi_square: float | None
    degrees_of_freedom: int | None
    p_value: float | None
    q_value: float | None
    js_distance: float | None
    l_infinity: float | None
    warning: float | None
    drift: float | None
    bins: list[dict[str, Any]] | None = Field(
        description="Each bin with its shares, count and contribution; `baseline_share` is that of the days before."
    )


class SameHours(BaseModel):
    """The open day up to its last full hour, against the same hours of the days before."""

    project_id: str
    model_id: str
    endpoint: str
    day: date | None
    day_start: datetime | None
    zone: str | None
    hour: int | None = Field(description="The full local hour: 14 compares each day up to 14:00.")
    hour_at: datetime | None
    baseline_version: int | None = Field(description="In whose bins both sides were counted.")
    weekdays: list[int] | None = Field(
        description="That baseline's weekdays; days before are of these. Null: all."
    )
    requests: int | None = Field(description="Of the open day up to the hour.")
    requests_before: float | None = Field(description="The mean of the compared days.")
    reason: str | None = Field(description="Why there is no comparison; null if there is one.")
    days: list[ComparedDay]
    features: list[HourlyFeature]
