"""How often does a feature that has not drifted look as if it had, and is real drift found?

``python -m bench.calibration`` draws baselines and days from known distributions, over a grid of day sizes n and
baseline sizes m, and prints what the verdicts were. Nothing has drifted in the first table; in the second every
day is shifted by half a standard deviation.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy import stats

from stream.bins import FrozenBins, freeze
from stream.drift import ALPHA, Score, Status, benjamini_hochberg, score, verdict
from stream.sketches import CategorySketch, NumericSketch

Floats = npt.NDArray[np.float64]
Random = np.random.Generator

DAYS = (250, 400, 1_000, 5_000)
BASELINES = (400, 1_000, 10_000, 100_000, 1_000_000)
VALUES_DRAWN = 10_000_000
"""How many values the baselines of one size may have together; beyond it days share baselines."""


@dataclass(frozen=True)
class Population:
    """What a feature is drawn from: how to draw a baseline, and the true share of every frozen bin."""

    name: str
    baseline: Callable[[Random, int], FrozenBins]
    shares: Callable[[FrozenBins, float], Floats]
    std: float = 1.0


def numbers(
    name: str, draw: Callable[[Random, int], Floats], cdf: Callable[[Floats], Floats], std: float
) -> Population:
    """A numeric feature; a shift moves it to the right."""

    def baseline(random: Random, m: int) -> FrozenBins:
        sketch = NumericSketch()
        sketch.update(draw(random, m))
        return freeze(sketch)

    def shares(bins: FrozenBins, shift: float) -> Floats:
        return np.diff(np.concatenate(([0.0], cdf(bins.edges - shift), [1.0])))

    return Population(name, baseline, shares, std)


def labels(name: str, weights: npt.NDArray[np.floating]) -> Population:
    """A categorical feature whose labels have the given weights."""
    share_of = {f"label {i}": share for i, share in enumerate((weights / weights.sum()).tolist())}

    def baseline(random: Random, m: int) -> FrozenBins:
        sketch = CategorySketch()
        drawn = random.multinomial(m, list(share_of.values())).tolist()
        sketch.update({label: n for label, n in zip(share_of, drawn, strict=True) if n})
        return freeze(sketch)

    def shares(bins: FrozenBins, shift: float) -> Floats:
        top = [share_of[label] for label in bins.labels]
        other = sum(share_of[label] for label in bins.others or ())
        return np.array([*top, other, 1 - other - sum(top)])

    return Population(name, baseline, shares)


def _mixture(random: Random, size: int) -> Floats:
    return np.where(random.random(size) < 0.3, random.normal(5, 0.3, size), random.normal(0, 1, size))


def _zero_inflated(random: Random, size: int) -> Floats:
    return np.where(random.random(size) < 0.55, 0.0, random.poisson(3, size)).astype(np.float64)


def _light_gaps(random: Random, size: int) -> Floats:
    """Four atoms, between them too few values for the sketch to be sure that there are any."""
    return np.where(random.random(size) < 0.98, random.integers(0, 4, size), random.random(size) * 3)


POPULATIONS = (
    numbers("normal", lambda r, k: r.normal(size=k), stats.norm.cdf, 1.0),
    numbers("lognormal", lambda r, k: r.lognormal(0, 1, k), lambda e: stats.lognorm.cdf(e, 1), 2.16),
    numbers("mixture", _mixture, lambda e: 0.3 * stats.norm.cdf(e, 5, 0.3) + 0.7 * stats.norm.cdf(e), 2.46),
    numbers("poisson", lambda r, k: r.poisson(3, k).astype(float), lambda e: stats.poisson.cdf(e, 3), 1.73),
    numbers(
        "zero-inflated", _zero_inflated, lambda e: 0.55 * (e >= 0) + 0.45 * stats.poisson.cdf(e, 3), 1.88
    ),
    numbers(
        "gaps",
        _light_gaps,
        lambda e: 0.98 * np.clip(np.floor(e) + 1, 0, 4) / 4 + 0.02 * np.clip(e / 3, 0, 1),
        1.12,
    ),
    labels("10 labels", np.ones(10)),
    labels("geometric", 0.7 ** np.arange(30)),
    labels("Zipf", 1 / np.arange(1, 1_001) ** 1.1),
    labels("50 labels", np.ones(50)),
)


def baselines(population: Population, random: Random, m: int, most: int) -> list[FrozenBins]:
    """Baselines of m events, at most so many."""
    return [population.baseline(random, m) for _ in range(max(2, min(most, VALUES_DRAWN // m)))]


def scores(
    population: Population,
    against: list[FrozenBins],
    random: Random,
    n: int,
    trials: int,
    shift: float = 0.0,
) -> list[Score]:
    """Scores of days of n events, shifted by `shift` standard deviations, against each baseline in turn."""
    found: list[list[Score]] = []
    for bins in against:
        truth = np.append(np.clip(population.shares(bins, shift * population.std), 0, 1), 0)
        days = random.multinomial(n, truth / truth.sum(), size=-(-trials // len(against)))
        y, s = bins.y, bins.s
        found.append([score(x, y, s=s) for x in days])
    return [row for turn in zip(*found, strict=True) for row in turn][:trials]


@dataclass(frozen=True)
class Rates:
    """Shares of trials: verdicts `warning` or `drift`, and `insufficient_data`; and PSI's mean beside E0's."""

    alarms: float
    insufficient: float
    psi: float
    expected: float


def rates(found: list[Score], features: int = 1) -> Rates:
    """Rates over model-days of the given number of features; an alarm is a model-day with at least one."""
    alarms = 0
    statuses: list[Status] = []
    for begin in range(0, len(found), features):
        day = found[begin : begin + features]
        adjusted = benjamini_hochberg([row.p_value for row in day])
        verdicts = [verdict(row, q) for row, q in zip(day, adjusted.tolist(), strict=True)]
        alarms += any(status in (Status.WARNING, Status.DRIFT) for status in verdicts)
        statuses += verdicts
    return Rates(
        alarms / (len(found) // features),
        statuses.count(Status.INSUFFICIENT_DATA) / len(statuses),
        float(np.mean([row.psi for row in found])),
        float(np.mean([row.expected for row in found])),
    )


def main() -> None:
    """Print both tables; an alarm is a `warning` or `drift`."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--trials", type=int, default=1_000, help="model-days of each cell")
    options.add_argument("--features", type=int, default=1, help="features of a model-day")
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    console = Console()
    random = np.random.default_rng(chosen.seed)
    for shift, title in ((0.0, "No drift"), (0.5, "Shifted by half a standard deviation")):
        table = Table(
            title=f"{title}: {chosen.trials} model-days of {chosen.features} features, alpha {ALPHA}"
        )
        for column in ("population", "m", "n", "PSI", "E0", "alarms", "insufficient"):
            table.add_column(column, justify="left" if column == "population" else "right")
        cells = [(p, m) for p in (POPULATIONS[:3] if shift else POPULATIONS) for m in BASELINES]
        for population, m in track(cells, description=title, console=Console(stderr=True)):
            against = baselines(population, random, m, most=1_000)
            for n in DAYS:
                found = scores(population, against, random, n, chosen.trials * chosen.features, shift)
                result = rates(found, chosen.features)
                row = (f"{result.psi:.4f}", f"{result.expected:.4f}", f"{result.alarms:.2%}")
                table.add_row(population.name, f"{m:,}", f"{n:,}", *row, f"{result.insufficient:.0%}")
        console.print(table)


if __name__ == "__main__":
    main()
