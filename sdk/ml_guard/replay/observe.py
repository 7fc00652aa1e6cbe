"""What does the product show about a synthetic topic, read through its API?"""

from __future__ import annotations

from datetime import datetime, timedelta

from ml_guard.client import MLGuardClient
from ml_guard.replay.claims import Observed
from ml_guard.replay.oracle import DayKey, Truth
from ml_guard.replay.topic import Topic

DEAD_LETTERS = 5_000
"""The newest dead letters that are looked through for those of this topic; far more than it plants."""
PERCENTILES = (0.5, 0.9, 0.95, 0.99)


def observe(client: MLGuardClient, topic: Topic, truth: Truth) -> Observed:
    """Everything that the claims look at."""
    seen = Observed()
    for project in topic.projects:
        project_id = topic.project_id(project)
        for metric in client.metrics_daily(project_id=project_id):
            seen.metrics[DayKey(project_id, metric.model_id, metric.endpoint, metric.day)] = metric
        for feature in client.features_daily(project_id=project_id):
            key = DayKey(project_id, feature.model_id, feature.endpoint, feature.day)
            seen.features.setdefault(key, {})[feature.feature, feature.kind] = feature
        for drift in client.drift_daily(project_id=project_id, bins=True):
            key = DayKey(project_id, drift.model_id, drift.endpoint, drift.day)
            seen.drift.setdefault(key, {})[drift.feature, drift.kind] = drift
        for baseline in client.baselines.list(project_id=project_id):
            if baseline.active and baseline.version is not None:
                model = (project_id, baseline.model_id, baseline.endpoint)
                seen.baselines[model] = client.baselines.show(
                    baseline.version, project_id=project_id, model_id=model[1], endpoint=model[2]
                )
        seen.ledger_days.extend(client.ledger_days(project_id=project_id))
    seen.partitions = list(client.ledger().partitions or [])
    seen.dead_letters = list(client.dead_letters.list(limit=DEAD_LETTERS))
    _latency(client, topic, truth, seen)
    return seen


def _latency(client: MLGuardClient, topic: Topic, truth: Truth, seen: Observed) -> None:
    """Percentiles from the minutes' histograms over one past day of every endpoint that has latency."""
    for project, endpoint in topic.endpoints():
        if endpoint.latency is None:
            continue
        day = topic.scored_days(project)[0] + timedelta(days=1)
        key = DayKey(topic.project_id(project), endpoint.model_id, endpoint.endpoint, day)
        row = seen.metrics.get(key)
        if row is None or key not in truth.days:
            continue
        answer = client.latency(
            project_id=key.project_id,
            model_id=key.model_id,
            endpoint=key.endpoint,
            from_=_minute(row.day_start),
            to=_minute(row.day_end),
            percentiles=PERCENTILES,
        )
        if answer:
            seen.latency[key] = answer[0]


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)
