"""Are sketches as exact as they say, whatever the data, in whatever pieces and order it comes?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from datasketches import frequent_strings_sketch, kll_doubles_sketch
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.sketches import (
    _CATEGORY_HEADER,
    _NUMERIC_HEADER,
    LABELS_EXACT,
    LABELS_LEAST,
    LABELS_MOST,
    CategorySketch,
    CorruptSketchError,
    IncompatibleSketchError,
    K,
    NumericSketch,
    SketchError,
    _sealed,
)

Floats = npt.NDArray[np.float64]
Random = np.random.Generator

PROBABILITIES = [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999]

DRAWS: dict[str, Callable[[Random, int], Floats]] = {
    "normal": lambda r, n: r.normal(50, 5, n),
    "lognormal": lambda r, n: r.lognormal(0, 2, n),
    "constant": lambda r, n: np.full(n, 3.7),
    "two-valued": lambda r, n: (r.random(n) < 0.3).astype(np.float64),
    "heavy-tailed": lambda r, n: r.standard_cauchy(n),
    "integer": lambda r, n: r.poisson(7, n).astype(np.float64),
}


def sketch_of(*parts: Floats) -> NumericSketch:
    sketch = NumericSketch()
    for part in parts:
        sketch.update(np.asarray(part, dtype=np.float64))
    return sketch


def labels_of(*parts: dict[str, int]) -> CategorySketch:
    sketch = CategorySketch()
    for part in parts:
        sketch.update(part)
    return sketch


def worst_rank_error(sketch: NumericSketch, values: Floats) -> float:
    """How far any quantile's true rank is from the rank that was asked for.

    Of a value that occurs more than once every rank between its first and its last is right.
    """
    ordered = np.sort(values)
    found = sketch.quantiles(PROBABILITIES)
    lowest = np.searchsorted(ordered, found, side="left") / ordered.size
    highest = np.searchsorted(ordered, found, side="right") / ordered.size
    wanted = np.array(PROBABILITIES)
    return float(np.max(np.maximum(np.maximum(lowest - wanted, wanted - highest), 0)))


def allowed_failures(trials: int) -> int:
    """As many failures of a 99 % bound as come by chance in all but one of 10,000 runs."""
    total, failures = 0.0, -1
    while total < 0.9999:
        failures += 1
        total += math.comb(trials, failures) * 0.01**failures * 0.99 ** (trials - failures)
    return failures


@pytest.mark.parametrize("name", DRAWS)
def test_quantiles_are_within_the_published_rank_error(name: str) -> None:
    random = np.random.default_rng(11)
    failures = 0
    for _ in range(200):
        values = DRAWS[name](random, 10_000)
        sketch = sketch_of(values)
        failures += worst_rank_error(sketch, values) > sketch.rank_error
    assert failures <= allowed_failures(200)


@pytest.mark.parametrize("name", DRAWS)
def test_quantiles_are_within_the_published_rank_error_after_merging_many_shards(name: str) -> None:
    random = np.random.default_rng(12)
    failures = 0
    for _ in range(50):
        values = DRAWS[name](random, 20_000)
        merged = NumericSketch()
        for shard in np.array_split(values, np.sort(random.integers(0, values.size, 24))):
            merged.merge(NumericSketch.from_bytes(sketch_of(shard).to_bytes()))
        assert merged.n == values.size
        failures += worst_rank_error(merged, values) > merged.rank_error
    assert failures <= allowed_failures(50)


@pytest.mark.parametrize("name", DRAWS)
def test_two_million_values_are_within_the_published_rank_error(name: str) -> None:
    random = np.random.default_rng(13)
    values = DRAWS[name](random, 2_000_000)
    ordered = np.sort(values)
    failures = 0
    for _ in range(3):
        sketch = sketch_of(*np.array_split(values, 40))
        failures += worst_rank_error(sketch, ordered) > sketch.rank_error
    assert failures <= allowed_failures(3)
    assert (sketch.n, sketch.minimum, sketch.maximum) == (2_000_000, ordered[0], ordered[-1])
    assert sketch.mean == pytest.approx(math.fsum(values) / values.size, rel=1e-9)
    assert sketch.variance == pytest.approx(np.var(values), rel=1e-9)
    assert len(sketch.to_bytes()) < 6_000


@pytest.mark.parametrize("name", DRAWS)
def test_shares_between_values_are_within_the_published_error(name: str) -> None:
    random = np.random.default_rng(14)
    failures = 0
    for _ in range(200):
        values = DRAWS[name](random, 10_000)
        sketch = sketch_of(values)
        edges = np.unique(np.quantile(values, np.arange(1, 10) / 10))
        exact = np.bincount(np.searchsorted(edges, values), minlength=edges.size + 1) / values.size
        failures += bool(np.abs(sketch.pmf(edges) - exact).max() > sketch.pmf_error)
    assert failures <= allowed_failures(200)


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("n", [1, 2, 17, K])
def test_up_to_k_values_everything_is_exact(name: str, n: int) -> None:
    values = DRAWS[name](np.random.default_rng(n), n)
    sketch = sketch_of(values)
    assert not sketch.estimating
    assert sketch.rank_error == sketch.pmf_error == 0
    np.testing.assert_array_equal(
        sketch.quantiles(PROBABILITIES), np.quantile(values, PROBABILITIES, method="inverted_cdf")
    )
    edges = np.unique(values)
    np.testing.assert_allclose(sketch.cdf(edges), [(values <= edge).mean() for edge in edges], rtol=1e-12)


def test_renamed_labels_keep_counts_bounds_and_total_while_exact_and_while_estimating() -> None:
    for distinct in (0, 1, 40, 30_000):
        sketch = labels_of({f"label {n} é": 1 + 60_000 // (n + 1) for n in range(distinct)})
        twin = CategorySketch.from_bytes(sketch.renamed(lambda label: f"#{label}, renamed").to_bytes())
        renamed = [item._replace(label=f"#{item.label}, renamed") for item in sketch.items()]
        assert sorted(twin.items()) == sorted(renamed)
        assert (twin.n, twin.exact, twin.error) == (sketch.n, distinct < 30_000, sketch.error)
        twin.merge(labels_of({"one more": 5}))
        assert twin.n == sketch.n + 5


def test_a_sketch_of_nothing_says_so() -> None:
    sketch = NumericSketch()
    assert sketch.n == sketch.non_finite == 0
    numbers = [
        sketch.minimum,
        sketch.maximum,
        sketch.mean,
        sketch.variance,
        sketch.std,
        *sketch.quantiles([0.5]),
    ]
    assert all(map(math.isnan, numbers))
    assert np.isnan(sketch.pmf(np.array([1.0]))).all()
    sketch.update(np.array([]))
    sketch.merge(NumericSketch())
    assert NumericSketch.from_bytes(sketch.to_bytes()).n == 0
    sketch.merge(sketch_of(np.array([5.0])))
    assert (sketch.n, sketch.mean, sketch.minimum) == (1, 5.0, 5.0)


@pytest.mark.filterwarnings("error")
def test_values_that_are_not_finite_are_counted_and_are_not_values() -> None:
    sketch = sketch_of(np.array([1.0, np.nan, 3.0, np.inf, -np.inf]), np.array([np.nan]))
    assert (sketch.n, sketch.non_finite, sketch.mean, sketch.maximum) == (2, 4, 2.0, 3.0)
    other = sketch_of(np.array([np.nan]))
    other.merge(sketch)
    assert (other.n, other.non_finite) == (2, 5)


ILL_CONDITIONED = {
    "offset": np.random.default_rng(1).normal(1e9, 1, 20_000),
    "offset far above the noise": np.random.default_rng(2).normal(1e9, 1e-3, 20_000),
    "outlier first": np.concatenate(([1e12], np.random.default_rng(3).normal(0, 1, 5_000))),
    "outlier last": np.concatenate((np.random.default_rng(4).normal(0, 1, 5_000), [-1e12])),
    "tiny": np.random.default_rng(5).normal(0, 1e-150, 2_000),
    "heavy tail": np.random.default_rng(6).standard_cauchy(20_000),
    "trend": np.linspace(0, 1e6, 20_000),
}


@pytest.mark.parametrize("pieces", [1, 7, 20_000])
@pytest.mark.parametrize("name", ILL_CONDITIONED)
def test_moments_are_exact_however_the_values_come(name: str, pieces: int) -> None:
    """Against rational arithmetic: numpy's own variance loses digits on some of these."""
    values = ILL_CONDITIONED[name]
    rational = [Fraction(v) for v in values.tolist()]
    mean = sum(rational) / len(rational)
    variance = sum((v - mean) ** 2 for v in rational) / len(rational)
    by_update = sketch_of(*np.array_split(values, min(pieces, values.size)))
    by_merge = NumericSketch()
    for part in np.array_split(values, min(pieces, 50)):
        by_merge.merge(NumericSketch.from_bytes(sketch_of(part).to_bytes()))
    for sketch in (by_update, by_merge):
        assert abs(sketch.mean - float(mean)) <= 1e-9 * math.sqrt(variance) + 1e-15 * abs(float(mean))
        assert sketch.variance == pytest.approx(float(variance), rel=1e-9)
        assert (sketch.n, sketch.minimum, sketch.maximum) == (values.size, values.min(), values.max())


