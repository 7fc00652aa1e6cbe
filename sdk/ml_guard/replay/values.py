"""How do the values of a synthetic feature fall?

A sampler draws the values of one feature for many events; it is a frozen description, all chance comes from the
generator that it is given. The same description, generator state and size give the same values.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

Values = list[float] | list[int] | list[str] | list[bool]


class Sampler(Protocol):
    """Draws values as JSON holds them."""

    def sample(self, rng: np.random.Generator, n: int) -> Values:
        """`n` values."""


def _rounded(values: npt.NDArray[np.float64], digits: int) -> list[float]:
    return [float(value) for value in np.round(values, digits)]


@dataclass(frozen=True)
class Normal:
    """Normal numbers, rounded as a person would log them."""

    mean: float
    sd: float
    digits: int = 4

    def sample(self, rng: np.random.Generator, n: int) -> list[float]:
        return _rounded(rng.normal(self.mean, self.sd, n), self.digits)

    def moved(self, sds: float) -> Normal:
        """The same, its mean moved by so many standard deviations."""
        return replace(self, mean=self.mean + sds * self.sd)


@dataclass(frozen=True)
class LogNormal:
    """Positive numbers with a long tail: money, durations."""

    median: float
    sigma: float
    digits: int = 3

    def sample(self, rng: np.random.Generator, n: int) -> list[float]:
        return _rounded(self.median * np.exp(rng.normal(0.0, self.sigma, n)), self.digits)

    def moved(self, sds: float) -> LogNormal:
        """The same, the mean of its logarithm moved by so many standard deviations."""
        return replace(self, median=self.median * float(np.exp(sds * self.sigma)))


@dataclass(frozen=True)
class Share:
    """Numbers between 0 and 1, such as a probability or a utilisation (a beta distribution)."""

    a: float
    b: float

    def sample(self, rng: np.random.Generator, n: int) -> list[float]:
        return _rounded(rng.beta(self.a, self.b, n), 5)


@dataclass(frozen=True)
class Whole:
    """Whole numbers around a mean, cut off at both ends, so that the ends are tied."""

    mean: float
    sd: float
    low: int
    high: int

    def sample(self, rng: np.random.Generator, n: int) -> list[int]:
        return [int(v) for v in np.clip(np.rint(rng.normal(self.mean, self.sd, n)), self.low, self.high)]

    def moved(self, sds: float) -> Whole:
        """The same, its mean moved by so many standard deviations."""
        return replace(self, mean=self.mean + sds * self.sd)


@dataclass(frozen=True)
class Tied:
    """A few numbers only, each with its weight."""

    numbers: tuple[int, ...]
    weights: tuple[float, ...]

    def sample(self, rng: np.random.Generator, n: int) -> list[int]:
        return [self.numbers[i] for i in _choose(rng, self.weights, n)]


@dataclass(frozen=True)
class Labels:
    """Text from a fixed set, each label with its weight."""

    names: tuple[str, ...]
    weights: tuple[float, ...]

    def sample(self, rng: np.random.Generator, n: int) -> list[str]:
        return [self.names[i] for i in _choose(rng, self.weights, n)]

    def reweighted(self, **points: float) -> Labels:
        """The same, the shares of the named labels moved by so many percentage points."""
        total = sum(self.weights)
        weights = tuple(
            w / total + points.get(name, 0.0) / 100 for name, w in zip(self.names, self.weights, strict=True)
        )
        return replace(self, weights=weights)


@dataclass(frozen=True)
class Zipf:
    """Many labels, a few of them common: merchants, pages, devices."""

    stem: str
    labels: int
    exponent: float = 1.1

    def sample(self, rng: np.random.Generator, n: int) -> list[str]:
        weights = tuple(1.0 / (k + 1) ** self.exponent for k in range(self.labels))
        return [f"{self.stem}-{i:03}" for i in _choose(rng, weights, n)]


@dataclass(frozen=True)
class Flag:
    """True with a probability."""

    share: float

    def sample(self, rng: np.random.Generator, n: int) -> list[bool]:
        return [bool(v) for v in rng.random(n) < self.share]


def _choose(rng: np.random.Generator, weights: tuple[float, ...], n: int) -> list[int]:
    """Indices by weight. `searchsorted` on uniform numbers, so that a changed weight moves few draws."""
    edges = np.cumsum(np.asarray(weights, dtype=np.float64))
    return [int(i) for i in np.searchsorted(edges[:-1] / edges[-1], rng.random(n), side="right")]
