"""Into which bins does a baseline freeze a feature, and what shares did it have there?

A bin vector ends with the reserved bins:

- numeric: ``[bin 0, ..., bin N-1, missing]``, bin i holding ``(edges[i-1], edges[i]]``, the tails open;
- categorical and boolean: ``[label 0, ..., label K-1, other, unseen, missing]``.

Bins are closed on the right everywhere: in `count` (``searchsorted(..., side="left")``), in the sketch's shares
(``inclusive=True``) and in the quantiles that the edges are taken from. So a value that is equal to an edge falls
into the bin below it, and an atom ``a`` is alone between the edges ``nextafter(a, -inf)`` and ``a``.

Workers count into all bins but the last; missing is what remains of the model-day's events.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from stream.drift import Z_99
from stream.sketches import LABELS_EXACT, CategorySketch, K, LabelCount, NumericSketch, exactly, lg_map_for

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Sketch = NumericSketch | CategorySketch

N_BINS = 10
MAX_BINS = 50
"""More bins than this are finer than the sketch: one top-level item of a KLL of k=200 weighs up to 1 %."""

TOP_K = 20
MIN_SHARE = 0.02
"""Of 250 events, the fewest that ten bins can be tested with, it expects 5. A rarer label that vanishes moves PSI by
less than the warning level anyway; it belongs to `other`."""
MIN_COUNT = 5
"""Cochran's rule: below five expected counts a cell's chi-square is not one."""
CONTESTED = 2.0
"""Within two standard deviations of the best label without a bin, a label may owe its bin to luck."""

LABELS_KNOWN = exactly(lg_map_for(LABELS_EXACT))
"""So many labels, 12,288, a sketch counts exactly by default; of more raw ones, a baseline does not keep the names."""

BOOLEAN_LABELS = ("false", "true")


class Kind(StrEnum):
    """What a feature's values are."""

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"
    BOOLEAN = "boolean"


@dataclass(frozen=True, eq=False)
class FrozenBins:
    """The bins of one feature in one baseline version, and the baseline's shares in them.

    Attributes
    ----------
    kind : Kind
    edges : ndarray of float64
        Numeric: the inner edges, ascending and distinct. Else empty.
    labels : tuple of str
        Categorical and boolean: the labels with a bin of their own. Else empty.
    others : frozenset of str or None
        Categorical: the baseline's labels that share the bin `other`. None where the baseline could not count them
        all exactly: then every label without a bin is `other`, and nothing is `unseen`.
    q : ndarray of float64
        The baseline's shares, of the whole bin vector.
    m : int
        The baseline's events.
    s : ndarray of float64
        Standard deviation of each share that is due to the sketch; 0 where it is exact. Where the share is 0 and this
        is not, the sketch may have missed up to ``2.576 s``.
    """

    kind: Kind
    edges: Floats
    labels: tuple[str, ...]
    others: frozenset[str] | None
    q: Floats
    m: int
    s: Floats
    _bin_of: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        other = len(self.labels)
        bins = dict.fromkeys(self.others or (), other) | {label: i for i, label in enumerate(self.labels)}
        object.__setattr__(self, "_bin_of", bins)
        expected = self.edges.size + 2 if self.kind is Kind.NUMERIC else other + 3
        if not self.q.size == self.s.size == expected:
            raise ValueError(f"{self.kind} bins need {expected} shares, not {self.q.size} and {self.s.size}")

    @property
    def size(self) -> int:
        """Length of the whole bin vector, the missing bin included."""
        return self.q.size

    @property
    def y(self) -> Floats:
        """The baseline's counts, ``q * m``."""
        return self.q * self.m

    @property
    def names(self) -> list[str]:
        """What each bin of the vector is called, for people.

        >>> freeze_values(np.arange(4.0), n_bins=2).names
        ['<= 1', '> 1', 'missing']
        """
        if self.kind is not Kind.NUMERIC:
            return [*self.labels, "other", "unseen", "missing"]
        return [*_interval_names(self.edges), "missing"]

    def vector(self, counts: Ints, events: int) -> Ints:
        """The whole bin vector of a day: a worker's counts, and as missing the rest of the day's events."""
        return np.append(counts, _missing(events, int(counts.sum())))


