"""What do the answers of the API hold? One frozen type a row; names and units are the API's and the SQL views'.

Instants are aware datetimes in UTC, days are dates of the project's own zone. Fields that a newer server adds
are ignored; None means that there is no such number.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from ml_guard.alert_shapes import Alert


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """The root of all answers."""


class Health(Shape, frozen=True, kw_only=True):
    """The API answers."""

    status: str


class Part(Shape, frozen=True, kw_only=True):
    """A part that the API stands on."""

    ok: bool
    schema: str | None = None


class PartitionProgress(Shape, frozen=True, kw_only=True):
    """How far the workers are in one partition of the topic."""

    partition: int
    next_offset: int | None = None
    end_offset: int | None = None
    lag: int | None = None
    owner: str | None = None
    heartbeat_age_s: float | None = None
    stopped_reason: str | None = None
    catalog_generation: int | None = None


class Ready(Shape, frozen=True, kw_only=True):
    """Whether events flow, and if not, why."""

    status: str
    reasons: list[str] = []
    broker: Part | None = None
    database: Part | None = None
    lag: int | None = None
    partitions: list[PartitionProgress] = []
    catalog_generation: int | None = None
    workers: int = 0


class ZonePeriod(Shape, frozen=True, kw_only=True):
    """A zone and since when it holds; None: always."""

    zone: str
    effective_from: datetime | None = None


class Project(Shape, frozen=True, kw_only=True):
    """A project and its time zone."""

    project_id: str
    zone: str
    name: str = ""
    zones: list[ZonePeriod] = []
    dedupe_by_event_id: bool = False
    labels: str = "plain"
    """`hashed` where category labels are stored as keyed hashes only."""
    created_at: datetime | None = None


class TopicKept(Shape, frozen=True, kw_only=True):
    """A topic that may still hold events of a project; `until` None: until somebody deletes them."""

    topic: str
    until: datetime | None = None


class RowsRemoved(Shape, frozen=True, kw_only=True):
    """How many rows of a table were removed."""

    table: str
    rows: int


class DeletionReceipt(Shape, frozen=True, kw_only=True):
    """What was removed with a project, and what stays in Kafka until when."""

    receipt_id: str
    project_id: str
    deleted_at: datetime
    rows: list[RowsRemoved] = []
    kafka: list[TopicKept] = []


class BaselineHeld(Shape, frozen=True, kw_only=True):
    """A baseline that was captured from a day that was purged, among others; it stays as it is."""

    endpoint: str
    version: int


class PurgeReceipt(Shape, frozen=True, kw_only=True):
    """What was removed of a day, and what stays in Kafka until when; `endpoint` None: every endpoint of the model."""

    receipt_id: str
    project_id: str
    model_id: str
    endpoint: str | None = None
    day: date
    purged_at: datetime
    events: int
    rows: list[RowsRemoved] = []
    kafka: list[TopicKept] = []
    baselines: list[BaselineHeld] = []


class Key(Shape, frozen=True, kw_only=True):
    """An API key without its secret. `project_ids` None: all projects."""

    key_id: str
    name: str
    scopes: list[str]
    project_ids: list[str] | None = None
    created_at: datetime | None = None
    revoked_at: datetime | None = None


class NewKey(Key, frozen=True, kw_only=True):
    """A key just made: `key` is shown this once."""

    key: str


class Model(Shape, frozen=True, kw_only=True):
    """A model's endpoint that events were seen of."""

    project_id: str
    model_id: str
    endpoint: str
    first_seen_at: datetime | None = None
    last_event_at: datetime | None = None
    baseline_version: int | None = None
    baseline_versions: list[int] = []


class BaselineFeature(Shape, frozen=True, kw_only=True):
    """A feature's frozen bins: numeric ones have `edges`, others `labels`; `shares` and their errors a bin each.

    `other_labels` are those that share the bin `other`; None: not all are known, and none is `unseen`.
    """

    feature: str
    kind: str
    n: int
    missing: int
    shares: list[float]
    share_errors: list[float]
    edges: list[float] | None = None
    labels: list[str] | None = None
    other_labels: list[str] | None = None
    warning: float | None = None
    drift: float | None = None
    ignored: bool = False
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    stddev: float | None = None
    quantiles: list[float] | None = None


class Baseline(Shape, frozen=True, kw_only=True):
    """A version of the reference that days are compared with. `version` None: a preview.

    `weekdays`, Monday 1 to Sunday 7, are the local days that it stands for; None: all that no other active one names.
    `data_name`, its hash and rows: the reference data set that it was made of, instead of days.
    """

    project_id: str
    model_id: str
    endpoint: str
    version: int | None
    days: list[date]
    events: int
    active: bool = False
    window_start: datetime | None = None
    window_end: datetime | None = None
    captured_at: datetime | None = None
    captured_by: str | None = None
    note: str | None = None
    weekdays: list[int] | None = None
    data_name: str | None = None
    data_sha256: str | None = None
    data_rows: int | None = None
    copied_from: str | None = None


class BaselineDetail(Baseline, frozen=True, kw_only=True):
    """A baseline with its features."""

    features: list[BaselineFeature] = []


class IgnoreProposal(Shape, frozen=True, kw_only=True):
    """A feature that had better be ignored, and why."""

    feature: str
    reason: str


class BaselineFromData(Shape, frozen=True, kw_only=True):
    """A reference data set as a baseline; `not_in_events` None: the model has had no event."""

    baseline: BaselineDetail
    ignore: list[IgnoreProposal] = []
    not_in_events: list[str] | None = None
    not_in_data: list[str] | None = None
    other_endpoints: list[str] = []
    """Where the model has had events, if it has had none at this endpoint."""


