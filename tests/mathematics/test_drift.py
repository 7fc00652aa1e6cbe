"""Do the drift numbers equal an independent calculation, at every edge, and do verdicts follow from them?"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance

from stream.drift import ALPHA, DRIFT, WARNING, Score, Status, benjamini_hochberg, score, verdict

Floats = npt.NDArray[np.float64]


def doubted(counts: list[float], others: list[float], s: list[float]) -> list[float]:
    """Where a sketch shows nothing but is not sure (s > 0), the other side's share, up to 2.576 s."""
    total, other = math.fsum(counts), math.fsum(others)
    return [
        total * min(o / other, 2.576 * d) if c == 0 and d > 0 else c
        for c, o, d in zip(counts, others, s, strict=True)
    ]


def independent(x: list[float], y: list[float], s: list[float], s_day: list[float]) -> dict[str, float]:
    """DESIGN's formulas, written out with plain floats and scipy.stats."""
    y = doubted(y, x, s)
    x = doubted(x, y, s_day)
    n, m = math.fsum(x), math.fsum(y)
    kept = [i for i in range(len(x)) if x[i] > 0 or y[i] > 0]
    b = len(kept)
    p, q = {}, {}
    for i in kept:
        w = (x[i] + y[i]) / (n + m)
        p[i] = (x[i] + w * b / 2) / (n + b / 2)
        q[i] = (y[i] + w * b / 2) / (m + b / 2)
    expected = math.fsum(
        (q[i] * (1 - q[i]) * (1 / n + 1 / m) + s[i] ** 2 + s_day[i] ** 2) / q[i] for i in kept
    )
    table = np.array([[x[i] for i in kept], [y[i] for i in kept]])
    chi_square, dof = stats.contingency.chi2_contingency(table, correction=False)[:2], b - 1
    corrected = chi_square[0] / (expected / ((b - 1) * (1 / n + 1 / m))) if b > 1 else 0.0
    return {
        "psi": math.fsum((p[i] - q[i]) * math.log(p[i] / q[i]) for i in kept),
        "expected": expected,
        "chi_square": float(chi_square[0]),
        "dof": dof,
        "p_value": float(stats.chi2.sf(corrected, dof)) if b > 1 else 1.0,
        # scipy takes the root of a rounding error below zero where the shares are equal
        "js_distance": float(np.nan_to_num(distance.jensenshannon(np.array(x) / n, np.array(y) / m, base=2))),
        "l_infinity": max(abs(x[i] / n - y[i] / m) for i in kept),
    }


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[float], list[float], list[float], list[float]]:
    bins = draw(st.integers(1, 24))
    counts = st.one_of(st.just(0), st.integers(0, 20), st.integers(0, 1_000_000))
    x = draw(st.lists(counts, min_size=bins, max_size=bins))
    y = draw(st.lists(counts, min_size=bins, max_size=bins))
    assume(sum(x) > 0 and sum(y) > 0)
    deviations = st.lists(st.one_of(st.just(0.0), st.floats(1e-5, 0.01)), min_size=bins, max_size=bins)
    return [float(v) for v in x], [float(v) for v in y], draw(deviations), draw(deviations)


@pytest.mark.filterwarnings("ignore:invalid value encountered in sqrt")
@settings(max_examples=300, deadline=None)
@given(tables())
def test_every_number_equals_an_independent_calculation(
    table: tuple[list[float], list[float], list[float], list[float]],
) -> None:
    x, y, s, s_day = table
    found = score(x, y, s=np.array(s), s_day=np.array(s_day))
    for name, value in independent(*table).items():
        # JS is the root of a difference that cancels: its last digits are below the root of the rounding error.
        slack = 1e-7 if name == "js_distance" else 1e-12
        assert getattr(found, name) == pytest.approx(value, rel=1e-9, abs=slack), name
    assert found.contributions.sum() == pytest.approx(found.psi, rel=1e-9, abs=1e-12)
    assert found.contributions.size == len(x)


