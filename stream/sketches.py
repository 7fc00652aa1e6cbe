"""What is kept of a day's values: their exact moments and counts, and a sketch of their distribution.

A `NumericSketch` is a KLL sketch (Karnin, Lang, Liberty: "Optimal Quantile Approximation in Streams", FOCS 2016;
Apache DataSketches) beside exact count, minimum, maximum, mean and variance. A `CategorySketch` counts labels,
exactly until its map is full and with bounds from then on (Anderson et al.: "A High-Performance Algorithm for
Identifying Frequent Items in Data Streams", IMC 2017). Either is a few kilobytes, however many values it has seen.

Errors::

    SketchError(ValueError)
    ├── CorruptSketchError        bytes that are not a whole sketch of a known format
    └── IncompatibleSketchError   sketches of unequal parameters, which do not merge
"""

from __future__ import annotations

import copy
import math
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from datasketches import frequent_items_error_type, frequent_strings_sketch, kll_doubles_sketch

Floats = npt.NDArray[np.float64]

K = 200
"""KLL's size: rank error 1.33 % (one rank), 1.65 % (the share between two), each at 99 % confidence."""

LABELS_EXACT = 10_000
"""So many labels at least are counted exactly, if not told otherwise: a map of 16,384, of which 3/4 are used."""
LABELS_LEAST, LABELS_MOST = 1_000, 100_000

_NUMERIC_FORMAT = 1
_CATEGORY_FORMAT = 1
_NUMERIC_HEADER = struct.Struct(
    "<BIQddd"
)  # format, CRC-32 of what follows it, non_finite, mean (high, low), m2
_CATEGORY_HEADER = struct.Struct("<BI")  # format, CRC-32 of what follows it
_CHECKED_FROM = 5
_LG_MAP_AT, _LABELS_AT, _WEIGHTS_AT = 3, 8, 32
"""Where the library's form of a map has the logarithm of its size, and, if it is not empty, the number of labels, and
where their weights begin."""


def lg_map_for(labels: int) -> int:
    """Base 2 logarithm of the size of the smallest map that keeps so many labels; 3/4 of a map are used.

    >>> lg_map_for(10_000), exactly(lg_map_for(10_000))
    (14, 12288)
    """
    return math.ceil(math.log2(4 * labels / 3))


def exactly(lg_map: int) -> int:
    """How many labels a map of this size counts exactly."""
    return 3 << (lg_map - 2)


_LG_SMALLEST, _LG_LARGEST = lg_map_for(LABELS_LEAST), lg_map_for(LABELS_MOST)


class SketchError(ValueError):
    """A sketch cannot be read or merged."""


class CorruptSketchError(SketchError):
    """The bytes are not a whole sketch of a known format."""


class IncompatibleSketchError(SketchError):
    """The sketches have unequal parameters; merging them would lose the error bound without a word."""


class LabelCount(NamedTuple):
    """A label's count: the estimate, and bounds between which the true count certainly is."""

    label: str
    estimate: int
    lower: int
    upper: int