finite = st.floats(-1e100, 1e100)
parts = st.lists(st.lists(finite, max_size=12), min_size=1, max_size=8)


@settings(max_examples=200, deadline=None)
@given(parts=parts, order=st.randoms())
def test_merging_is_associative_and_commutative_in_all_that_is_exact(parts: list[list[float]], order) -> None:  # type: ignore[no-untyped-def]
    values = np.array([v for part in parts for v in part])
    heap = [sketch_of(np.array(part)) for part in parts]
    while len(heap) > 1:
        left = heap.pop(order.randrange(len(heap)))
        heap[order.randrange(len(heap))].merge(left)
    sketch = heap[0]
    assert sketch.n == values.size
    if values.size == 0:
        return
    scale = float(np.abs(values).max())
    assert (sketch.minimum, sketch.maximum) == (values.min(), values.max())
    assert sketch.mean == pytest.approx(math.fsum(values) / values.size, rel=1e-9, abs=1e-15 * scale)
    assert sketch.variance == pytest.approx(np.var(values), rel=1e-9, abs=1e-15 * scale**2)


@pytest.mark.filterwarnings("error")
def test_the_largest_doubles_do_not_make_the_mean_undefined() -> None:
    sketch = sketch_of(np.array([1.7e308, 1.7e308]), np.array([1.7e308]))
    assert sketch.mean == pytest.approx(1.7e308, rel=1e-12)
    assert sketch.n == 3


