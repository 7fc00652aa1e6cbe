"""What does a report know? Read through the client, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone

from ml_guard.client import MLGuardClient
from ml_guard.shapes import Baseline, DriftDay, LatencyRow, LedgerDay, MetricDay, Project

HISTORY_DAYS = 14
"""Charts by day reach at least so far back, so that a single day is seen beside those before it."""
DETAILS = 8
"""Features of a model that are shown with their bins, the worst first."""
MOVED = ("drift", "type_changed", "missing_feature", "warning", "new_feature")
"""Verdicts that say that something moved, the worst first."""
HOUR_S = 3600

ModelKey = tuple[str, str]


@dataclass(frozen=True)
class ModelFacts:
    """One model's endpoint over the days of the charts; `details` are of the days of the report, with their bins."""

    model_id: str
    endpoint: str
    metrics: Sequence[MetricDay]
    drift: Sequence[DriftDay]
    details: Sequence[DriftDay]
    moved: int
    """How many features moved on the days of the report."""
    hours: Sequence[LatencyRow]
    baselines: Sequence[Baseline]

    @property
    def latest(self) -> MetricDay | None:
        """The newest day that has a result."""
        return self.metrics[-1] if self.metrics else None


@dataclass(frozen=True)
class Facts:
    """All that a report shows."""

    project: Project
    first: date
    last: date
    since: date
    made_at: datetime
    models: Sequence[ModelFacts]
    ledger: Sequence[LedgerDay]

    def is_reported(self, day: date) -> bool:
        """Whether the report is about this day, rather than that it stands beside."""
        return self.first <= day <= self.last


def read_facts(
    client: MLGuardClient, project_id: str, first: date, last: date, model_id: str | None = None
) -> Facts:
    """Read a project's days. Raises `TransportError`."""
    project = client.projects.get(project_id)
    since = min(first, last - timedelta(days=HISTORY_DAYS - 1))
    metrics = client.metrics_daily(
        project_id=project_id, model_id=model_id, from_=since, to=last, order="asc"
    )
    drift = client.drift_daily(project_id=project_id, model_id=model_id, from_=since, to=last, order="asc")
    since = min([first, *(row.day for row in metrics)])
    keys = sorted({(row.model_id, row.endpoint) for row in metrics})
    return Facts(
        project=project,
        first=first,
        last=last,
        since=since,
        made_at=datetime.now(timezone.utc),
        models=[_model(client, project_id, key, metrics, drift, first, last) for key in keys],
        ledger=client.ledger_days(project_id=project_id, from_=first, to=last),
    )


def _model(
    client: MLGuardClient,
    project_id: str,
    key: ModelKey,
    metrics: Sequence[MetricDay],
    drift: Sequence[DriftDay],
    first: date,
    last: date,
) -> ModelFacts:
    model_id, endpoint = key
    own_metrics = [row for row in metrics if (row.model_id, row.endpoint) == key]
    own_drift = [row for row in drift if (row.model_id, row.endpoint) == key]
    worst = _worst([row for row in own_drift if first <= row.day <= last and row.verdict in MOVED])
    details = []
    for row in worst[:DETAILS]:
        details += client.drift_daily(
            project_id=project_id, model_id=model_id, endpoint=endpoint, feature=row.feature, kind=row.kind,
            day=row.day, bins=True, limit=1,
        )  # fmt: skip
    hours: list[LatencyRow] = []
    if first == last and own_metrics and own_metrics[-1].day == last:
        day = own_metrics[-1]
        hours = client.latency(
            project_id=project_id, model_id=model_id, endpoint=endpoint, from_=day.day_start, to=day.day_end,
            step_s=HOUR_S, percentiles=(0.5, 0.95, 0.99),
        )  # fmt: skip
    used = {row.baseline_version for row in own_metrics if first <= row.day <= last}
    baselines = client.baselines.list(project_id=project_id, model_id=model_id, endpoint=endpoint)
    return ModelFacts(
        model_id=model_id,
        endpoint=endpoint,
        metrics=own_metrics,
        drift=own_drift,
        details=details,
        moved=len(worst),
        hours=hours,
        baselines=[baseline for baseline in baselines if baseline.version in used],
    )


def _worst(rows: Sequence[DriftDay]) -> list[DriftDay]:
    """Of each feature its worst day, the worst feature first."""

    def badness(row: DriftDay) -> tuple[int, float, int]:
        return MOVED.index(row.verdict), -(row.psi or 0.0), -row.day.toordinal()

    best: dict[tuple[str, str], DriftDay] = {}
    for row in sorted(rows, key=badness):
        best.setdefault((row.feature, row.kind), row)
    return list(best.values())


def moved_first(model: ModelFacts, facts: Facts) -> list[DriftDay]:
    """Of each feature that moved on the days of the report, the day on which that began; the earliest first.

    What moved already on the days before them, without a day of peace, began there.
    """
    begun: dict[tuple[str, str], DriftDay] = {}
    for row in model.drift:
        name = (row.feature, row.kind)
        if row.verdict not in MOVED:
            begun.pop(name, None) if not facts.is_reported(row.day) else None
        elif name not in begun:
            begun[name] = row
    reported = {
        (row.feature, row.kind) for row in model.drift if facts.is_reported(row.day) and row.verdict in MOVED
    }
    found = [row for name, row in begun.items() if name in reported]
    return sorted(found, key=lambda row: (row.day, MOVED.index(row.verdict), -(row.psi or 0.0), row.feature))
