"""Is every planted drift of the size that the catalogue says?"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from ml_guard.replay.catalogue import PROJECTS, Endpoint, Feature, Plant
from stream.bins import count, freeze_values
from stream.drift import score

MANY = 200_000
SIZED = [
    (endpoint, plant)
    for project in PROJECTS
    for endpoint in project.endpoints
    for plant in endpoint.plants
    if plant.psi is not None
]


def before(endpoint: Endpoint, plant: Plant) -> Feature:
    built_in = {"@y_pred": endpoint.y_pred, "@latency_ms": endpoint.latency}
    if plant.feature in built_in:
        sampler = built_in[plant.feature]
        assert sampler is not None
        return Feature(plant.feature, sampler)
    return next(feature for feature in endpoint.features if feature.name == plant.feature)


@pytest.mark.parametrize(("endpoint", "plant"), SIZED, ids=lambda value: getattr(value, "feature", None))
def test_the_psi_of_endless_traffic_is_what_the_catalogue_says(endpoint: Endpoint, plant: Plant) -> None:
    feature, rng = before(endpoint, plant), np.random.default_rng(8)
    assert plant.sampler is not None
    missing = feature.missing if plant.missing is None else plant.missing
    base = feature.sampler.sample(rng, round(MANY * (1 - feature.missing)))
    day = plant.sampler.sample(rng, round(MANY * (1 - missing)))
    if isinstance(base[0], (str, bool)):
        bins = freeze_values(np.array([str(value) for value in base], dtype=object), events=MANY)
        counts = count(Counter(str(value) for value in day), bins)
    else:
        bins = freeze_values(np.array(base, dtype=np.float64), events=MANY)
        counts = count(np.array(day, dtype=np.float64), bins)
    assert score(bins.vector(counts, MANY), bins.y).psi == pytest.approx(plant.psi, rel=0.03)
    assert plant.verdict == ("drift" if plant.psi >= 0.25 else "warning")