def test_without_sketches_the_test_is_pearsons() -> None:
    x, y = [30, 50, 20], [200, 600, 200]
    found = score(x, y)
    statistic, p_value, dof, _ = stats.contingency.chi2_contingency([x, y], correction=False)
    assert (found.chi_square, found.dof) == (pytest.approx(statistic, rel=1e-12), dof)
    assert found.correction == pytest.approx(1.0, rel=1e-12)
    assert found.p_value == pytest.approx(p_value, rel=1e-12)


def test_psi_by_hand() -> None:
    """Two bins, n = m = 10: w = 1/2 in both, p = (8.5 / 11, 2.5 / 11), q the other way round."""
    assert score([8, 2], [2, 8]).psi == pytest.approx(2 * (6 / 11) * math.log(8.5 / 2.5), rel=1e-12)


def test_bins_that_are_empty_on_both_sides_change_nothing() -> None:
    with_empty = score([30, 0, 50, 0, 20], [200, 0, 600, 0, 200], s=np.array([0.01, 0.5, 0.01, 0, 0]))
    without = score([30, 50, 20], [200, 600, 200], s=np.array([0.01, 0.01, 0]))
    for name in ("psi", "expected", "chi_square", "dof", "p_value", "js_distance", "l_infinity"):
        assert getattr(with_empty, name) == getattr(without, name)
    assert with_empty.contributions[[1, 3]].tolist() == [0, 0]


def test_a_bin_that_the_baselines_sketch_may_have_missed_gets_the_benefit_of_the_doubt() -> None:
    """Up to the share that a sketch misses once in a hundred times; a new value that is more frequent is drift."""
    s = np.array([0.002, 0.002, 0.002])
    missed = score([500, 5, 495], [5_000, 0, 5_000], s=s)
    assert missed.psi < 0.001
    assert verdict(missed, missed.p_value) is Status.OK
    sure = score([500, 5, 495], [5_000, 0, 5_000])
    assert sure.psi > 10 * missed.psi
    new = score([350, 300, 350], [5_000, 0, 5_000], s=s)
    assert verdict(new, new.p_value) is Status.DRIFT
    absent = score([500, 0, 500], [5_000, 0, 5_000], s=s)
    assert absent.dof == 1


def test_the_same_shares_are_no_distance() -> None:
    found = score([10, 30, 60], [100, 300, 600])
    assert found.psi == found.js_distance == found.l_infinity == 0
    assert found.p_value == 1


def test_wholly_different_shares_are_the_greatest_distance() -> None:
    found = score([100, 0], [0, 1_000])
    assert found.js_distance == found.l_infinity == 1
    assert found.psi > DRIFT
    assert found.p_value < 1e-12


def test_one_bin_cannot_drift() -> None:
    found = score([250, 0], [1_000, 0])
    assert (found.psi, found.expected, found.dof, found.p_value) == (0, 0, 0, 1)
    assert verdict(found, 1.0) is Status.OK


@pytest.mark.parametrize(("x", "y"), [([0, 0], [5, 5]), ([5, 5], [0, 0]), ([0, 0], [0, 0]), ([0], [0])])
def test_a_side_without_events_is_insufficient_data(x: list[int], y: list[int]) -> None:
    found = score(x, y)
    assert (found.psi, found.p_value, found.expected) == (0, 1, math.inf)
    assert verdict(found, 1.0) is Status.INSUFFICIENT_DATA


def test_arguments_are_left_as_they_were() -> None:
    x, y = np.array([30.0, 0, 70]), np.array([200.0, 600, 200])
    score(x, y)
    assert (x.tolist(), y.tolist()) == ([30, 0, 70], [200, 600, 200])


def test_a_vanished_label_of_ten_is_drift() -> None:
    found = score([0] + [100] * 9, [10_000] * 10)
    assert found.psi == pytest.approx(0.55, abs=0.15)
    assert verdict(found, found.p_value) is Status.DRIFT