class NumericSketch:
    """Distribution and exact moments of numbers.

    The mean is kept as an unevaluated sum of two doubles and moments are merged with Chan's formula (Chan, Golub,
    LeVeque: "Updating formulae and a pairwise algorithm for computing sample variances", 1979), so that neither many
    small updates nor a large offset costs digits.

    Examples
    --------
    >>> sketch = NumericSketch()
    >>> sketch.update(np.array([1.0, 2.0, 3.0, 4.0, np.nan]))
    >>> sketch.n, sketch.non_finite, sketch.mean, sketch.variance
    (4, 1, 2.5, 1.25)
    >>> sketch.quantiles([0.5, 1.0]).tolist()
    [2.0, 4.0]
    >>> NumericSketch.from_bytes(sketch.to_bytes()).maximum
    4.0
    """

    __slots__ = ("_kll", "_mean", "_mean_low", "m2", "non_finite")

    def __init__(self) -> None:
        self._kll = kll_doubles_sketch(K)
        self._mean = 0.0
        self._mean_low = 0.0
        self.m2 = 0.0
        self.non_finite = 0

    @property
    def n(self) -> int:
        """How many finite values it has seen."""
        return int(self._kll.n)

    @property
    def minimum(self) -> float:
        """The smallest value, exact; NaN if empty."""
        return float(self._kll.get_min_value()) if self.n else math.nan

    @property
    def maximum(self) -> float:
        """The largest value, exact; NaN if empty."""
        return float(self._kll.get_max_value()) if self.n else math.nan

    @property
    def mean(self) -> float:
        """The mean, exact to rounding; NaN if empty."""
        return self._mean + self._mean_low if self.n else math.nan

    @property
    def variance(self) -> float:
        """The population variance (numpy's ``ddof=0``), exact to rounding; NaN if empty."""
        return self.m2 / self.n if self.n else math.nan

    @property
    def std(self) -> float:
        """The population standard deviation; NaN if empty."""
        return math.sqrt(self.variance)

    @property
    def estimating(self) -> bool:
        """Whether quantiles and shares are estimates; up to `K` values they are exact."""
        return bool(self._kll.is_estimation_mode())

    @property
    def rank_error(self) -> float:
        """Bound on the error of a rank at 99 % confidence; 0 where the sketch is exact."""
        return float(self._kll.normalized_rank_error(False)) if self.estimating else 0.0

    @property
    def pmf_error(self) -> float:
        """Bound on the error of a share between two values at 99 % confidence; 0 where the sketch is exact."""
        return float(self._kll.normalized_rank_error(True)) if self.estimating else 0.0

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        return max(2_000, 12 * int(self._kll.num_retained))

    def update(self, values: Floats) -> None:
        """Take in values; those that are not finite are counted in `non_finite` and are not values.

        Parameters
        ----------
        values : ndarray of float64, shape (n,)
        """
        finite = np.isfinite(values)
        if not finite.all():
            self.non_finite += values.size - int(np.count_nonzero(finite))
            values = values[finite]
        n = values.size
        if n == 0:
            return
        with np.errstate(over="ignore", invalid="ignore"):  # the largest doubles have no finite sum
            mean = float(np.add.reduce(values)) / n
            if not math.isfinite(mean):
                mean = float(np.add.reduce(values / n))
            deviations = values - mean
            correction = float(np.add.reduce(deviations)) / n
            m2 = float(np.dot(deviations, deviations)) - n * correction * correction
        self._add_moments(n, mean, correction, max(m2, 0.0))
        self._kll.update(values)

    def merge(self, other: NumericSketch) -> None:
        """Take in all that the other has seen."""
        self._add_moments(other.n, other._mean, other._mean_low, other.m2)
        self.non_finite += other.non_finite
        self._kll.merge(other._kll)

    def _add_moments(self, n: int, mean: float, mean_low: float, m2: float) -> None:
        """Chan's update; called before the values enter the KLL sketch, whose n is the count so far."""
        before = self.n
        if n == 0:
            return
        delta = (mean - self._mean) + (mean_low - self._mean_low)
        share = n / (before + n)
        self.m2 += m2 + delta * delta * before * share
        low = self._mean_low + delta * share
        total = self._mean + low
        self._mean_low = low - (total - self._mean) if math.isfinite(total) else 0.0
        self._mean = total

    def quantiles(self, probabilities: Sequence[float]) -> Floats:
        """Values at the given probabilities: the smallest value whose rank is at least p (numpy's ``inverted_cdf``).

        Exact while not `estimating`; else its true rank is within `rank_error` of p. NaN if empty.
        """
        if self.n == 0:
            return np.full(len(probabilities), np.nan)
        return np.array(self._kll.get_quantiles(list(probabilities), True), dtype=np.float64)

    def cdf(self, edges: Floats) -> Floats:
        """Shares of values at or below each of the ascending, distinct edges."""
        return np.cumsum(self.pmf(edges))[:-1]

    def pmf(self, edges: Floats) -> Floats:
        """Shares of values in the bins ``(-inf, e0], (e0, e1], ..., (e_last, inf)``; NaN if empty."""
        if self.n == 0:
            return np.full(len(edges) + 1, np.nan)
        if len(edges) == 0:
            return np.ones(1)
        return np.array(self._kll.get_pmf(list(edges), True), dtype=np.float64)

    def weighted_values(self) -> tuple[Floats, Floats]:
        """The distinct values that the sketch retains, ascending, and how many values each stands for."""
        values = np.unique(np.array([value for value, _ in self._kll], dtype=np.float64))
        # Not the iterator's weights: after a merge that leaves the lowest level empty it says 1 for every value.
        return values, np.rint(self.pmf(values)[:-1] * self.n) if self.n else np.empty(0)

    def copy(self) -> NumericSketch:
        """An independent copy."""
        twin = copy.copy(self)
        twin._kll = copy.copy(self._kll)
        return twin

    def to_bytes(self) -> bytes:
        """The whole state; the first byte is the format's version."""
        body = self._kll.serialize()
        head = _NUMERIC_HEADER.pack(_NUMERIC_FORMAT, 0, self.non_finite, self._mean, self._mean_low, self.m2)
        return _sealed(head + body)

    @classmethod
    def from_bytes(cls, data: bytes) -> NumericSketch:
        """The sketch that `to_bytes` wrote.

        Raises
        ------
        CorruptSketchError
            If the bytes are damaged or of an unknown format.
        IncompatibleSketchError
            If the sketch was written with another `K`.
        """
        _check(data, _NUMERIC_FORMAT, _NUMERIC_HEADER.size, "numeric")
        sketch = cls.__new__(cls)
        _, _, sketch.non_finite, sketch._mean, sketch._mean_low, sketch.m2 = _NUMERIC_HEADER.unpack_from(data)
        try:
            sketch._kll = kll_doubles_sketch.deserialize(data[_NUMERIC_HEADER.size :])
        except Exception as error:
            raise CorruptSketchError(f"numeric sketch of {len(data)} bytes: {error}") from error
        if sketch._kll.k != K:
            raise IncompatibleSketchError(
                f"numeric sketch has k={sketch._kll.k}, this build merges k={K} only"
            )
        return sketch


