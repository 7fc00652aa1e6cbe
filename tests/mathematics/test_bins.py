"""Are frozen bins what they should be, and do counters, sketches and raw values agree about what is in them?"""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.bins import MAX_BINS, FrozenBins, Kind, count, counts_of, freeze, freeze_values
from stream.sketches import CategorySketch, NumericSketch

Floats = npt.NDArray[np.float64]


def sketch_of(values: Floats) -> NumericSketch:
    sketch = NumericSketch()
    sketch.update(np.asarray(values, dtype=np.float64))
    return sketch


def labels_of(counts: dict[str, int]) -> CategorySketch:
    sketch = CategorySketch()
    sketch.update(counts)
    return sketch


def bin_of(value: float, edges: list[float]) -> int:
    """The convention, read literally: bin i holds (edges[i - 1], edges[i]]."""
    return sum(value > edge for edge in edges)


def test_without_atoms_the_bins_are_the_deciles() -> None:
    values = np.random.default_rng(1).permutation(np.arange(1_000.0))
    bins = freeze_values(values)
    assert bins.edges.tolist() == np.quantile(values, np.arange(1, 10) / 10, method="inverted_cdf").tolist()
    assert bins.q.tolist() == [0.1] * 10 + [0.0]
    assert bins.m == 1_000
    assert not bins.s.any()


def test_a_heavy_atom_is_alone() -> None:
    values = np.concatenate((np.zeros(600), np.arange(1.0, 401.0)))
    bins = freeze_values(values)
    assert bins.edges.tolist() == [np.nextafter(0.0, -1), 0.0, 100.0, 200.0, 300.0]
    assert bins.q.tolist() == [0, 0.6, 0.1, 0.1, 0.1, 0.1, 0]
    assert bins.names == ["< 0", "= 0", "> 0, <= 100", "> 100, <= 200", "> 200, <= 300", "> 300", "missing"]
    two = freeze_values(np.repeat([0.0, 1.0], 5))
    assert two.names == ["< 0", "= 0", "> 0, < 1", "= 1", "> 1", "missing"]


def test_every_atom_of_a_few_valued_feature_is_alone_and_new_values_show() -> None:
    bins = freeze_values(np.repeat([0.0, 1.0], [70, 30]))
    assert bins.q.tolist() == [0, 0.7, 0, 0.3, 0, 0]
    assert count(np.array([-1.0, 0.0, 0.5, 1.0, 1.5]), bins).tolist() == [1, 1, 1, 1, 1]


def test_a_constant_has_one_bin_and_open_tails() -> None:
    bins = freeze_values(np.full(50, 3.0))
    assert bins.q.tolist() == [0, 1, 0, 0]
    assert count(np.array([2.0, 3.0, 3.0, 4.0]), bins).tolist() == [1, 2, 1]


def test_equal_edges_are_merged() -> None:
    values = np.repeat(np.arange(5.0), [8, 8, 8, 8, 68])
    bins = freeze_values(values)
    assert (np.diff(bins.edges) > 0).all()
    assert bins.q.sum() == pytest.approx(1)


@pytest.mark.parametrize("n_bins", [2, 5, 20, MAX_BINS])
def test_the_number_of_bins_can_be_chosen(n_bins: int) -> None:
    bins = freeze(sketch_of(np.random.default_rng(2).normal(size=100_000)), n_bins=n_bins)
    assert bins.size == n_bins + 1
    np.testing.assert_allclose(bins.q[:-1], 1 / n_bins, atol=0.0166)


@pytest.mark.parametrize("n_bins", [1, MAX_BINS + 1])
def test_a_number_of_bins_that_makes_no_sense_is_refused(n_bins: int) -> None:
    with pytest.raises(ValueError, match="bins must be 2 to 50"):
        freeze(sketch_of(np.arange(10.0)), n_bins=n_bins)


def test_nothing_seen_freezes_to_one_open_bin() -> None:
    for bins in (freeze(NumericSketch(), events=7), freeze_values(np.array([np.nan] * 7))):
        assert (bins.edges.size, bins.q.tolist(), bins.m) == (0, [0, 1], 7)
        assert count(np.array([1.0, 2.0]), bins).tolist() == [2]
        assert bins.names == ["any", "missing"]
    empty = freeze(CategorySketch(), events=7)
    assert (empty.labels, empty.q.tolist()) == ((), [0, 0, 1])