def test_small_days_do_not_invent_drift() -> None:
    """One half added to every bin would give 0.084 here on average, without any drift."""
    random = np.random.default_rng(2)
    base = np.array([100_000] * 10 + [0] * 3)
    mean = np.mean([score(random.multinomial(250, base / base.sum()), base).psi for _ in range(2_000)])
    expected = score(base / 4_000, base).expected
    assert mean == pytest.approx(expected, rel=0.05)
    assert expected == pytest.approx(9 * (1 / 250 + 1 / 1_000_000), rel=1e-9)


@pytest.mark.parametrize("n", [200, 1_000, 5_000])
@pytest.mark.parametrize("m", [400, 10_000, 1_000_000])
def test_e0_predicts_the_mean_psi_without_drift(n: int, m: int) -> None:
    random = np.random.default_rng(n + m)
    shares = np.array([0.3, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.03, 0.02])
    found = [score(random.multinomial(n, shares), random.multinomial(m, shares)) for _ in range(2_000)]
    mean, expected = (np.mean([getattr(row, name) for row in found]) for name in ("psi", "expected"))
    assert mean == pytest.approx(expected, rel=0.06)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_q_values_equal_scipys(p_values: list[float]) -> None:
    np.testing.assert_allclose(
        benjamini_hochberg(p_values), stats.false_discovery_control(p_values), rtol=1e-9, atol=1e-15
    )


def test_no_rows_have_no_q_values() -> None:
    assert benjamini_hochberg([]).size == 0


BASE = score([200, 200], [1_000, 1_000])


def scored(psi: float, expected: float = 0.001, p_value: float = 1e-9) -> Score:
    return replace(BASE, psi=psi, expected=expected, p_value=p_value)


@pytest.mark.parametrize(
    ("psi", "expected", "q_value", "status"),
    [
        (0.0, 0.001, 1.0, Status.OK),
        (WARNING, 0.001, 1e-7, Status.WARNING),
        (np.nextafter(WARNING, 0), 0.001, 0.0, Status.OK),
        (DRIFT, 0.001, 1e-7, Status.DRIFT),
        (np.nextafter(DRIFT, 0), 0.001, 1e-7, Status.WARNING),
        (9.0, 0.001, np.nextafter(ALPHA, 1), Status.OK),
        (9.0, 0.001, ALPHA, Status.DRIFT),
        (9.0, WARNING / 2, 0.0, Status.DRIFT),
        (9.0, np.nextafter(WARNING / 2, 1), 0.0, Status.INSUFFICIENT_DATA),
    ],
)
def test_verdicts_at_their_limits(psi: float, expected: float, q_value: float, status: Status) -> None:
    assert verdict(scored(psi, expected), q_value) is status


def test_both_tests_must_call_it_significant_after_correction() -> None:
    """dof 1: a PSI of 12 times its expectation is significant at 0.0005 alone, not among fifty features."""
    row = scored(0.12, expected=0.01, p_value=1e-9)
    assert row.psi_p_value == pytest.approx(stats.chi2.sf(12, 1), rel=1e-9)
    assert verdict(row, 1e-9) is Status.WARNING
    assert verdict(row, 5e-8) is Status.OK


def test_one_event_in_an_almost_empty_bin_is_no_drift() -> None:
    """0.005 events are expected in the last bin: Pearson is certain, PSI hardly moves."""
    base = [100_000] * 9 + [99_980, 20]
    day = [31, 19, 33, 17, 30, 18, 31, 18, 29, 23, 1]
    found = score(day, base)
    assert found.p_value < 1e-30
    assert found.psi_p_value > 0.001
    assert verdict(found, 50 * found.p_value) is Status.OK


def test_levels_can_be_chosen() -> None:
    assert verdict(scored(0.3), 0.0, warning=0.2, drift=0.5) is Status.WARNING
    assert verdict(scored(0.3, expected=0.09), 0.0, warning=0.2, drift=0.3) is Status.DRIFT
    assert verdict(scored(0.3, p_value=0.02), 0.02, alpha=0.05) is Status.DRIFT


def test_statuses_are_those_of_the_contract() -> None:
    assert [str(status) for status in Status] == [
        "ok",
        "warning",
        "drift",
        "insufficient_data",
        "missing_baseline",
        "type_changed",
        "missing_feature",
        "new_feature",
    ]