def test_a_copy_is_independent() -> None:
    sketch, labels = sketch_of(np.array([1.0])), labels_of({"a": 1})
    twin, labels_twin = sketch.copy(), labels.copy()
    twin.update(np.array([5.0]))
    labels_twin.update({"b": 1})
    assert (sketch.n, sketch.mean, twin.n, twin.mean) == (1, 1.0, 2, 3.0)
    assert (labels.n, labels_twin.n) == (1, 2)


def test_merging_leaves_the_other_alone() -> None:
    one, other = sketch_of(np.arange(500.0)), sketch_of(np.arange(1_000.0))
    before = other.to_bytes()
    one.merge(other)
    assert (one.n, other.n) == (1_500, 1_000)
    assert other.to_bytes() == before


def test_numbers_read_back_whole() -> None:
    sketch = sketch_of(np.random.default_rng(1).normal(1e9, 1, 5_000), np.array([np.nan]))
    again = NumericSketch.from_bytes(sketch.to_bytes())
    assert again.to_bytes() == sketch.to_bytes()
    assert (again.n, again.non_finite, again.mean, again.m2) == (
        sketch.n,
        sketch.non_finite,
        sketch.mean,
        sketch.m2,
    )
    np.testing.assert_array_equal(again.quantiles(PROBABILITIES), sketch.quantiles(PROBABILITIES))


def test_category_counts_are_exact_until_the_map_is_full() -> None:
    random = np.random.default_rng(3)
    capacity = CategorySketch().capacity
    assert capacity == 12_288 >= LABELS_EXACT == 10_000
    truth = {f"label {i}": int(n) for i, n in enumerate(random.integers(1, 1_000, capacity))}
    shards = [CategorySketch() for _ in range(4)]
    for i, (label, n) in enumerate(truth.items()):
        shards[i % 4].update({label: n})
    merged = CategorySketch()
    for shard in shards:
        merged.merge(CategorySketch.from_bytes(shard.to_bytes()))
    assert merged.exact
    assert (merged.error, merged.distinct, merged.n) == (0, capacity, sum(truth.values()))
    assert {item.label: item.estimate for item in merged.items()} == truth
    assert all(item.lower == item.estimate == item.upper for item in merged.items())


