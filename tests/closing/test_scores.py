"""Numbers of a day equal those of numpy and scipy on the raw values."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from stream.closing.capture import CapturedFeature
from tests.closing.world import World

EXACT = {"rel": 1e-9, "abs": 1e-12}


def bin_vector(base: CapturedFeature, values: object, events: int) -> np.ndarray:
    """The day's counts from its raw values and the baseline's stored bins, without the code under test."""
    if isinstance(values, np.ndarray):
        values = values[np.isfinite(values)]
        assert base.edges is not None
        bounds = [-math.inf, *base.edges, math.inf]
        counts = [
            int(((values > lower) & (values <= upper)).sum()) for lower, upper in itertools.pairwise(bounds)
        ]
    else:
        assert isinstance(values, list)
        assert base.labels is not None
        seen = Counter(str(value).lower() if isinstance(value, bool) else value for value in values)
        other = sum(n for label, n in seen.items() if label in (base.other_labels or ()))
        counts = [seen[label] for label in base.labels]
        counts += [other, len(values) - sum(counts) - other]
    return np.array([*counts, events - sum(counts)], dtype=float)


def expected_score(base: CapturedFeature, x: np.ndarray) -> dict[str, float]:
    """DESIGN.md's formulas, written down once more with numpy and scipy."""
    q_all, s_all = np.array(base.shares), np.array(base.share_errors)
    m, n = base.n + base.missing, x.sum()
    y = q_all * m
    kept = (x + y) > 0
    x, y, s = x[kept], y[kept], s_all[kept]
    size = kept.sum()
    w = (x + y) / (n + m)
    p = (x + w * size / 2) / (n + size / 2)
    q = (y + w * size / 2) / (m + size / 2)
    psi = ((p - q) * np.log(p / q)).sum()
    e0 = ((q * (1 - q) * (1 / n + 1 / m) + s**2) / q).sum()
    chi_square = stats.chi2_contingency(np.array([x, y]), correction=False).statistic
    corrected = chi_square / (e0 / ((size - 1) * (1 / n + 1 / m)))
    return {
        "psi": psi,
        "psi_expected": e0,
        "chi_square": chi_square,
        "degrees_of_freedom": size - 1,
        "p_value": stats.chi2.sf(corrected, size - 1),
        "js_distance": jensenshannon(x / n, y / m, base=2),
        "l_infinity": np.abs(x / n - y / m).max(),
    }


def a_day(seed: int, events: int, shift: float = 0.0) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    return {
        "@latency_ms": rng.lognormal(3, 0.6, events),
        "@y_pred": [bool(value) for value in rng.random(events) < 0.3 + shift / 10],
        "@y_proba": rng.beta(2, 5, events),
        "age": rng.normal(40 + 10 * shift, 10, events - 7),
        "visits": rng.poisson(2, events).astype(float),
        "country": rng.choice(["CA", "US", "FR", "BR"], events, p=[0.5, 0.3, 0.15, 0.05]).tolist(),
    }


async def test_scores_by_counters_equal_numpy_and_scipy_on_the_raw_values(world: World) -> None:
    await world.closed_day("2025-01-10", 4000, a_day(1, 4000))
    await world.closed_day("2025-01-11", 3000, a_day(2, 3000), shard=1)
    captured = await world.capture("2025-01-10", "2025-01-11")
    first, second = a_day(3, 900, shift=0.5), a_day(4, 700, shift=0.5)
    await world.checkpoint(world.clock.now, 900, first, shard=0)
    await world.checkpoint(world.clock.now, 700, second, shard=3)
    await world.roll()

    rows = {}
    for base in captured.features:
        one, other = first[base.feature], second[base.feature]
        values = np.concatenate([one, other]) if isinstance(one, np.ndarray) else [*one, *other]
        row = rows[base.feature] = await world.feature(base.feature, "2025-01-12")
        x = bin_vector(base, values, 1600)
        assert row["method"] == "counters"
        assert row["status"] == "provisional"
        for name, expected in expected_score(base, x).items():
            assert row[name] == pytest.approx(expected, **EXACT), (base.feature, name)
        assert [found["count"] for found in row["bins"]] == x.tolist()
        assert sum(found["contribution"] for found in row["bins"]) == pytest.approx(row["psi"], **EXACT)
        assert [found["baseline_share"] for found in row["bins"]] == list(base.shares)

    names = sorted(rows)
    q_values = stats.false_discovery_control([rows[name]["p_value"] for name in names], method="bh")
    assert [rows[name]["q_value"] for name in names] == pytest.approx(q_values.tolist(), **EXACT)
    assert rows["age"]["verdict"] in ("warning", "drift")
    assert rows["visits"]["verdict"] == "ok"
    assert rows["age"]["missing"] == 14

    metric = await world.metric("2025-01-12")
    latency = np.concatenate([first["@latency_ms"], second["@latency_ms"]])
    assert metric["requests"] == 1600
    assert metric["latency_mean_ms"] == pytest.approx(latency.mean(), rel=1e-9)
    assert metric["latency_max_ms"] == latency.max()
    assert metric["prediction_mean"] == pytest.approx(
        np.mean([*first["@y_pred"], *second["@y_pred"]]), rel=1e-9
    )
    assert metric["features_scored"] == 6
    assert metric["worst_feature"] == "age"
    rank = (latency <= metric["latency_p95_ms"]).mean()
    assert abs(rank - 0.95) <= metric["rank_error"]