class CategorySketch:
    """Counts of labels.

    Parameters
    ----------
    labels : int
        So many labels, at least, it counts exactly. Beyond them those that come often are kept, with bounds.

    Examples
    --------
    >>> sketch = CategorySketch()
    >>> sketch.update({"CA": 3, "US": 5})
    >>> sketch.n, sketch.distinct, sketch.exact
    (8, 2, True)
    >>> sketch.items()[0]
    LabelCount(label='US', estimate=5, lower=5, upper=5)
    """

    __slots__ = ("_lg_map", "_map")

    def __init__(self, labels: int = LABELS_EXACT) -> None:
        self._lg_map = lg_map_for(labels)
        self._map = frequent_strings_sketch(self._lg_map)

    @property
    def n(self) -> int:
        """How many values it has seen, exact."""
        return int(self._map.total_weight)

    @property
    def distinct(self) -> int:
        """How many labels it holds; while `exact`, how many there are."""
        return int(self._map.num_active_items)

    @property
    def error(self) -> int:
        """The distance of any label's upper bound from its lower: 0 while exact."""
        return int(self._map.get_upper_bound("")) - int(self._map.get_lower_bound(""))

    @property
    def exact(self) -> bool:
        """Whether every count is exact, which it is until more labels than `capacity` have been seen."""
        return self.error == 0

    @property
    def capacity(self) -> int:
        """How many labels it counts exactly."""
        return exactly(self._lg_map)

    @property
    def not_kept(self) -> int:
        """Of so many values, at most, the label is not among those that it holds: what their lower bounds leave."""
        return self.n - sum(item.lower for item in self.items()) if self.error else 0

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        return 400 + 85 * self.distinct

    def update(self, counts: Mapping[str, int]) -> None:
        """Take in labels with how often each came."""
        update = self._map.update
        for label, count in counts.items():
            update(label, count)

    def merge(self, other: CategorySketch) -> None:
        """Take in all that the other has seen, in the larger map of both."""
        if other._lg_map > self._lg_map:
            larger = copy.copy(other._map)
            larger.merge(self._map)
            self._map, self._lg_map = larger, other._lg_map
        else:
            self._map.merge(other._map)

    def items(self) -> list[LabelCount]:
        """All labels that it holds, the most frequent first, equal ones by name."""
        found = self._map.get_frequent_items(frequent_items_error_type.NO_FALSE_NEGATIVES, 0)
        return sorted((LabelCount(*item) for item in found), key=lambda item: (-item.estimate, item.label))

    def copy(self) -> CategorySketch:
        """An independent copy."""
        twin = copy.copy(self)
        twin._map = copy.copy(self._map)
        return twin

    def renamed(self, rename: Callable[[str], str]) -> CategorySketch:
        """The same counts, bounds and total under other names, one for each label.

        >>> sketch = CategorySketch()
        >>> sketch.update({"CA": 3, "US": 5})
        >>> sketch.renamed(str.lower).items()[0].label
        'us'
        """
        twin = self.copy()
        if self.distinct:
            twin._map = frequent_strings_sketch.deserialize(_renamed(self._map.serialize(), rename))
        return twin

    def to_bytes(self) -> bytes:
        """The whole state; the first byte is the format's version."""
        return _sealed(_CATEGORY_HEADER.pack(_CATEGORY_FORMAT, 0) + self._map.serialize())

    @classmethod
    def from_bytes(cls, data: bytes) -> CategorySketch:
        """The sketch that `to_bytes` wrote.

        Raises
        ------
        CorruptSketchError
            If the bytes are damaged or of an unknown format.
        IncompatibleSketchError
            If its map has a size that no setting gives.
        """
        _check(data, _CATEGORY_FORMAT, _CATEGORY_HEADER.size, "category")
        sketch = cls.__new__(cls)
        try:
            sketch._map = frequent_strings_sketch.deserialize(data[_CATEGORY_HEADER.size :])
        except Exception as error:
            raise CorruptSketchError(f"category sketch of {len(data)} bytes: {error}") from error
        sketch._lg_map = data[_CATEGORY_HEADER.size + _LG_MAP_AT]
        if not _LG_SMALLEST <= sketch._lg_map <= _LG_LARGEST:
            raise IncompatibleSketchError(
                f"category sketch has a map of size 2**{sketch._lg_map}, "
                f"this build's are 2**{_LG_SMALLEST} to 2**{_LG_LARGEST}"
            )
        return sketch