class BaselinesByWeekday(Shape, frozen=True, kw_only=True):
    """A baseline for each group of weekdays, and what is to be said of groups with few days or events."""

    items: list[BaselineDetail]
    warnings: list[str] = []


class FeatureSetting(Shape, frozen=True, kw_only=True):
    """How features are scored; `*` stands for all. None: the wider setting, or the default."""

    project_id: str
    model_id: str = "*"
    endpoint: str = "*"
    feature: str = "*"
    kind: str | None = None
    bins: int | None = None
    warning: float | None = None
    drift: float | None = None
    ignored: bool | None = None
    updated_at: datetime | None = None


class Day(Shape, frozen=True, kw_only=True):
    """What every row of results has: [day_start, day_end) is `day` in `zone`; revision 0 is provisional."""

    project_id: str
    model_id: str
    endpoint: str
    day: date
    day_start: datetime
    day_end: datetime
    zone: str
    revision: int
    status: str
    updated_at: datetime | None = None


class MetricDay(Day, frozen=True, kw_only=True):
    """A day of one model's endpoint: traffic, latency, predictions, and how many features drifted."""

    requests: int
    complete: bool = True
    first_event_at: datetime | None = None
    last_event_at: datetime | None = None
    latency_n: int = 0
    latency_mean_ms: float | None = None
    latency_min_ms: float | None = None
    latency_max_ms: float | None = None
    latency_p50_ms: float | None = None
    latency_p90_ms: float | None = None
    latency_p95_ms: float | None = None
    latency_p99_ms: float | None = None
    prediction_n: int = 0
    prediction_mean: float | None = None
    proba_mean: float | None = None
    rank_error: float | None = None
    baseline_version: int | None = None
    features_scored: int = 0
    features_warning: int = 0
    features_drift: int = 0
    worst_feature: str | None = None
    worst_psi: float | None = None
    change_id: int | None = None


class FeatureDay(Day, frozen=True, kw_only=True):
    """A day's statistics of one feature; quantiles are within `rank_error` of the exact rank.

    Where a day has more labels than are counted exactly, of at most `not_kept` values the label is not kept, and the
    bounds of each label's count are at most `label_error` apart.
    """

    feature: str
    kind: str
    n: int
    missing: int
    missing_rate: float | None = None
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
    exact: bool | None = None
    not_kept: int | None = None
    label_error: int | None = None
    top: Any = None


class DriftDay(Day, frozen=True, kw_only=True):
    """A day's drift of one feature: the verdict, every number behind it, and with `bins=True` each bin's part."""

    feature: str
    kind: str
    n: int
    missing: int
    verdict: str
    missing_rate: float | None = None
    baseline_version: int | None = None
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
    baseline_overlaps: bool = False
    rank_error: float | None = None
    bins: Any = None


class LatencyRow(Shape, frozen=True, kw_only=True):
    """Latency in [start, end); percentiles by share ("0.95"), within 2 % of the value."""

    start: datetime
    end: datetime
    requests: int
    latency_n: int = 0
    mean_ms: float | None = None
    percentiles: dict[str, float | None] = {}


class LedgerPartition(Shape, frozen=True, kw_only=True):
    """Where every record of a partition went; `difference` is 0 unless something is wrong."""

    topic: str
    partition: int
    next_offset: int
    records_decoded: int
    records_dead: int
    records_duplicate: int
    records_lost: int
    records_empty: int
    difference: int
    first_offset: int | None = None
    stopped_reason: str | None = None


class LedgerDay(Shape, frozen=True, kw_only=True):
    """Where every event of a project's day went; an empty `project_id` holds what no project could be found for."""

    project_id: str
    day: date | None
    decoded: int
    merged: int
    dead: int
    duplicate: int
    deleted: int
    difference: int
    day_start: datetime | None = None


class Ledger(Shape, frozen=True, kw_only=True):
    """Both ledgers. `partitions` is None for a key that is bound to projects."""

    balanced: bool
    items: list[LedgerDay]
    partitions: list[LedgerPartition] | None = None


class ClientDay(Shape, frozen=True, kw_only=True):
    """What all clients say became of a project's events on a UTC day; an empty `project_id`: events that named none."""

    project_id: str
    day: date
    outcome: str
    reason: str
    events: int
    reported_at: datetime | None = None


class DeadLetter(Shape, frozen=True, kw_only=True):
    """An event, or a whole record, that was refused, and why."""

    id: str
    topic: str
    partition: int
    offset: int
    event_index: int | None
    reason: str
    detail: str
    project_id: str | None = None
    appended_at: datetime | None = None
    replayed_at: datetime | None = None


class DeadLetterDetail(DeadLetter, frozen=True, kw_only=True):
    """A dead letter with its original bytes, while they are kept."""

    original_base64: str | None = None
    original_text: str | None = None
    truncated: bool = False


class Replayed(Shape, frozen=True, kw_only=True):
    """What became of a replay; `skipped` ones were replayed before, or their bytes are gone."""

    replayed: int
    skipped: int
    remaining: int


class LiveEvent(Shape, frozen=True, kw_only=True):
    """One server-sent event: `metric` carries a MetricDay, `alert` an Alert; `hello` and `resync` say where it stands."""

    event: str
    id: str | None = None
    metric: MetricDay | None = None
    alert: Alert | None = None
    data: Any = None
