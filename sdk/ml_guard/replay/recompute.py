"""What must the drift of a day be, from its raw values and the baseline's stored bins?

The definitions are DESIGN's, written out once more with scipy's own functions: Pearson's chi-square from
`chi2_contingency`, Jensen-Shannon from `scipy.spatial.distance`, Benjamini-Hochberg from `false_discovery_control`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2, chi2_contingency, false_discovery_control

from ml_guard.replay.oracle import DayTruth
from ml_guard.shapes import BaselineFeature

Floats = npt.NDArray[np.float64]

ALPHA = 0.005
"""From here on a row is significant, after correction."""


@dataclass(frozen=True)
class Expected:
    """The numbers that a scored row must show."""

    counts: tuple[int, ...]
    psi: float
    psi_expected: float
    chi_square: float
    degrees_of_freedom: int
    p_value: float
    js_distance: float
    l_infinity: float
    contributions: tuple[float, ...]


def bin_counts(day: DayTruth, frozen: BaselineFeature, baseline_labels: set[str]) -> list[int]:
    """How many of a day's events fall into each bin of a stored baseline feature, `missing` last.

    Args:
        day: the raw values.
        frozen: the feature as the API gives it in a baseline: kind, edges or labels.
        baseline_labels: every label that the baseline's raw values hold; those without a bin are `other`.
    """
    feature, kind = frozen.feature, frozen.kind
    if kind == "numeric":
        edges = frozen.edges or []
        counts = [0] * (len(edges) + 1)
        for value in day.numbers(feature):
            counts[bisect_left(edges, value)] += 1
    else:
        names = frozen.labels or []
        counts = [0] * (len(names) + 2)
        for label, number in day.labels(feature, kind).items():
            place = names.index(label) if label in names else len(names) + (label not in baseline_labels)
            counts[place] += number
    return [*counts, day.events - sum(counts)]


def score(x: Sequence[int], shares: Sequence[float], m: float, errors: Sequence[float]) -> Expected:
    """PSI, E0 and the rest, from a day's counts and the baseline's stored shares.

    >>> result = score([30, 50, 20], [0.2, 0.6, 0.2], 1000, [0, 0, 0])
    >>> round(result.psi, 4), round(result.psi_expected, 4), round(result.p_value, 4)
    (0.0573, 0.022, 0.0527)
    """
    day, base = np.asarray(x, dtype=np.float64), np.asarray(shares, dtype=np.float64) * m
    s = np.asarray(errors, dtype=np.float64)
    # Where the baseline's sketch shows nothing but may have missed values, the day's share is believed up to its 99 %.
    base = np.where(base == 0, m * np.minimum(day / day.sum(), 2.576 * s), base)
    m = base.sum()
    used = (day > 0) | (base > 0)
    contributions = np.zeros(day.size)
    day, base, s = day[used], base[used], s[used]
    n, bins = day.sum(), day.size
    pooled = (day + base) / (n + m)
    p = (day + pooled * bins / 2) / (n + bins / 2)
    q = (base + pooled * bins / 2) / (m + bins / 2)
    terms = (p - q) * np.log(p / q)
    contributions[used] = terms
    sampling = 1 / n + 1 / m
    expected = float(np.sum((q * (1 - q) * sampling + s**2) / q))
    if bins == 1:
        return Expected(tuple(x), float(terms.sum()), expected, 0.0, 0, 1.0, 0.0, 0.0, tuple(contributions))
    chi_square = float(chi2_contingency(np.vstack((day, base)), correction=False).statistic)
    correction = expected / ((bins - 1) * sampling)
    return Expected(
        counts=tuple(x),
        psi=float(terms.sum()),
        psi_expected=expected,
        chi_square=chi_square,
        degrees_of_freedom=bins - 1,
        p_value=float(chi2.sf(chi_square / correction, bins - 1)),
        js_distance=_js_distance(day / n, base / m),
        l_infinity=float(np.max(np.abs(day / n - base / m))),
        contributions=tuple(contributions),
    )


def _js_distance(p: Floats, q: Floats) -> float:
    """scipy's; of shares that are the same it may take the root of a rounding error below zero, which is no number."""
    with np.errstate(invalid="ignore"):
        distance = float(jensenshannon(p, q, base=2))
    return 0.0 if math.isnan(distance) else distance


def corrected(p_values: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's q-values."""
    return [float(q) for q in false_discovery_control(list(p_values), method="bh")] if p_values else []


def verdict(expected: Expected, q_value: float, warning: float, drift: float) -> str:
    """The verdict that the numbers call for: significant is what Pearson's test and PSI's own call so, corrected alike."""
    if expected.psi_expected > warning / 2:
        return "insufficient_data"
    dof = expected.degrees_of_freedom
    psi_p_value = float(chi2.sf(dof * expected.psi / expected.psi_expected, dof)) if dof else 1.0
    factor = q_value / expected.p_value if expected.p_value > 0 else 1.0
    if expected.psi < warning or max(q_value, psi_p_value * factor) > ALPHA:
        return "ok"
    return "drift" if expected.psi >= drift else "warning"


def rank_interval(values: Floats, value: float) -> tuple[float, float]:
    """The ranks, as shares, that a value may claim among sorted raw values: it may stand anywhere in its ties."""
    below = float(np.searchsorted(values, value, side="left")) / values.size
    return below, float(np.searchsorted(values, value, side="right")) / values.size
