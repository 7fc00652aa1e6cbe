"""How far has a day's distribution moved from the baseline's, and is it more than chance?

Every number that is shown can be recomputed from the two count vectors and the shares' deviations by the formulas
of `score`, with numpy and scipy alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc, rel_entr

Floats = npt.NDArray[np.float64]

Z_99 = 2.576
"""Two-sided 99 % point of the normal distribution: from a bound at 99 % to a standard deviation and back."""

ALPHA = 0.005
"""At 0.01, where E0 is near its limit, PSI is above the warning level whenever the test rejects, so one feature in a
hundred without drift would be a warning. At 0.005 half a standard deviation is still found in 99.6 % at n = m = 400."""

WARNING = 0.1
DRIFT = 0.25


class Status(StrEnum):
    """The verdict on one feature of one day."""

    OK = "ok"
    WARNING = "warning"
    DRIFT = "drift"
    INSUFFICIENT_DATA = "insufficient_data"
    MISSING_BASELINE = "missing_baseline"
    TYPE_CHANGED = "type_changed"
    MISSING_FEATURE = "missing_feature"
    NEW_FEATURE = "new_feature"


@dataclass(frozen=True, slots=True)
class Score:
    """What `score` found.

    Attributes
    ----------
    psi : float
        Population stability index, smoothed.
    expected : float
        E0, the PSI that no drift would give; infinite if a side has no events.
    chi_square : float
        Pearson's two-sample statistic, uncorrected.
    dof : int
        B - 1, for B bins that are not empty on both sides.
    p_value : float
        Of ``chi_square / correction``.
    correction : float
        First-order Rao-Scott: 1 where both sides are exact counts.
    js_distance : float
        Jensen-Shannon distance, base 2, of the unsmoothed shares.
    l_infinity : float
        Largest difference of a bin's unsmoothed shares.
    contributions : ndarray of float64
        What each bin adds to `psi`.
    """

    psi: float
    expected: float
    chi_square: float
    dof: int
    p_value: float
    correction: float
    js_distance: float
    l_infinity: float
    contributions: Floats

    @property
    def psi_p_value(self) -> float:
        """How often chance alone gives such a PSI: ``dof * psi / expected`` is about a chi-square too."""
        if self.dof == 0 or not 0 < self.expected < math.inf:
            return 1.0
        return float(chdtrc(self.dof, self.dof * self.psi / self.expected))


def score(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    s: Floats | None = None,
    s_day: Floats | None = None,
) -> Score:
    """Compare a day's counts with its baseline's, over the same bins.

    Parameters
    ----------
    x, y : array_like, shape (bins,)
        Counts of the day and of the baseline, the reserved bins included; n and m are their sums.
    s, s_day : ndarray, shape (bins,), optional
        Standard deviations of the baseline's and the day's shares that are due to sketches; 0 by default.

    Notes
    -----
    Bins that are empty on both sides are left out; B remain. With ``w = (x + y) / (n + m)``::

        p = (x + w B/2) / (n + B/2)        q = (y + w B/2) / (m + B/2)
        PSI = sum (p - q) ln(p / q)
        E0  = sum (q (1 - q) (1/n + 1/m) + s^2 + s_day^2) / q

    A bin in which a sketch shows nothing, but may have missed values (share 0, deviation s > 0), gets the benefit of
    the doubt before all this: the other side's share, up to ``2.576 s``.

    Smoothing towards the pooled share leaves the expected PSI without drift at E0, for any n and m; adding one half to
    every bin instead invents drift when n is far below m. The test is Pearson's chi-square divided by
    ``E0 / ((B - 1) (1/n + 1/m))``, with B - 1 degrees of freedom.

    References
    ----------
    B. Yurdakul, J. Naranjo: "Statistical properties of the population stability index", 2020 (its distribution);
    J. N. K. Rao, A. J. Scott: "The analysis of categorical data from complex sample surveys", 1981 (correction).

    Examples
    --------
    >>> result = score([30, 50, 20], [200, 600, 200])
    >>> round(result.psi, 4), round(result.expected, 4), result.dof
    (0.0573, 0.022, 2)
    >>> round(result.p_value, 4)
    0.0527
    """
    day, base = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    contributions = np.zeros(day.size)
    if not day.any() or not base.any():
        return Score(0.0, math.inf, 0.0, 0, 1.0, 1.0, 0.0, 0.0, contributions)
    variance: Floats | float = 0.0
    if s is not None:
        base = _doubted(base, day, s)
        variance = np.square(s)
    if s_day is not None:
        day = _doubted(day, base, s_day)
        variance = variance + np.square(s_day)
    both = day + base
    filled = both > 0
    n, m = float(np.add.reduce(day)), float(np.add.reduce(base))
    bins = int(np.count_nonzero(filled))
    if bins < day.size:
        day, base, both = day[filled], base[filled], both[filled]
        variance = variance[filled] if isinstance(variance, np.ndarray) else variance

    half = bins / 2
    prior = both * (half / (n + m))
    p = (day + prior) / (n + half)
    q = (base + prior) / (m + half)
    terms = (p - q) * np.log(p / q)
    contributions[filled] = terms

    sampling = 1 / n + 1 / m
    expected = float(np.add.reduce((1 - q) * sampling + variance / q))
    excess = day * m - base * n
    chi_square = float(np.add.reduce(excess * excess / both)) / (n * m)
    correction = expected / ((bins - 1) * sampling) if bins > 1 else 1.0
    p_value = float(chdtrc(bins - 1, chi_square / correction)) if bins > 1 else 1.0

    day_share, base_share = day / n, base / m
    middle = (day_share + base_share) / 2
    divergence = np.add.reduce(rel_entr(day_share, middle) + rel_entr(base_share, middle)) / (2 * math.log(2))
    return Score(
        psi=float(np.add.reduce(terms)),
        expected=expected,
        chi_square=chi_square,
        dof=bins - 1,
        p_value=p_value,
        correction=correction,
        js_distance=math.sqrt(max(float(divergence), 0.0)),
        l_infinity=float(np.abs(day_share - base_share).max()),
        contributions=contributions,
    )


def _doubted(counts: Floats, others: Floats, s: Floats) -> Floats:
    """Counts in which empty bins of an unsure sketch have the other side's share, up to the share it may have missed."""
    empty = counts == 0
    if not s[empty].any():
        return counts
    missed = counts.sum() * np.minimum(others / others.sum(), Z_99 * s)
    return np.where(empty, missed, counts)