DATA = {
    "normal": lambda r, n: r.normal(size=n),
    "lognormal": lambda r, n: r.lognormal(0, 1.5, n),
    "integers": lambda r, n: r.poisson(3, n).astype(float),
    "zero-inflated": lambda r, n: np.where(r.random(n) < 0.6, 0.0, r.lognormal(size=n)),
    "few-valued": lambda r, n: r.choice([1.0, 2.5, 7.0], n, p=[0.2, 0.5, 0.3]),
}


@pytest.mark.parametrize("name", DATA)
def test_stored_shares_are_within_the_sketchs_published_error_of_the_raw_values(name: str) -> None:
    random = np.random.default_rng(3)
    failures = 0
    for _ in range(100):
        values = DATA[name](random, 20_000)
        sketch = sketch_of(values)
        bins = freeze(sketch, events=25_000)
        exact = bins.vector(count(values, bins), 25_000) / 25_000
        failures += bool(np.abs(bins.q - exact).max() > sketch.pmf_error)
        assert bins.q.sum() == pytest.approx(1)
        assert bins.q[-1] == exact[-1] == 0.2
    assert failures <= 6  # of 100 trials of a 99 % bound; 7 come once in 10,000 runs


@pytest.mark.parametrize("name", DATA)
def test_shares_use_the_convention_of_the_sketchs_own_pmf(name: str) -> None:
    sketch = sketch_of(DATA[name](np.random.default_rng(4), 30_000))
    bins = freeze(sketch)
    np.testing.assert_allclose(bins.q[:-1], sketch.pmf(bins.edges), atol=1e-12)


@pytest.mark.parametrize("name", DATA)
def test_while_the_sketch_is_exact_so_are_the_bins(name: str) -> None:
    values = DATA[name](np.random.default_rng(5), 200)
    from_sketch, from_values = freeze(sketch_of(values), events=220), freeze_values(values, events=220)
    np.testing.assert_array_equal(from_sketch.edges, from_values.edges)
    np.testing.assert_allclose(from_sketch.q, from_values.q, atol=1e-15)
    assert not from_sketch.s.any()
    np.testing.assert_allclose(from_sketch.y, from_sketch.vector(count(values, from_sketch), 220), atol=1e-12)


def test_s_is_the_published_error_over_the_normal_point() -> None:
    sketch = sketch_of(np.random.default_rng(6).normal(size=50_000))
    bins = freeze(sketch, events=100_000)
    np.testing.assert_allclose(bins.s[:-1], 0.5 * sketch.pmf_error / 2.576, rtol=1e-12)
    assert bins.s[-1] == 0


def test_s_of_a_light_bin_falls_with_its_share_and_is_the_resolution_where_nothing_shows() -> None:
    """Atoms at 0, 1 and 2; a few values below 0, none between the atoms, and none above 2, which is the maximum."""
    values = np.concatenate((np.repeat([0.0, 1.0, 2.0], [40_000, 30_000, 29_900]), np.full(100, -5.0)))
    sketch = sketch_of(np.random.default_rng(1).permutation(values))
    bins = freeze(sketch, events=200_000)
    assert bins.names == ["< 0", "= 0", "> 0, < 1", "= 1", "> 1, < 2", "= 2", "> 2", "missing"]
    full = 0.5 * sketch.pmf_error / 2.576
    light = 0.5 / 200 / 2.576 if bins.q[0] == 0 else full * np.sqrt(200 * 2 * bins.q[0])
    expected = [light, full, 0.5 / 200 / 2.576, full, 0.5 / 200 / 2.576, full, 0, 0]
    np.testing.assert_allclose(bins.s, expected, rtol=1e-9)


@settings(max_examples=200, deadline=None)
@given(
    baseline=st.lists(st.floats(-100, 100) | st.integers(0, 3).map(float), min_size=1, max_size=80),
    values=st.lists(st.floats(allow_subnormal=True) | st.integers(-1, 4).map(float), max_size=80),
    n_bins=st.integers(2, 12),
)
def test_counts_follow_the_convention(baseline: list[float], values: list[float], n_bins: int) -> None:
    bins = freeze_values(np.array(baseline), n_bins=n_bins)
    edges = bins.edges.tolist()
    day = np.array([*values, *edges])
    expected = Counter(bin_of(v, edges) for v in day.tolist() if np.isfinite(v))
    counts = count(day, bins)
    assert counts.tolist() == [expected[i] for i in range(bins.size - 1)]
    vector = bins.vector(counts, day.size)
    assert vector.sum() == day.size
    assert vector[-1] == np.count_nonzero(~np.isfinite(day))