def test_beyond_the_map_counts_lie_within_their_bounds() -> None:
    random = np.random.default_rng(4)
    sketch, truth = CategorySketch(), Counter[str]()
    for _ in range(20):
        batch = Counter(f"label {i}" for i in random.zipf(1.3, 20_000).tolist())
        batch.update(f"once {i}" for i in random.integers(0, 10**9, 5_000).tolist())
        sketch.update(batch)
        truth.update(batch)
    assert not sketch.exact
    assert sketch.n == truth.total()
    assert 0 < sketch.error <= 3.5 / 2**14 * sketch.n
    found = {item.label: item for item in sketch.items()}
    for item in found.values():
        assert item.lower <= truth[item.label] <= item.upper
        assert item.upper - item.lower <= sketch.error
    for label, n in truth.most_common(200):
        assert n <= sketch.error or label in found


@pytest.mark.parametrize("wanted", [LABELS_LEAST, 1_536, 1_537, 98_304, LABELS_MOST])
def test_as_many_labels_as_are_wanted_are_counted_exactly_and_the_next_one_shows(wanted: int) -> None:
    sketch = CategorySketch(wanted)
    assert wanted <= sketch.capacity < 2 * wanted
    sketch.update({str(i): 2 for i in range(sketch.capacity)})
    assert (sketch.exact, sketch.distinct, sketch.not_kept) == (True, sketch.capacity, 0)
    sketch.update({"one more": 1})
    kept = {item.label for item in sketch.items()}
    assert not sketch.exact
    gone = sum(2 for i in range(sketch.capacity) if str(i) not in kept) + ("one more" not in kept)
    assert 0 < gone <= sketch.not_kept <= sketch.n == 2 * sketch.capacity + 1


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from([1_000, 1_500, 3_000, 10_000]), min_size=1, max_size=4),
    st.integers(0, 2**32 - 1),
    st.floats(1.1, 2.0),
    st.booleans(),
)
def test_sketches_of_several_sizes_merge_to_the_largest_and_say_what_is_not_kept(
    sizes: list[int], seed: int, skew: float, new_one_first: bool
) -> None:
    random, truth = np.random.default_rng(seed), Counter[str]()
    merged = CategorySketch(1_000) if new_one_first else None
    for size in sizes:
        shard = CategorySketch(size)
        drawn = random.zipf(skew, 4_000) % 2**40
        values = Counter(f"label {label}" for label in drawn.tolist())
        truth.update(values)
        shard.update(values)
        stored = CategorySketch.from_bytes(shard.to_bytes())
        assert stored.capacity == shard.capacity
        if merged is None:
            merged = stored
        else:
            merged.merge(stored)
            assert stored.items() == shard.items(), "what is merged stays as it is"
    assert merged is not None
    assert merged.capacity == max(CategorySketch(size).capacity for size in sizes)
    again = CategorySketch.from_bytes(merged.copy().to_bytes())
    assert (again.items(), again.not_kept) == (merged.items(), merged.not_kept)
    assert merged.n == truth.total()
    kept = {item.label: item for item in merged.items()}
    assert all(item.lower <= truth[label] <= item.upper for label, item in kept.items())
    assert all(item.upper - item.lower <= merged.error for item in kept.values())
    assert sum(n for label, n in truth.items() if label not in kept) <= merged.not_kept
    assert all(label in kept for label, n in truth.items() if n > merged.error)
    if merged.exact:
        assert {label: item.estimate for label, item in kept.items()} == truth
        assert merged.not_kept == 0


def test_labels_come_most_frequent_first_and_equal_ones_by_name() -> None:
    sketch = labels_of({"b": 2, "a": 2, "c": 9})
    assert [item.label for item in sketch.items()] == ["c", "a", "b"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(st.text(max_size=8), st.integers(1, 1_000), max_size=8), max_size=6))