def _renamed(data: bytes, rename: Callable[[str], str]) -> bytes:
    """A serialized map of labels with other labels: a head, a weight for each, and each behind its length."""
    (labels,) = struct.unpack_from("<I", data, _LABELS_AT)
    at = _WEIGHTS_AT + 8 * labels
    parts = [data[:at]]
    for _ in range(labels):
        (size,) = struct.unpack_from("<I", data, at)
        label = rename(data[at + 4 : at + 4 + size].decode()).encode()
        parts.append(struct.pack("<I", len(label)) + label)
        at += 4 + size
    return b"".join(parts)


def _sealed(data: bytes) -> bytes:
    """The bytes with their checksum in its place."""
    return data[:1] + struct.pack("<I", zlib.crc32(data[_CHECKED_FROM:])) + data[_CHECKED_FROM:]


def _check(data: bytes, known_format: int, header: int, kind: str) -> None:
    if len(data) < header:
        raise CorruptSketchError(
            f"{kind} sketch of {len(data)} bytes is cut off: its header alone has {header}"
        )
    if data[0] != known_format:
        raise CorruptSketchError(
            f"{kind} sketch has format {data[0]}, this build reads {known_format}: run the version that wrote it"
        )
    (checksum,) = struct.unpack_from("<I", data, 1)
    if zlib.crc32(data[_CHECKED_FROM:]) != checksum:
        raise CorruptSketchError(
            f"{kind} sketch of {len(data)} bytes is damaged: its checksum does not match"
        )