@settings(max_examples=200, deadline=None)
@given(
    baseline=st.lists(st.floats(-1e9, 1e9) | st.integers(0, 3).map(float), min_size=1, max_size=200),
    n_bins=st.integers(2, 12),
)
def test_bins_partition_the_line_and_atoms_are_alone(baseline: list[float], n_bins: int) -> None:
    values = np.array(baseline)
    bins = freeze_values(values, n_bins=n_bins)
    assert (np.diff(bins.edges) > 0).all()
    assert bins.q.sum() == pytest.approx(1)
    assert bins.q[-1] == 0
    at = np.searchsorted(bins.edges, values)
    for value, n in Counter(baseline).items():
        if n >= len(baseline) / n_bins:
            together = set(values[at == bin_of(value, bins.edges.tolist())].tolist())
            assert together == {value}


# Labels


def test_labels_of_a_small_vocabulary_have_a_bin_each() -> None:
    bins = freeze(labels_of({"CA": 60, "US": 30, "FR": 10}), events=125)
    assert bins.labels == ("CA", "US", "FR")
    assert bins.names == ["CA", "US", "FR", "other", "unseen", "missing"]
    assert bins.q.tolist() == [0.48, 0.24, 0.08, 0, 0, 0.2]
    assert not bins.s.any()
    assert count({"CA": 2, "DE": 3}, bins).tolist() == [2, 0, 0, 0, 3]


def test_the_tail_is_other_and_what_came_once_foretells_the_unseen() -> None:
    counts = {f"top {i}": 1_000 - i for i in range(20)} | {"rare": 40, "rarer": 7, "once": 1, "once too": 1}
    bins = freeze(labels_of(counts))
    m = sum(counts.values())
    assert bins.labels == tuple(f"top {i}" for i in range(20))
    assert bins.others == {"rare", "rarer", "once", "once too"}
    np.testing.assert_allclose(bins.q[-3:] * m, [47, 2, 0], atol=1e-9)
    assert count({"rare": 1, "once": 2, "new": 4}, bins)[-2:].tolist() == [3, 4]


def test_labels_that_are_all_different_do_not_drift() -> None:
    bins = freeze(labels_of({f"user {i}": 1 for i in range(1_000)}))
    assert bins.labels == ()
    assert bins.q.tolist() == [0, 1, 0]
    assert count({"somebody else": 5}, bins).tolist() == [0, 5]


def test_a_label_has_a_bin_if_it_is_frequent_enough() -> None:
    bins = freeze(labels_of({"a": 900, "b": 61, "two per cent": 20, "less": 19}))
    assert bins.labels == ("a", "b", "two per cent")
    assert freeze(labels_of({"a": 20, "five": 5, "four": 4})).labels == ("a", "five")
    assert freeze(labels_of({"a": 900, "b": 90}), top_k=1).labels == ("a",)


def test_a_label_that_owes_its_bin_to_luck_is_less_sure() -> None:
    """Of 30 equal labels the 20 that came most often are overestimated; a clear winner is not."""
    close = freeze(labels_of({"clear": 2_000} | {f"label {i}": 100 for i in range(30)}))
    q = 100 / 5_000
    assert close.labels[0] == "clear"
    assert close.s[0] == 0
    np.testing.assert_allclose(close.s[1:20], np.sqrt(q * (1 - q) / 5_000), rtol=1e-12)
    assert close.s[-3] == pytest.approx(np.sqrt(19 * q * (1 - q) / 5_000), rel=1e-12)
    assert not close.s[-2:].any()


def test_booleans_have_both_bins_whatever_came() -> None:
    for counts in ({"true": 3}, {}, {"false": 1, "true": 2}):
        bins = freeze(labels_of(counts), events=4, kind=Kind.BOOLEAN)
        assert bins.kind is Kind.BOOLEAN
        assert bins.names == ["false", "true", "other", "unseen", "missing"]
        assert (bins.q * 4).tolist() == [
            counts.get("false", 0),
            counts.get("true", 0),
            0,
            0,
            4 - sum(counts.values()),
        ]
        assert count({"true": 2, "false": 1}, bins).tolist() == [1, 2, 0, 0]


