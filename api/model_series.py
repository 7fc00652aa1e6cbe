"""How are the models, for Prometheus? Gauges with the names of projects, for a key, and no more of them than is set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from stream.settings import Settings
from stream.store import gauges
from stream.store.pool import Connection
from stream.store.reading import Row

MODEL = ("project", "model", "endpoint")
QUANTILES = {
    "0.5": "latency_p50_ms",
    "0.9": "latency_p90_ms",
    "0.95": "latency_p95_ms",
    "0.99": "latency_p99_ms",
}
_OF_MODELS = (
    ("ml_guard_model_requests", "Requests of the model's newest local day.", "requests"),
    (
        "ml_guard_model_prediction_mean",
        "Mean prediction of that day; none where predictions are text.",
        "prediction_mean",
    ),
    ("ml_guard_model_features_scored", "Features compared with the baseline that day.", "features_scored"),
    ("ml_guard_model_features_warning", "How many of them are warnings.", "features_warning"),
    ("ml_guard_model_features_drift", "How many of them are in drift.", "features_drift"),
)


class _Answer(Collector):
    def __init__(self, families: Sequence[GaugeMetricFamily]) -> None:
        self._families = families

    def collect(self) -> Iterable[GaugeMetricFamily]:
        return self._families


async def model_series(
    connection: Connection, settings: Settings, project_ids: Sequence[str] | None
) -> bytes:
    """The text of the series of these projects (None: all)."""
    now = datetime.now(UTC)
    models, all_models = await gauges.models(connection, project_ids, now, settings.metrics_models)
    features, all_features = await gauges.features(connection, project_ids, now, settings.metrics_features)
    registry = CollectorRegistry()
    left_out = {"models": all_models - len(models), "features": all_features - len(features)}
    registry.register(_Answer(model_families(models, features, left_out)))
    return generate_latest(registry)


def model_families(
    models: Sequence[Row], features: Sequence[Row], left_out: Mapping[str, int]
) -> list[GaugeMetricFamily]:
    """The series of these rows; `left_out` counts those that have none."""
    omitted = GaugeMetricFamily(
        "ml_guard_series_left_out",
        "Models and features without a series, beyond ML_GUARD_METRICS_MODELS or ML_GUARD_METRICS_FEATURES.",
        labels=("what",),
    )
    for what, count in left_out.items():
        omitted.add_metric((what,), count)
    return [*_models(models), _psi(features), omitted]


def _models(rows: Sequence[Row]) -> list[GaugeMetricFamily]:
    families = []
    for name, text, column in _OF_MODELS:
        family = GaugeMetricFamily(name, text, labels=MODEL)
        for row in rows:
            if row[column] is not None:
                family.add_metric(_names(row), row[column])
        families.append(family)
    latency = GaugeMetricFamily(
        "ml_guard_model_latency_seconds",
        "Percentiles of that day's latency, within the sketch's rank error.",
        labels=(*MODEL, "quantile"),
    )
    last = GaugeMetricFamily(
        "ml_guard_model_last_event_timestamp_seconds",
        "When the model's newest event of that day was.",
        labels=MODEL,
    )
    for row in rows:
        for quantile, column in QUANTILES.items():
            if row[column] is not None:
                latency.add_metric((*_names(row), quantile), row[column] / 1000)
        if row["last_event_at"] is not None:
            last.add_metric(_names(row), row["last_event_at"].timestamp())
    return [*families, latency, last]


def _psi(rows: Sequence[Row]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "ml_guard_feature_psi",
        "Population stability index of the feature on its model's newest local day, the highest of all features.",
        labels=(*MODEL, "feature", "kind", "verdict"),
    )
    for row in rows:
        family.add_metric((*_names(row), row["feature"], row["kind"], row["verdict"]), row["psi"])
    return family


def _names(row: Row) -> tuple[str, str, str]:
    return row["project_id"], row["model_id"], row["endpoint"]
