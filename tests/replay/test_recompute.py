"""Are the oracle's formulas right? Worked by hand where that is possible, and against their definitions elsewhere."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from ml_guard.replay.oracle import DayTruth
from ml_guard.replay.recompute import bin_counts, corrected, rank_interval, score, verdict
from ml_guard.shapes import BaselineFeature


def frozen(kind: str, **fields: object) -> BaselineFeature:
    return BaselineFeature(feature="f", kind=kind, n=0, missing=0, shares=[], share_errors=[], **fields)  # type: ignore[arg-type]


def test_numbers_fall_into_bins_that_are_closed_on_the_right() -> None:
    day = DayTruth(events=7, numeric={"f": [0.5, 1.0, 1.0000001, 2.0, 9.0, math.nan]})
    assert bin_counts(day, frozen("numeric", edges=[1.0, 2.0]), set()) == [2, 2, 1, 2]


def test_labels_fall_into_their_own_bin_other_or_unseen() -> None:
    day = DayTruth(events=10, text={("f", "categorical"): Counter(CA=4, FR=2, ZZ=1)})
    counts = bin_counts(day, frozen("categorical", labels=["CA", "US"]), {"CA", "US", "FR"})
    assert counts == [4, 0, 2, 1, 3]


def test_a_score_worked_by_hand() -> None:
    """Two bins, x = (30, 70) and y = (50, 50): everything follows from four numbers."""
    result = score([30, 70], [0.5, 0.5], 100, [0.0, 0.0])
    smoothed_p, smoothed_q = (30 + 0.4) / 101, (50 + 0.4) / 101  # w = 80 / 200, times B/2 = 1
    psi = (smoothed_p - smoothed_q) * math.log(smoothed_p / smoothed_q)
    psi += (smoothed_q - smoothed_p) * math.log((1 - smoothed_p) / (1 - smoothed_q))
    assert result.psi == pytest.approx(psi, rel=1e-12)
    assert result.psi_expected == pytest.approx((1 - smoothed_q + smoothed_q) * 0.02, rel=1e-12)  # B - 1 = 1
    assert result.chi_square == pytest.approx(2 * 10**2 / 40 + 2 * 10**2 / 60, rel=1e-12)
    assert result.degrees_of_freedom == 1
    assert result.p_value == pytest.approx(math.erfc(math.sqrt(result.chi_square / 2)), rel=1e-12)
    assert result.l_infinity == pytest.approx(0.2)


def test_uncertain_shares_raise_e0_and_the_p_value() -> None:
    sure = score([120, 80], [0.5, 0.5], 1000, [0.0, 0.0])
    unsure = score([120, 80], [0.5, 0.5], 1000, [0.02, 0.02])
    assert unsure.psi == sure.psi
    assert unsure.psi_expected > sure.psi_expected
    assert unsure.p_value > sure.p_value


counts = st.lists(st.integers(0, 5_000), min_size=2, max_size=20)


@given(counts, st.data())
def test_a_score_is_never_negative_and_its_parts_add_up(x: list[int], data: st.DataObject) -> None:
    y = data.draw(st.lists(st.integers(0, 5_000), min_size=len(x), max_size=len(x)))
    if not sum(x) or not sum(y):
        return
    result = score(x, [value / sum(y) for value in y], sum(y), [0.0] * len(x))
    assert result.psi >= 0
    assert math.fsum(result.contributions) == pytest.approx(result.psi, abs=1e-12)
    assert 0 <= result.p_value <= 1
    assert 0 <= result.l_infinity <= 1


@given(counts)
@example([23, 14, 4])  # of which scipy's distance is no number
def test_the_same_shares_have_no_drift(x: list[int]) -> None:
    if sum(x):
        result = score(x, [value / sum(x) for value in x], sum(x), [0.0] * len(x))
        assert result.psi == pytest.approx(0, abs=1e-12)
        assert result.p_value == pytest.approx(1)
        assert result.js_distance == pytest.approx(0, abs=1e-7)


def test_q_values_are_those_of_benjamini_and_hochberg() -> None:
    """Their own worked example (1995), 15 tests: at 0.05 the first four are rejected."""
    p = [
        0.0001,
        0.0004,
        0.0019,
        0.0095,
        0.0201,
        0.0278,
        0.0298,
        0.0344,
        0.0459,
        0.324,
        0.4262,
        0.5719,
        0.6528,
        0.759,
        1.0,
    ]
    assert sum(q <= 0.05 for q in corrected(p)) == 4
    assert corrected([]) == []


def test_a_verdict_needs_size_significance_and_enough_events() -> None:
    large = score([800, 200], [0.5, 0.5], 1000, [0.0, 0.0])
    assert verdict(large, 0.001, 0.1, 0.25) == "drift"
    assert verdict(large, 0.02, 0.1, 0.25) == "ok"
    assert verdict(score([650, 350], [0.5, 0.5], 1000, [0.0, 0.0]), 0.001, 0.05, 0.25) == "warning"
    assert verdict(score([8, 2], [0.5, 0.5], 10, [0.0, 0.0]), 0.001, 0.1, 0.25) == "insufficient_data"


def test_a_tied_value_may_claim_every_rank_of_its_ties() -> None:
    values = np.array([1.0, 2.0, 2.0, 2.0, 3.0])
    assert rank_interval(values, 2.0) == (0.2, 0.8)
    assert rank_interval(values, 2.5) == (0.8, 0.8)


def test_the_number_of_failures_allowed_is_the_binomial_s() -> None:
    from ml_guard.replay.claims import allowed_failures

    for trials in (10, 300, 3000):
        assert allowed_failures(trials) == stats.binom.isf(1e-6, trials, 0.01)
