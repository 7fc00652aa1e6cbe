"""Does every day hold exactly the events that were sent, with the statistics of their raw values?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from ml_guard.replay.claims import Claim, Observed, Tally, allowed_failures, name
from ml_guard.replay.oracle import DayKey, DayTruth, Truth, day_bounds
from ml_guard.replay.recompute import rank_interval
from ml_guard.shapes import FeatureDay, MetricDay

PERCENTILES = {
    "p01": 0.01,
    "p05": 0.05,
    "p25": 0.25,
    "p50": 0.5,
    "p75": 0.75,
    "p90": 0.9,
    "p95": 0.95,
    "p99": 0.99,
}
LATENCIES = {"latency_p50_ms": 0.5, "latency_p90_ms": 0.9, "latency_p95_ms": 0.95, "latency_p99_ms": 0.99}
HISTOGRAM_ERROR = 0.02
"""What docs/sql.md promises of percentiles over any range, relative to the value."""

_bounds = lru_cache(maxsize=None)(day_bounds)


def day_claims(truth: Truth, seen: Observed) -> Iterator[Claim]:
    """The claims about counts and statistics, one after another."""
    yield _requests(truth, seen)
    yield _borders(truth, seen)
    yield _spans(truth, seen)
    yield _presence(truth, seen)
    yield _moments(truth, seen)
    yield _percentiles(truth, seen)
    yield _labels(truth, seen)
    yield _predictions(truth, seen)
    if seen.latency:
        yield _latency_ranges(truth, seen)


def _requests(truth: Truth, seen: Observed) -> Claim:
    tally = Tally()
    for key in sorted(truth.days.keys() | seen.metrics.keys()):
        row, day = seen.metrics.get(key), truth.days.get(key)
        tally.equal(name(key), row.requests if row else 0, day.events if day else 0)
    events = sum(day.events for day in truth.days.values())
    return tally.claim(f"requests of {len(truth.days)} model-days, {events} events, are those that were sent")


def _borders(truth: Truth, seen: Observed) -> Claim:
    tally = Tally()
    hours = set()
    for key, row in seen.metrics.items():
        start, end = _bounds(key.day, truth.zones[key.project_id])
        hours.add((end - start).total_seconds() / 3600)
        tally.equal(name(key, "day_start"), row.day_start, start)
        tally.equal(name(key, "day_end"), row.day_end, end)
    lengths = ", ".join(f"{h:g}" for h in sorted(hours))
    return tally.claim(f"days of {lengths} hours begin and end where their zone says")


def _spans(truth: Truth, seen: Observed) -> Claim:
    tally = Tally()
    for key, day in truth.days.items():
        row = seen.metrics.get(key)
        if row is None:
            tally.fail(name(key), "no such day")
            continue
        tally.equal(name(key, "first_event_at"), row.first_event_at, day.first)
        tally.equal(name(key, "last_event_at"), row.last_event_at, day.last)
    return tally.claim("the first and the last event of every day are those that were sent")


def _presence(truth: Truth, seen: Observed) -> Claim:
    tally = Tally()
    for key, day, feature, kind, row in _values(truth, seen):
        if row is None:
            tally.fail(name(key, feature, kind), "no such row")
            continue
        present = day.present(feature, kind)
        tally.equal(name(key, feature, "n"), row.n, present)
        tally.equal(name(key, feature, "missing"), row.missing, day.events - present)
        if kind == "numeric":
            tally.equal(name(key, feature, "non_finite"), row.non_finite, day.non_finite(feature))
    return tally.claim("values present, missing and not finite of every feature and day")


def _moments(truth: Truth, seen: Observed) -> Claim:
    tally = Tally()
    for key, day, feature, kind, row in _values(truth, seen):
        numbers = np.array(day.numbers(feature)) if kind == "numeric" else np.empty(0)
        if row is None or not numbers.size:
            continue
        for field, expected in (
            ("minimum", numbers.min()),
            ("maximum", numbers.max()),
            ("mean", numbers.mean()),
            ("stddev", numbers.std()),
        ):
            tally.close(name(key, feature, field), getattr(row, field), float(expected))
    return tally.claim(
        "minimum, maximum, mean and deviation of every numeric feature and day", bound="1e-9 relative"
    )


def _percentiles(truth: Truth, seen: Observed) -> Claim:
    tally = Tally()
    for key, day, feature, kind, row in _values(truth, seen):
        if kind == "numeric" and row is not None and row.n:
            _ranks(tally, key, feature, np.sort(np.array(day.numbers(feature))), row, PERCENTILES)
    for key, day in truth.days.items():
        metrics = seen.metrics.get(key)
        if metrics is not None and day.numbers("@latency_ms"):
            _ranks(tally, key, "latency", np.sort(np.array(day.numbers("@latency_ms"))), metrics, LATENCIES)
    allowed = allowed_failures(tally.compared)
    return tally.claim(
        "percentiles lie within the sketch's published rank error of the raw values",
        allowed=allowed,
        bound=f"at most {allowed}, its error being a 99 % one",
    )


def _ranks(
    tally: Tally, key: DayKey, what: str, values: Any, row: FeatureDay | MetricDay, fields: dict[str, float]
) -> None:
    error = row.rank_error or 0.0
    for field, wanted in fields.items():
        low, high = rank_interval(values, getattr(row, field))
        off = max(low - wanted, wanted - high, 0.0)
        tally.compared += 1
        tally.worst = max(tally.worst, off)
        if off > error + 1.0 / values.size:
            tally.wrong.append(
                f"{name(key, what, field)}: {getattr(row, field)} has the ranks {low:.4f} to {high:.4f}"
            )


def _labels(truth: Truth, seen: Observed) -> Claim:
    tally = Tally()
    for key, day, feature, kind, row in _values(truth, seen):
        if kind == "numeric" or row is None:
            continue
        labels = day.labels(feature, kind)
        tally.equal(name(key, feature, "distinct"), row.distinct_count, len(labels))
        for top in row.top or []:
            tally.equal(name(key, feature, top["label"]), top["count"], labels[top["label"]])
    return tally.claim("counts of the labels and of the booleans of every day are exact")


def _predictions(truth: Truth, seen: Observed) -> Claim:
    tally = Tally()
    for key, day in truth.days.items():
        row = seen.metrics.get(key)
        if row is None:
            continue
        kinds = [kind for feature, kind in day.kinds() if feature == "@y_pred"]
        present = sum(day.present("@y_pred", kind) for kind in kinds)
        tally.equal(name(key, "prediction_n"), row.prediction_n, present)
        numbers = day.numbers("@y_pred")
        for label, number in day.labels("@y_pred", "boolean").items():
            numbers += [float(label == "true")] * number
        if "categorical" in kinds:
            tally.equal(name(key, "prediction_mean"), row.prediction_mean, None)
        elif numbers:
            tally.close(name(key, "prediction_mean"), row.prediction_mean, float(np.mean(numbers)))
        if proba := day.numbers("@y_proba"):
            tally.close(name(key, "proba_mean"), row.proba_mean, float(np.mean(proba)))
        if latency := day.numbers("@latency_ms"):
            tally.equal(name(key, "latency_n"), row.latency_n, len(latency))
            tally.close(name(key, "latency_mean_ms"), row.latency_mean_ms, float(np.mean(latency)))
    return tally.claim("means of predictions, probabilities and latency of every day", bound="1e-9 relative")


def _latency_ranges(truth: Truth, seen: Observed) -> Claim:
    tally = Tally()
    for key, row in seen.latency.items():
        values = np.sort(np.array(truth.days[key].numbers("@latency_ms")))
        tally.equal(name(key, "latency_n"), row.latency_n, values.size)
        for percentile, value in row.percentiles.items():
            expected = float(values[max(int(np.ceil(float(percentile) * values.size - 1e-9)), 1) - 1])
            error = abs((value or 0.0) - expected) / expected
            tally.compared += 1
            tally.worst = max(tally.worst, error)
            if error > HISTOGRAM_ERROR + 1e-6:
                tally.wrong.append(f"{name(key, percentile)}: {value} instead of {expected}")
    return tally.claim("latency percentiles from the minutes' histograms", bound="2 % relative")


def _values(truth: Truth, seen: Observed) -> Iterator[tuple[DayKey, DayTruth, str, str, FeatureDay | None]]:
    for key, day in truth.days.items():
        rows = seen.features.get(key, {})
        for feature, kind in sorted(day.kinds()):
            yield key, day, feature, kind, rows.get((feature, kind))