async def test_statistics_of_a_feature_equal_numpy_on_the_raw_values(world: World) -> None:
    day = a_day(5, 150)
    await world.checkpoint(world.clock.now, 150, day)
    await world.roll()
    row = await world.feature("age", "2025-01-10")
    age = np.asarray(day["age"])
    assert (row["n"], row["missing"], row["missing_rate"]) == (143, 7, pytest.approx(7 / 150))
    for name, expected in (
        ("minimum", age.min()),
        ("maximum", age.max()),
        ("mean", age.mean()),
        ("stddev", age.std()),
    ):
        assert row[name] == pytest.approx(expected, rel=1e-9)
    for name, p in (("p01", 0.01), ("p25", 0.25), ("p50", 0.5), ("p99", 0.99)):
        assert row[name] == np.quantile(age, p, method="inverted_cdf")  # not estimating at n <= 200
    assert row["exact"]
    assert row["verdict"] == "missing_baseline"
    country = await world.feature("country", "2025-01-10")
    assert {item["label"]: item["count"] for item in country["top"]} == Counter(day["country"])
    assert country["distinct_count"] == len(set(day["country"]))


async def test_a_day_whose_counters_miss_a_shard_is_scored_from_its_sketch_and_says_so(world: World) -> None:
    await world.closed_day("2025-01-10", 4000, a_day(1, 4000))
    await world.capture("2025-01-10")
    await world.checkpoint(world.clock.now, 400, a_day(2, 400), shard=0)
    await world.checkpoint(world.clock.now, 400, a_day(3, 400), shard=1, uncounted=["age"])
    await world.roll()
    assert (await world.feature("age", "2025-01-11"))["method"] == "sketch"
    assert (await world.feature("visits", "2025-01-11"))["method"] == "counters"


async def test_every_status_has_its_row(world: World) -> None:
    rng = np.random.default_rng(6)
    await world.connection.execute(
        "insert into ml_guard.feature_setting (project_id, feature, ignored) values ($1, 'request_id', true)",
        world.project,
    )
    baseline = {
        "kept": rng.normal(0, 1, 2000),
        "retyped": rng.normal(0, 1, 2000),
        "gone": rng.normal(0, 1, 2000),
        "request_id": rng.normal(0, 1, 2000),
        "moved": rng.normal(0, 1, 2000),
        "edged": rng.normal(0, 1, 2000),
    }
    await world.closed_day("2025-01-10", 2000, baseline)
    await world.capture("2025-01-10")
    await world.checkpoint(
        world.clock.now,
        1000,
        {
            "kept": rng.normal(0, 1, 1000),
            "retyped": ["text"] * 1000,
            "request_id": rng.normal(5, 1, 1000),
            "moved": rng.normal(1.5, 1, 1000),
            "edged": rng.normal(0.42, 1, 1000),
            "fresh": rng.normal(0, 1, 1000),
        },
    )
    await world.roll()
    verdicts = {}
    for feature in ("kept", "retyped", "gone", "request_id", "moved", "edged", "fresh"):
        verdicts[feature] = await world.feature(feature, "2025-01-11")
    assert {name: row["verdict"] for name, row in verdicts.items()} == {
        "kept": "ok",
        "retyped": "type_changed",
        "gone": "missing_feature",
        "request_id": "ignored",
        "moved": "drift",
        "edged": "warning",
        "fresh": "new_feature",
    }
    assert verdicts["gone"]["n"] == 0
    assert verdicts["gone"]["missing"] == 1000
    assert all(verdicts[name]["psi"] is None for name in ("retyped", "gone", "request_id", "fresh"))
    metric = await world.metric("2025-01-11")
    assert (metric["features_scored"], metric["features_warning"], metric["features_drift"]) == (3, 1, 1)


async def test_too_few_events_are_insufficient_data_and_not_drift(world: World) -> None:
    rng = np.random.default_rng(7)
    await world.closed_day("2025-01-10", 2000, {"age": rng.normal(0, 1, 2000)})
    await world.capture("2025-01-10")
    await world.checkpoint(world.clock.now, 20, {"age": rng.normal(2, 1, 20)})
    await world.roll()
    row = await world.feature("age", "2025-01-11")
    assert row["verdict"] == "insufficient_data"
    assert row["psi"] > 0.25


async def test_values_that_vanish_are_drift_of_the_missing_bin(world: World) -> None:
    rng = np.random.default_rng(8)
    await world.closed_day("2025-01-10", 2000, {"age": rng.normal(0, 1, 2000)})
    await world.capture("2025-01-10")
    await world.checkpoint(world.clock.now, 1000, {"age": rng.normal(0, 1, 600)})
    await world.roll()
    row = await world.feature("age", "2025-01-11")
    missing = row["bins"][-1]
    assert missing["bin"] == "missing"
    assert (missing["count"], missing["share"], missing["points"]) == (400, 0.4, pytest.approx(40))
    assert row["verdict"] == "drift"