def freeze(
    sketch: Sketch,
    *,
    events: int | None = None,
    kind: Kind | None = None,
    n_bins: int = N_BINS,
    top_k: int = TOP_K,
) -> FrozenBins:
    """Freeze the bins of a baseline from its merged sketch.

    Parameters
    ----------
    sketch : NumericSketch or CategorySketch
        Of all days of the baseline's window.
    events : int, optional
        The model's events in the window; those without a (finite) value are `missing`. By default all have one.
    kind : Kind, optional
        By default numeric or categorical, as the sketch is; `Kind.BOOLEAN` fixes the labels.
    n_bins : int
        Numeric: into how many bins of equal share.
    top_k : int
        Categorical: how many labels have a bin of their own.

    Notes
    -----
    Numeric: values whose share is 1 / n_bins or more are atoms and get a bin of their own; each stretch between atoms
    gets ``round(share * n_bins)`` bins of equal share, at least one; equal edges are merged. Without atoms that is
    the deciles. A stretch that has no values keeps one bin, in which a day's new values show.

    Categorical: the `top_k` most frequent labels that have at least 2 % of the values and come 5 times get a bin.
    The share of `unseen` is that of the labels which came once (Good and Turing's estimate of what a sample has not
    seen), and `other` has the rest; otherwise a feature with a long tail would drift every day. A label that owes its
    bin to luck is overestimated by about the standard deviation of its count: that is added to its `s`.
    """
    n = sketch.n
    present_events = n + (sketch.non_finite if isinstance(sketch, NumericSketch) else 0)
    m = present_events if events is None else events
    if isinstance(sketch, NumericSketch):
        values, weights = sketch.weighted_values()
        return _freeze_numeric(values, weights, m, n_bins, sketch)
    if kind is Kind.BOOLEAN:
        return _freeze_boolean({item.label: item.estimate for item in sketch.items()}, m)
    return _freeze_labels(sketch.items(), n, m, top_k, sketch.exact, sketch.error)