def crowded(seed: int, labels: int = 60_000) -> tuple[CategorySketch, Counter[str]]:
    """More labels than the map holds, of which a few are frequent."""
    random = np.random.default_rng(seed)
    truth = Counter({f"top {i}": 40_000 // (i + 1) for i in range(12)})
    truth.update(f"rare {i}" for i in random.integers(0, labels, 150_000).tolist())
    sketch = CategorySketch()
    items = list(truth.items())
    for i in random.permutation(len(items)).tolist():
        sketch.update(dict([items[i]]))
    assert truth.total() == sketch.n
    assert len(truth) > sketch.capacity
    return sketch, truth


def test_a_crowded_baseline_keeps_to_its_bounds_and_knows_no_unseen() -> None:
    sketch, truth = crowded(1)
    bins = freeze(sketch)
    assert bins.others is None
    assert bins.labels[:5] == tuple(f"top {i}" for i in range(5))
    assert bins.q.sum() == pytest.approx(1)
    assert bins.q[-2] == bins.q[-1] == 0
    for label, share, s in zip(bins.labels, bins.q, bins.s, strict=False):
        assert abs(share * bins.m - truth[label]) <= sketch.error
        assert s >= sketch.error / np.sqrt(12) / bins.m
    assert count({"never": 2, "top 0": 1}, bins)[-2:].tolist() == [2, 0]
    day, day_truth = crowded(2)
    x, _ = counts_of(day, bins, day.n)
    exact = count(day_truth, bins)
    assert x.sum() == pytest.approx(day.n)
    assert np.abs(x[:-1] - exact).max() <= day.error * len(bins.labels)


def test_a_crowded_day_against_a_small_vocabulary_is_mostly_unseen() -> None:
    bins = freeze(labels_of({f"top {i}": 1_000 for i in range(5)}))
    day, truth = crowded(3)
    x, s = counts_of(day, bins, day.n + 10)
    exact = bins.vector(count(truth, bins), day.n + 10)
    assert x.sum() == pytest.approx(day.n + 10)
    assert np.abs(x - exact).max() <= day.error * 5
    assert (s[:5] > 0).all()


# A day by its sketch


@pytest.mark.parametrize("name", DATA)
def test_a_days_sketch_gives_its_counts_within_the_published_error(name: str) -> None:
    random = np.random.default_rng(7)
    bins = freeze(sketch_of(DATA[name](random, 20_000)))
    failures = 0
    for _ in range(100):
        values = DATA[name](random, 5_000)
        day = sketch_of(values)
        x, s = counts_of(day, bins, 6_000)
        exact = bins.vector(count(values, bins), 6_000)
        failures += bool(np.abs(x - exact).max() / 5_000 > day.pmf_error)
        assert x[-1] == 1_000
        assert s[-1] == 0
        assert s.max() <= day.pmf_error / 2.576
    assert failures <= 6


def test_small_days_by_sketch_are_exact() -> None:
    random = np.random.default_rng(8)
    bins = freeze(sketch_of(random.normal(size=10_000)))
    values = random.normal(size=200)
    x, s = counts_of(sketch_of(values), bins, 210)
    np.testing.assert_allclose(x, bins.vector(count(values, bins), 210), atol=1e-9)
    assert not s.any()
    x, s = counts_of(NumericSketch(), bins, 5)
    assert x.tolist() == [0] * 10 + [5]
    labels = freeze(labels_of({"a": 10, "b": 10}))
    x, s = counts_of(labels_of({"a": 1, "c": 2}), labels, 4)
    assert (x.tolist(), s.any()) == ([1, 0, 0, 2, 1], False)


# What does not fit is refused


def test_more_values_than_events_are_refused() -> None:
    bins = freeze_values(np.arange(10.0))
    with pytest.raises(ValueError, match="10 values in 9 events"):
        bins.vector(count(np.arange(10.0), bins), 9)
    with pytest.raises(ValueError, match="10 values in 9 events"):
        counts_of(sketch_of(np.arange(10.0)), bins, 9)
    with pytest.raises(ValueError, match="10 values in 9 events"):
        freeze(sketch_of(np.arange(10.0)), events=9)
    with pytest.raises(ValueError, match="3 values in 2 events"):
        freeze(labels_of({"a": 3}), events=2)


def test_values_of_another_kind_are_refused() -> None:
    with pytest.raises(TypeError, match="dict cannot be counted into numeric bins"):
        count({"a": 1}, freeze_values(np.arange(10.0)))
    with pytest.raises(TypeError, match="ndarray cannot be counted into categorical bins"):
        count(np.arange(3.0), freeze_values(["a", "b"]))


def test_bins_of_the_wrong_length_are_refused() -> None:
    good = freeze_values(np.arange(100.0))
    with pytest.raises(ValueError, match="need 11 shares, not 10 and 11"):
        FrozenBins(good.kind, good.edges, (), None, good.q[1:], good.m, good.s)
