"""How do a day's distributions read as columns: statistics, percentiles, top labels, bins?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from stream.bins import Floats, FrozenBins, Ints, Kind, Sketch
from stream.drift import Status
from stream.sketches import CategorySketch, NumericSketch
from stream.store.results import FeatureRow, MetricRow
from stream.store.snapshot import ModelDayState

LATENCY = "@latency_ms"
PREDICTION = "@y_pred"
PROBABILITY = "@y_proba"

TOP_LABELS = 20
_PERCENTILES = (0.01, 0.05, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99)
_LATENCY_PERCENTILES = (0.50, 0.90, 0.95, 0.99)
_JUDGED = (Status.OK, Status.WARNING, Status.DRIFT)


def feature_statistics(feature: str, kind: str, sketch: Sketch, events: int) -> FeatureRow:
    """A row with everything but its score; `missing` is what the events have beyond the finite values."""
    n = sketch.n
    missing = events - n
    rate = missing / events if events else None
    if isinstance(sketch, CategorySketch):
        top = [
            {"label": item.label, "count": item.estimate, "lower": item.lower, "upper": item.upper}
            for item in sketch.items()[:TOP_LABELS]
        ]
        return FeatureRow(
            feature,
            kind,
            n=n,
            missing=missing,
            missing_rate=rate,
            verdict="",
            exact=sketch.exact,
            distinct_count=sketch.distinct,
            not_kept=sketch.not_kept,
            label_error=sketch.error,
            top=msgspec.json.encode(top).decode(),
        )
    p01, p05, p25, p50, p75, p90, p95, p99 = percentiles(sketch, _PERCENTILES)
    return FeatureRow(
        feature,
        kind,
        n=n,
        missing=missing,
        missing_rate=rate,
        verdict="",
        exact=not sketch.estimating,
        non_finite=sketch.non_finite,
        minimum=_number(sketch.minimum),
        maximum=_number(sketch.maximum),
        mean=_number(sketch.mean),
        stddev=_number(sketch.std),
        p01=p01,
        p05=p05,
        p25=p25,
        p50=p50,
        p75=p75,
        p90=p90,
        p95=p95,
        p99=p99,
        rank_error=sketch.rank_error,
    )


def percentiles(sketch: NumericSketch, probabilities: Sequence[float]) -> list[float | None]:
    """Quantiles of a sketch; nothing for an empty one."""
    return [_number(value) for value in sketch.quantiles(probabilities).tolist()]


def bins_json(bins: FrozenBins, x: Floats | Ints, contributions: Floats) -> str:
    """The bins of a scored day as a column."""
    return msgspec.json.encode(bin_rows(bins, x, bins.q, contributions)).decode()


def bin_rows(
    bins: FrozenBins, x: Floats | Ints, shares: Floats, contributions: Floats
) -> list[dict[str, object]]:
    """The bins of what was scored, in the order of the bin vector, with all that their PSI is made of.

    Parameters
    ----------
    x : ndarray
        Counts.
    shares : ndarray
        What they are compared with.
    """
    n = float(x.sum())
    rows = []
    for name, count, q, contribution in zip(
        _named(bins), x.tolist(), shares.tolist(), contributions.tolist(), strict=True
    ):
        share = count / n
        rows.append(
            {
                **name,
                "baseline_share": q,
                "share": share,
                "points": 100 * (share - q),
                "count": count,
                "contribution": contribution,
            }
        )
    return rows


def _named(bins: FrozenBins) -> list[dict[str, object]]:
    if bins.kind is Kind.NUMERIC:
        edges = bins.edges.tolist()
        ranges = zip([None, *edges], [*edges, None], strict=True)
        return [
            *({"bin": "range", "lower": lower, "upper": upper} for lower, upper in ranges),
            {"bin": "missing"},
        ]
    labels: list[dict[str, object]] = [{"bin": "label", "label": label} for label in bins.labels]
    return [*labels, {"bin": "other"}, {"bin": "unseen"}, {"bin": "missing"}]


def metric_row(
    state: ModelDayState, sketches: Mapping[tuple[str, str], Sketch], features: Sequence[FeatureRow]
) -> MetricRow:
    """The model-day's own row, from its sketches and its features' rows."""
    latency = sketches.get((LATENCY, Kind.NUMERIC))
    if not isinstance(latency, NumericSketch):
        latency = NumericSketch()
    p50, p90, p95, p99 = percentiles(latency, _LATENCY_PERCENTILES)
    probability = sketches.get((PROBABILITY, Kind.NUMERIC))
    prediction_n, prediction_mean = _prediction(sketches)
    judged = [row for row in features if row.verdict in _JUDGED and row.psi is not None]
    worst = max(judged, key=lambda row: row.psi or 0.0, default=None)
    return MetricRow(
        requests=sum(row.n for row in state.events),
        first_event_at=min((row.first_event_at for row in state.events if row.first_event_at), default=None),
        last_event_at=max((row.last_event_at for row in state.events if row.last_event_at), default=None),
        latency_n=latency.n,
        latency_mean_ms=_number(latency.mean),
        latency_min_ms=_number(latency.minimum),
        latency_max_ms=_number(latency.maximum),
        latency_p50_ms=p50,
        latency_p90_ms=p90,
        latency_p95_ms=p95,
        latency_p99_ms=p99,
        prediction_n=prediction_n,
        prediction_mean=prediction_mean,
        proba_mean=_number(probability.mean) if isinstance(probability, NumericSketch) else None,
        rank_error=latency.rank_error if latency.n else None,
        features_scored=sum(row.psi is not None for row in features),
        features_warning=sum(row.verdict == Status.WARNING for row in features),
        features_drift=sum(row.verdict == Status.DRIFT for row in features),
        worst_feature=None if worst is None else worst.feature,
        worst_psi=None if worst is None else worst.psi,
    )


def _prediction(sketches: Mapping[tuple[str, str], Sketch]) -> tuple[int, float | None]:
    """Predictions, and the mean of numbers and booleans (true is 1); no mean if any was text."""
    n, total, text = 0, 0.0, False
    for (feature, kind), sketch in sketches.items():
        if feature != PREDICTION or sketch.n == 0:
            continue
        n += sketch.n
        if isinstance(sketch, NumericSketch):
            total += sketch.mean * sketch.n
        elif kind == Kind.BOOLEAN:
            total += next((item.estimate for item in sketch.items() if item.label == "true"), 0)
        else:
            text = True
    if n == 0 or text:
        return n, None
    only = sketches.get((PREDICTION, Kind.NUMERIC))
    return n, _number(only.mean if isinstance(only, NumericSketch) and only.n == n else total / n)


def _number(value: float) -> float | None:
    """NaN stands for "nothing to say" in Python; in the database that is null. Infinity is an overflow of a mean."""
    return value if math.isfinite(value) else None
