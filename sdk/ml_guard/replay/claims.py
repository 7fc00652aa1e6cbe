"""What is a claim about the product, and what was seen of the product to judge it by?"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ml_guard.replay.oracle import DayKey
from ml_guard.shapes import (
    BaselineDetail,
    BaselineFeature,
    DeadLetter,
    DriftDay,
    FeatureDay,
    LatencyRow,
    LedgerDay,
    LedgerPartition,
    MetricDay,
)

FeatureKey = tuple[str, str]
"""A feature and a kind."""
ModelKey = tuple[str, str, str]
"""A project, a model and an endpoint."""

EXACT = 1e-9
"""Relative: what two orders of summation in double precision may differ by."""


@dataclass(frozen=True)
class Claim:
    """One sentence that holds or does not, with the number that decides and its bound."""

    says: str
    holds: bool
    measured: str
    bound: str
    wrong: tuple[str, ...] = ()

    def line(self) -> str:
        """The claim as `validation.sh` prints it."""
        return f"{'PASS' if self.holds else 'FAIL'}  {self.says}: {self.measured} (bound: {self.bound})"


@dataclass
class Observed:
    """What the product's API answered, by day and by model."""

    metrics: dict[DayKey, MetricDay] = field(default_factory=dict)
    features: dict[DayKey, dict[FeatureKey, FeatureDay]] = field(default_factory=dict)
    drift: dict[DayKey, dict[FeatureKey, DriftDay]] = field(default_factory=dict)
    baselines: dict[ModelKey, BaselineDetail] = field(default_factory=dict)
    ledger_days: list[LedgerDay] = field(default_factory=list)
    partitions: list[LedgerPartition] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    latency: dict[DayKey, LatencyRow] = field(default_factory=dict)

    def frozen(self, model: ModelKey) -> list[BaselineFeature]:
        """The stored features of a model's baseline; none, if it has no baseline."""
        return self.baselines[model].features if model in self.baselines else []


@dataclass
class Tally:
    """Collects what is compared for one claim."""

    compared: int = 0
    worst: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def equal(self, where: object, seen: object, expected: object) -> None:
        """The two must be the same."""
        self.compared += 1
        if seen != expected:
            self.wrong.append(f"{where}: {seen!r} instead of {expected!r}")

    def close(self, where: object, seen: float | None, expected: float, bound: float = EXACT) -> None:
        """The two may differ by a share of the larger of the expected number and one."""
        self.compared += 1
        error = math.inf if seen is None else abs(seen - expected) / max(abs(expected), 1.0)
        self.worst = max(self.worst, error)
        if not error <= bound:
            self.wrong.append(f"{where}: {seen} instead of {expected}")

    def fail(self, where: object, why: str) -> None:
        """It is not even there to compare."""
        self.compared += 1
        self.wrong.append(f"{where}: {why}")

    def claim(self, says: str, *, allowed: int = 0, bound: str = "none differs") -> Claim:
        """The claim that no more than the allowed number of comparisons failed."""
        measured = f"{len(self.wrong)} of {self.compared} differ"
        if self.worst and math.isfinite(self.worst):
            measured += f", largest error {self.worst:.1e}"
        return Claim(
            says, self.compared > 0 and len(self.wrong) <= allowed, measured, bound, tuple(self.wrong)
        )


def allowed_failures(trials: int, chance: float = 0.01, doubt: float = 1e-6) -> int:
    """How many of so many trials may miss a bound that each misses by chance, before one must doubt the bound.

    >>> allowed_failures(1000)
    28
    """
    below = 0.0
    for failures in range(trials + 1):
        below += _binomial(trials, failures, chance)
        if 1.0 - below < doubt:
            return failures
    return trials


def _binomial(trials: int, failures: int, chance: float) -> float:
    log = math.lgamma(trials + 1) - math.lgamma(failures + 1) - math.lgamma(trials - failures + 1)
    return math.exp(log + failures * math.log(chance) + (trials - failures) * math.log1p(-chance))


def name(key: DayKey | ModelKey, *more: str) -> str:
    """A day or a model as a person would point at it."""
    parts = (
        (key.project_id, key.model_id, key.endpoint, key.day.isoformat()) if isinstance(key, DayKey) else key
    )
    return " ".join((*parts, *more))
