"""Are latency percentiles from the histogram within two per cent of those of the raw values?"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.histogram import GAMMA, HIGHEST, LOWEST, LatencyHistogram, bucket_of, bucket_value

PROBABILITIES = [0.0, 0.001, 0.01, 0.07, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0]
RANDOM = np.random.default_rng(5)
LATENCIES = {
    "one": np.array([42.0]),
    "constant": np.full(100, 12.5),
    "lognormal": RANDOM.lognormal(4, 1, 20_000),
    "heavy tail": RANDOM.pareto(0.8, 20_000) + 0.5,
    "microseconds": RANDOM.uniform(0.001, 0.01, 5_000),
    "two modes": np.concatenate((RANDOM.normal(20, 2, 9_000), RANDOM.normal(900, 50, 1_000))),
    "whole numbers": RANDOM.poisson(30, 10_000) + 1.0,
}


@pytest.mark.parametrize("name", LATENCIES)
def test_quantiles_are_within_two_per_cent_of_numpy(name: str) -> None:
    values = LATENCIES[name]
    exact = np.quantile(values, PROBABILITIES, method="inverted_cdf")
    np.testing.assert_allclose(LatencyHistogram.of(values).quantiles(PROBABILITIES), exact, rtol=0.02 + 1e-9)


@settings(max_examples=300)
@given(st.floats(0.00101, 8e8))
def test_a_bucket_holds_its_latency_and_stands_for_it_within_two_per_cent(latency: float) -> None:
    bucket = int(bucket_of(np.array([latency]))[0])
    assert bucket == min(max(math.ceil(math.log(latency) / math.log(51 / 49)), -173), 518)
    assert GAMMA ** (bucket - 1) * (1 - 1e-12) < latency <= GAMMA**bucket * (1 + 1e-12)
    assert abs(float(bucket_value(bucket)) - latency) <= 0.02 * latency * (1 + 1e-9)


def test_zero_negative_and_huge_latencies_have_buckets() -> None:
    assert bucket_of(np.array([0.0, -5.0, 1e-9, 1e300, np.inf])).tolist() == [LOWEST] * 3 + [HIGHEST] * 2
    assert float(bucket_value(LOWEST)) == 0.0
    assert LatencyHistogram.of(np.array([0.0, 0.0, 1e300])).quantiles([0.5, 1.0]).tolist() == [
        0.0,
        pytest.approx(0.98 * (51 / 49) ** 518),
    ]


def test_what_is_not_a_number_is_not_a_latency() -> None:
    histogram = LatencyHistogram.of(np.array([np.nan, 5.0, np.inf]))
    assert histogram.n == 1
    assert LatencyHistogram.of(np.array([np.nan])).n == 0


def test_a_rank_is_not_lost_to_binary_fractions() -> None:
    """0.07 * 100 is more than 7 in binary; the 7th smallest is meant."""
    values = np.repeat([1.0, 10.0], [7, 93])
    assert LatencyHistogram.of(values).quantiles([0.07])[0] == pytest.approx(1.0, rel=0.02 + 1e-9)


@settings(max_examples=100)
@given(st.lists(st.lists(st.floats(0, 1e6), max_size=20), max_size=6))
def test_merging_in_any_order_is_counting_together(parts: list[list[float]]) -> None:
    together = LatencyHistogram.of(np.array([v for part in parts for v in part]))
    forward, backward = LatencyHistogram(), LatencyHistogram()
    for part in parts:
        forward.merge(LatencyHistogram.of(np.array(part)))
    for part in reversed(parts):
        backward.merge(LatencyHistogram.of(np.array(part)))
    assert forward.encode() == backward.encode() == together.encode()
    assert forward.n == sum(map(len, parts))


def test_merging_leaves_the_other_alone() -> None:
    one, other = LatencyHistogram(), LatencyHistogram.of(np.array([5.0]))
    one.merge(other)
    one.merge(other)
    assert (one.n, other.n) == (2, 1)


def test_encoding_is_trimmed_and_reads_back() -> None:
    assert LatencyHistogram(3, [0, 0, 2, 0, 1, 0]).encode() == (5, [2, 0, 1])
    assert LatencyHistogram(5, [2, 0, 1]).encode() == (5, [2, 0, 1])
    assert LatencyHistogram().encode() == LatencyHistogram(3, [0, 0]).encode() == (0, [])


def test_an_empty_histogram_has_no_quantiles() -> None:
    assert np.isnan(LatencyHistogram().quantiles([0.5, 0.9])).all()


@pytest.mark.parametrize(("lowest", "counts"), [(LOWEST - 1, [1]), (HIGHEST, [1, 1])])
def test_buckets_outside_the_range_are_refused(lowest: int, counts: list[int]) -> None:
    with pytest.raises(ValueError, match="-173 to 518"):
        LatencyHistogram(lowest, counts)
