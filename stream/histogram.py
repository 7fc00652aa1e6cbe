"""How are latencies counted so that any percentile over any range is right within two per cent?

Buckets of constant relative width, as in DDSketch (Masson, Rim, Lee: "DDSketch", VLDB 2019). With
``GAMMA = (1 + 0.02) / (1 - 0.02) = 51 / 49`` a latency ``v`` in milliseconds is in bucket

    bucket(v) = clip(ceil(ln(v) / ln(GAMMA)), LOWEST, HIGHEST),      v <= 0: LOWEST

so bucket ``i`` holds ``(GAMMA**(i-1), GAMMA**i]``. Its value is the point from which both ends are 2 % away,

    value(i) = 2 * GAMMA**i / (GAMMA + 1) = 0.98 * GAMMA**i,         value(LOWEST) = 0

A quantile is the value of the bucket that holds the ``max(1, ceil(p * n - 1e-9))``-th smallest latency (numpy's
``inverted_cdf``), which is the lowest bucket whose cumulative count reaches that rank. SQL computes the same from
the same constants.

`LOWEST` (-173) takes everything up to ``GAMMA**-173``, just under a microsecond, and zero: its value is 0.
`HIGHEST` (518) takes everything above ``GAMMA**517``, about eleven days.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

RELATIVE_ERROR = 0.02
GAMMA = 51 / 49
"""Ratio of a bucket's upper to its lower end: (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)."""

LOWEST = -173
HIGHEST = 518

_LN_GAMMA = math.log(GAMMA)
_SMALLEST = GAMMA**LOWEST
_RANK_SLACK = 1e-9  # 0.07 * 100 is 7.000000000000001 in binary, and means the 7th

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def bucket_of(latency_ms: Floats) -> Ints:
    """The bucket of each latency.

    Parameters
    ----------
    latency_ms : ndarray of float64
        Milliseconds; any value but NaN. Zero and negative ones are in `LOWEST`.

    >>> bucket_of(np.array([0.0, 1.0, 42.0, 1e12])).tolist()
    [-173, 0, 94, 518]
    """
    index = np.ceil(np.log(np.maximum(latency_ms, _SMALLEST)) / _LN_GAMMA)
    return np.clip(index, LOWEST, HIGHEST).astype(np.int64)


def bucket_value(bucket: int | Ints) -> Floats:
    """The latency that a bucket stands for, within 2 % of everything in it.

    >>> float(bucket_value(94).round(2))
    42.11
    """
    bucket = np.asarray(bucket, dtype=np.int64)
    return np.where(bucket <= LOWEST, 0.0, (1 - RELATIVE_ERROR) * GAMMA ** bucket.astype(np.float64))


class LatencyHistogram:
    """Counts of latencies by bucket, from the lowest to the highest bucket that occurs.

    Parameters
    ----------
    lowest : int
        Bucket of the first count.
    counts : sequence of int
        How many latencies each bucket from `lowest` on has.

    Examples
    --------
    >>> histogram = LatencyHistogram.of(np.arange(1.0, 101.0))
    >>> histogram.n
    100
    >>> histogram.quantiles([0.5, 0.99]).round(1).tolist()
    [49.4, 97.6]
    """

    __slots__ = ("counts", "lowest")

    def __init__(self, lowest: int = 0, counts: Sequence[int] | Ints = ()) -> None:
        self.lowest = lowest
        self.counts: Ints = np.asarray(counts, dtype=np.int64)
        if self.counts.size and not LOWEST <= lowest <= HIGHEST - self.counts.size + 1:
            raise ValueError(
                f"buckets from {lowest}, {self.counts.size} of them, are not within {LOWEST} to {HIGHEST}"
            )

    @classmethod
    def of(cls, latency_ms: Floats) -> LatencyHistogram:
        """The histogram of an array of latencies; those that are not finite are left out."""
        finite = np.isfinite(latency_ms)
        if not finite.all():
            latency_ms = latency_ms[finite]
        if latency_ms.size == 0:
            return cls()
        buckets = bucket_of(latency_ms)
        lowest = int(buckets.min())
        histogram = cls.__new__(cls)
        histogram.lowest, histogram.counts = lowest, np.bincount(buckets - lowest)
        return histogram

    @property
    def n(self) -> int:
        """How many latencies were counted."""
        return int(self.counts.sum())

    def merge(self, other: LatencyHistogram) -> None:
        """Add the other's counts; exact, and in any order the same."""
        if other.counts.size == 0:
            return
        if self.counts.size == 0:
            self.lowest, self.counts = other.lowest, other.counts.copy()
            return
        lowest = min(self.lowest, other.lowest)
        end = max(self.lowest + self.counts.size, other.lowest + other.counts.size)
        if lowest != self.lowest or end != self.lowest + self.counts.size:
            counts = np.zeros(end - lowest, dtype=np.int64)
            counts[self.lowest - lowest : self.lowest - lowest + self.counts.size] = self.counts
            self.lowest, self.counts = lowest, counts
        offset = other.lowest - lowest
        self.counts[offset : offset + other.counts.size] += other.counts

    def encode(self) -> tuple[int, list[int]]:
        """``(lowest, counts)`` without empty buckets at either end; what a row stores."""
        filled = np.flatnonzero(self.counts)
        if filled.size == 0:
            return 0, []
        first, last = int(filled[0]), int(filled[-1])
        return self.lowest + first, self.counts[first : last + 1].tolist()

    def quantiles(self, probabilities: Iterable[float]) -> Floats:
        """Latencies at the given probabilities, each within 2 % of numpy's ``inverted_cdf``; NaN if empty."""
        wanted = np.fromiter(probabilities, dtype=np.float64)
        cumulative = np.cumsum(self.counts)
        if cumulative.size == 0 or cumulative[-1] == 0:
            return np.full(wanted.size, np.nan)
        ranks = np.maximum(np.ceil(wanted * cumulative[-1] - _RANK_SLACK), 1)
        return bucket_value(self.lowest + np.searchsorted(cumulative, ranks, side="left"))