def benjamini_hochberg(p_values: Sequence[float] | Floats) -> Floats:
    """Adjusted p-values (q-values) over all scored rows of one model, endpoint and day.

    Rejecting every row whose q is at most alpha keeps the expected share of false discoveries at alpha (Benjamini,
    Hochberg: "Controlling the false discovery rate", 1995).

    >>> benjamini_hochberg([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.04, 0.04]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)
    scaled = p[order] * (p.size / np.arange(1, p.size + 1))
    adjusted = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    q = np.empty(p.size)
    q[order] = adjusted
    return q


def verdict(
    score: Score, q_value: float, *, warning: float = WARNING, drift: float = DRIFT, alpha: float = ALPHA
) -> Status:
    """The status of a scored row.

    `Status.INSUFFICIENT_DATA` where chance alone would give half the warning level (E0 above ``warning / 2``); else by
    PSI, if the row is significant after correction; else ok.

    Significant is what both tests call so. Pearson's p-value is `q_value` after correction; PSI's own is corrected by
    the same factor, ``q_value / p_value``. A single event in a bin where a fraction of one is expected makes Pearson's
    statistic huge and PSI hardly larger; with fifty features a day there is often such a bin.

    >>> result = score([30, 50, 20], [200, 600, 200])
    >>> verdict(result, q_value=result.p_value)
    <Status.OK: 'ok'>
    """
    if score.expected > warning / 2:
        return Status.INSUFFICIENT_DATA
    correction = q_value / score.p_value if score.p_value > 0 else 1.0
    if score.psi < warning or q_value > alpha or score.psi_p_value * correction > alpha:
        return Status.OK
    return Status.DRIFT if score.psi >= drift else Status.WARNING