def test_merging_counts_is_adding_them(parts: list[dict[str, int]]) -> None:
    truth = Counter[str]()
    forward, backward = CategorySketch(), CategorySketch()
    for part in parts:
        truth.update(part)
        forward.merge(labels_of(part))
    for part in reversed(parts):
        backward.merge(labels_of(part))
    expected = sorted(truth.items(), key=lambda item: (-item[1], item[0]))
    for sketch in (forward, backward, CategorySketch.from_bytes(forward.to_bytes())):
        assert [(item.label, item.estimate) for item in sketch.items()] == expected
        assert sketch.n == truth.total()


def test_memory_does_not_grow_with_the_values() -> None:
    sketch, sizes = NumericSketch(), []
    for _ in range(10):
        sketch.update(np.random.default_rng(1).normal(size=100_000))
        sizes.append(sketch.nbytes)
    assert 2_000 <= min(sizes) <= max(sizes) < 9_000
    assert NumericSketch().nbytes == 2_000
    assert CategorySketch().nbytes < labels_of({"a": 1}).nbytes < 1_000


# Written by format 1 and committed: a later version must go on reading them, or refuse with a new format number.
NUMERIC_FORMAT_1 = bytes.fromhex(
    "01de9a255b010000000000000000000000000004400000000000000000000000000000144005010f00c8000800040000"
    "0000000000c8000100c4000000000000000000f03f000000000000104000000000000010400000000000000840000000"
    "0000000040000000000000f03f"
)
CATEGORY_FORMAT_1 = bytes.fromhex(
    "010fbc256b04010a0e030000000200000000000000080000000000000000000000000000000500000000000000030000"
    "0000000000020000005553020000004341"
)


def test_format_1_is_still_read() -> None:
    numbers = NumericSketch.from_bytes(NUMERIC_FORMAT_1)
    assert (numbers.n, numbers.non_finite, numbers.mean, numbers.variance) == (4, 1, 2.5, 1.25)
    labels = CategorySketch.from_bytes(CATEGORY_FORMAT_1)
    assert [tuple(item) for item in labels.items()] == [("US", 5, 5, 5), ("CA", 3, 3, 3)]


@pytest.mark.parametrize(
    ("read", "data"),
    [
        (NumericSketch.from_bytes, sketch_of(np.arange(300.0)).to_bytes()),
        (CategorySketch.from_bytes, labels_of({"CA": 3, "US": 5}).to_bytes()),
    ],
    ids=["numeric", "category"],
)
def test_damaged_bytes_are_refused_with_a_reason(read: Callable[[bytes], object], data: bytes) -> None:
    assert data[0] == 1
    with pytest.raises(CorruptSketchError, match="format 2, this build reads 1"):
        read(b"\x02" + data[1:])
    for cut in (0, 1, 4, 20, len(data) - 1):
        with pytest.raises(CorruptSketchError, match=r"cut off|damaged"):
            read(data[:cut])
    for position in range(1, len(data), 7):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        with pytest.raises(SketchError):
            read(bytes(damaged))


def test_bytes_that_are_no_sketch_behind_a_right_checksum_are_refused() -> None:
    with pytest.raises(CorruptSketchError):
        NumericSketch.from_bytes(_sealed(_NUMERIC_HEADER.pack(1, 0, 0, 0.0, 0.0, 0.0) + b"no sketch"))
    with pytest.raises(CorruptSketchError):
        CategorySketch.from_bytes(_sealed(_CATEGORY_HEADER.pack(1, 0) + b"no sketch"))


def test_a_sketch_of_another_k_is_refused_rather_than_merged_to_a_larger_error() -> None:
    other = kll_doubles_sketch(100)
    other.update(np.arange(10.0))
    with pytest.raises(IncompatibleSketchError, match="k=100"):
        NumericSketch.from_bytes(_sealed(_NUMERIC_HEADER.pack(1, 0, 0, 0.0, 0.0, 0.0) + other.serialize()))
    small = frequent_strings_sketch(4)
    small.update("a", 1)
    with pytest.raises(IncompatibleSketchError, match="map"):
        CategorySketch.from_bytes(_sealed(_CATEGORY_HEADER.pack(1, 0) + small.serialize()))
