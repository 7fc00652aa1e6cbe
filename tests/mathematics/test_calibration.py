"""Without drift, do verdicts stay quiet, and is planted drift found? (``python -m bench.calibration`` shows more.)"""

from __future__ import annotations

import numpy as np
import pytest

from bench.calibration import POPULATIONS, Population, baselines, rates, scores

QUIET = 0.01
"""Verdicts `warning` or `drift` stay under this share of trials without drift."""

BY_NAME = {population.name: population for population in POPULATIONS}
DAYS = (250, 400, 1_000, 5_000)
BASELINES = {400: 500, 10_000: 50, 1_000_000: 3}
"""Sizes, and how many baselines of each are drawn."""


@pytest.mark.parametrize("population", POPULATIONS, ids=lambda population: population.name)
def test_a_feature_without_drift_is_quiet(population: Population, record_property) -> None:  # type: ignore[no-untyped-def]
    random = np.random.default_rng(101)
    for m, most in BASELINES.items():
        against = baselines(population, random, m, most)
        for n in DAYS:
            found = rates(scores(population, against, random, n, trials=1_000))
            record_property(
                f"n={n} m={m}", f"alarms {found.alarms:.2%}, insufficient {found.insufficient:.0%}"
            )
            assert found.alarms < QUIET, (n, m, found)


FIFTY = [(name, 250, 10_000) for name in ("normal", "lognormal", "mixture", "zero-inflated", "gaps")]
FIFTY += [(name, 250, 10_000) for name in ("10 labels", "geometric", "Zipf")]
FIFTY += [(name, 400, 400) for name in ("normal", "10 labels")]
"""Where E0 is near its limit, so that only the tests stand between chance and an alarm."""


@pytest.mark.parametrize(("name", "n", "m"), FIFTY)
def test_a_model_day_of_fifty_features_without_drift_is_quiet(name: str, n: int, m: int) -> None:
    random = np.random.default_rng(102)
    against = baselines(BY_NAME[name], random, m, most=1_000_000 // m)
    found = rates(scores(BY_NAME[name], against, random, n, trials=1_000 * 50), features=50)
    assert found.alarms < QUIET, found


@pytest.mark.parametrize("name", ["normal", "lognormal", "mixture"])
def test_half_a_standard_deviation_is_found(name: str) -> None:
    random = np.random.default_rng(103)
    for m, most in BASELINES.items():
        against = baselines(BY_NAME[name], random, m, most)
        for n in DAYS[1:]:
            found = rates(scores(BY_NAME[name], against, random, n, trials=1_000, shift=0.5))
            assert found.alarms >= 0.99, (n, m, found)


def test_days_of_four_hundred_events_against_ten_bins_are_enough() -> None:
    random = np.random.default_rng(104)
    for m in BASELINES:
        against = baselines(BY_NAME["normal"], random, m, most=20)
        assert rates(scores(BY_NAME["normal"], against, random, 400, trials=200)).insufficient == 0