def freeze_values(
    values: Floats | Mapping[str, int] | Iterable[str],
    *,
    events: int | None = None,
    kind: Kind | None = None,
    n_bins: int = N_BINS,
    top_k: int = TOP_K,
) -> FrozenBins:
    """Freeze the bins from raw values, exactly: numbers from an array of floats, labels (or their counts) from others.

    The rules are those of `freeze`. Shares are exact, and no uncertainty is that of a sketch.

    >>> bins = freeze_values(np.array([0.0] * 60 + list(range(1, 41))), events=110)
    >>> bins.q.round(3).tolist()
    [0.0, 0.545, 0.091, 0.091, 0.091, 0.091, 0.091]
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
        numbers = values[np.isfinite(values)].astype(np.float64)
        distinct, weights = np.unique(numbers, return_counts=True)
        m = values.size if events is None else events
        return _freeze_numeric(distinct, weights.astype(np.float64), m, n_bins, None)
    counts = Counter(values)
    m = counts.total() if events is None else events
    if kind is Kind.BOOLEAN:
        return _freeze_boolean(counts, m)
    items = [LabelCount(label, n, n, n) for label, n in counts.items()]
    items.sort(key=lambda item: (-item.estimate, item.label))
    return _freeze_labels(items, counts.total(), m, top_k, len(items) <= LABELS_KNOWN, 0)


def count(values: Floats | Mapping[str, int], bins: FrozenBins) -> Ints:
    """How many values fall into each bin but `missing`.

    Parameters
    ----------
    values : ndarray of float64, or mapping from label to count
        Those that are not finite are left out, and so become missing.

    >>> count(np.array([0.5, 1.0, 9.0, np.nan]), freeze_values(np.arange(4.0), n_bins=2)).tolist()
    [2, 1]
    """
    if isinstance(values, np.ndarray) is not (bins.kind is Kind.NUMERIC):
        raise TypeError(f"{type(values).__name__} cannot be counted into {bins.kind} bins")
    if isinstance(values, np.ndarray):
        finite = np.isfinite(values)
        if not finite.all():
            values = values[finite]
        return np.bincount(np.searchsorted(bins.edges, values), minlength=bins.size - 1)
    counts = [0] * (bins.size - 1)
    find, strange = bins._bin_of.get, len(bins.labels) + (bins.others is not None)
    for label, number in values.items():
        counts[find(label, strange)] += number
    return np.array(counts, dtype=np.int64)


def counts_of(sketch: Sketch, bins: FrozenBins, events: int) -> tuple[Floats, Floats]:
    """A day's bin vector from its sketch, where no counters cover the day.

    Returns
    -------
    x : ndarray of float64
        Estimated counts of the whole bin vector; the missing bin is exact.
    s : ndarray of float64
        Standard deviation of each share that is due to the sketch.
    """
    missing = _missing(events, sketch.n)
    if isinstance(sketch, NumericSketch):
        inside = sketch.pmf(bins.edges) * sketch.n if sketch.n else np.zeros(bins.size - 1)
        x = np.append(inside, missing)
        return x, _sketch_deviation(x, events, sketch, bins.edges)
    x = np.append(_label_counts(sketch, bins), missing)
    return x, _bound_deviation(x, events, sketch.error)


def _missing(events: int, present: int) -> int:
    if present > events:
        raise ValueError(f"{present} values in {events} events: a feature has at most one value an event")
    return events - present


def _label_counts(sketch: CategorySketch, bins: FrozenBins) -> Floats:
    """Counts of a category sketch; where it is not exact, the tail has what the labels with bins leave."""
    items = sketch.items()
    estimates = count({item.label: item.estimate for item in items}, bins).astype(np.float64)
    if sketch.exact:
        return estimates
    top = len(bins.labels)
    head = estimates[:top] * min(1.0, sketch.n / max(float(estimates[:top].sum()), 1.0))
    tail = count({item.label: item.lower for item in items}, bins)[top:].astype(np.float64)
    if tail.sum() == 0:
        tail[0 if bins.others is None else 1] = 1.0
    return np.append(head, tail * ((sketch.n - float(head.sum())) / tail.sum()))


def _freeze_numeric(
    values: Floats, weights: Floats, m: int, n_bins: int, sketch: NumericSketch | None
) -> FrozenBins:
    if not 2 <= n_bins <= MAX_BINS:
        raise ValueError(f"bins must be 2 to {MAX_BINS}, not {n_bins}")
    edges = _edges(values, weights, n_bins)
    inside = np.bincount(np.searchsorted(edges, values), weights=weights, minlength=edges.size + 1)
    y = np.append(inside, _missing(m, int(weights.sum())))
    return FrozenBins(Kind.NUMERIC, edges, (), None, _shares(y, m), m, _sketch_deviation(y, m, sketch, edges))


def _edges(values: Floats, weights: Floats, n_bins: int) -> Floats:
    """Inner edges over ascending distinct values: around every atom, and quantiles of each stretch between."""
    total = weights.sum()
    if total == 0:
        return np.empty(0)
    edges: list[float] = []
    begin = 0
    for atom in [*np.flatnonzero(weights >= total / n_bins).tolist(), None]:
        stretch = slice(begin, atom)
        edges.extend(_quantile_edges(values[stretch], weights[stretch], total / n_bins))
        if atom is not None:
            edges.extend((float(np.nextafter(values[atom], -np.inf)), float(values[atom])))
            begin = atom + 1
    return np.unique(edges)


def _quantile_edges(values: Floats, weights: Floats, bin_weight: float) -> list[float]:
    cumulative = np.cumsum(weights)
    if cumulative.size == 0:
        return []
    parts = max(1, round(cumulative[-1] / bin_weight))
    wanted = cumulative[-1] * np.arange(1, parts) / parts
    at = np.searchsorted(cumulative, wanted * (1 - 1e-12))
    return [float(values[i]) for i in at if i < values.size - 1]


def _freeze_boolean(counts: Mapping[str, int], m: int) -> FrozenBins:
    known = [counts.get(label, 0) for label in BOOLEAN_LABELS]
    y = np.array([*known, 0, 0, _missing(m, sum(known))], dtype=np.float64)
    return FrozenBins(
        Kind.BOOLEAN, np.empty(0), BOOLEAN_LABELS, frozenset(), _shares(y, m), m, np.zeros(y.size)
    )


def _freeze_labels(
    items: list[LabelCount], n: int, m: int, top_k: int, known: bool, error: int
) -> FrozenBins:
    """Bins of `n` labels, the most frequent first; `known`: that all of them are in `items`, and worth keeping."""
    enough = max(MIN_SHARE * n, MIN_COUNT)
    top = [item for item in items[:top_k] if item.estimate >= enough]
    tail = items[len(top) :]
    once = sum(item.estimate == 1 for item in tail) if known else 0
    labels = tuple(item.label for item in top)
    rest = n - sum(item.estimate for item in top)
    y = np.array([*(item.estimate for item in top), rest - once, once, _missing(m, n)], dtype=np.float64)
    s = np.hypot(_bound_deviation(y, m, error), _selection_deviation(y, m, tail))
    others = frozenset(item.label for item in tail) if known else None
    return FrozenBins(Kind.CATEGORICAL, np.empty(0), labels, others, _shares(y, m), m, s)


def _shares(y: Floats, m: int) -> Floats:
    return y / m if m else np.zeros(y.size)


def _sketch_deviation(x: Floats, events: int, sketch: NumericSketch | None, edges: Floats) -> Floats:
    """From the published 99 % bound on a share; nothing for the missing bin and beyond the exact extremes.

    A compaction disturbs a bin only if an odd number of its k items are of the bin, so below a share of 1 / k the
    variance falls with the share. A share above 1 / k is missed once in a hundred times: so much may be in a bin
    between the extremes that shows nothing.
    """
    s = np.zeros(x.size)
    if sketch is None or not sketch.estimating:
        return s
    present = sketch.n / events
    low, high = np.searchsorted(edges, [sketch.minimum, sketch.maximum])
    share = x[low : high + 1] / sketch.n
    seen = sketch.pmf_error * np.sqrt(np.minimum(1.0, K * share))
    s[low : high + 1] = np.where(share > 0, seen, 1 / K) / Z_99 * present
    return s


def _bound_deviation(x: Floats, events: int, error: int) -> Floats:
    """From hard bounds `error` apart: the deviation of a uniform distribution between them."""
    if error == 0 or events == 0:
        return np.zeros(x.size)
    s = np.where(x > 0, error / math.sqrt(12) / events, 0.0)
    s[-2:] = 0.0
    return s


def _selection_deviation(y: Floats, m: int, tail: list[LabelCount]) -> Floats:
    """What choosing the most frequent labels of a sample adds: their share is too high, that of `other` too low."""
    s = np.zeros(y.size)
    if not tail:
        return s
    top, runner_up = y[:-3], tail[0].estimate
    contested = top - runner_up < CONTESTED * np.sqrt(top + runner_up)
    variance = np.where(contested, top * (1 - top / m), 0.0)
    s[:-3] = np.sqrt(variance) / m
    s[-3] = math.sqrt(float(variance.sum())) / m
    return s


def _interval_names(edges: Floats) -> list[str]:
    """Readable intervals; an atom is called by its value, and the edge a hair below it by the atom's too."""
    if edges.size == 0:
        return ["any"]
    values = edges.tolist()
    before_atom = [math.nextafter(low, math.inf) == high for low, high in pairwise(values)] + [False]
    ends = [f"< {values[i + 1]:g}" if atom else f"<= {values[i]:g}" for i, atom in enumerate(before_atom)]
    names = [ends[0]]
    for i, low in enumerate(values[:-1]):
        names.append(f"= {values[i + 1]:g}" if before_atom[i] else f"> {low:g}, {ends[i + 1]}")
    return [*names, f"> {values[-1]:g}"]
