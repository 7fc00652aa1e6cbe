"""Does the most specific setting win, for each field and in each place where it can be set?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest

from stream.closing.choices import Choices, choices_for
from stream.store.baselines import FeatureSetting
from tests.closing.world import World, at

PLACES = [
    (model, endpoint, feature)
    for feature, endpoint, model in product(("*", "age"), ("*", "predict"), ("*", "churn"))
]
"""From the widest to the most specific: a feature goes before an endpoint, that before a model."""
FIELDS: dict[str, tuple[str, Sequence[Any]]] = {
    "kind": ("kind", ["numeric", "categorical", "boolean"] * 3),
    "bins": ("n_bins", range(5, 13)),
    "warning": ("warning", [0.11 + k / 100 for k in range(8)]),
    "drift": ("drift", [0.31 + k / 100 for k in range(8)]),
    "ignored": ("ignored", [True, False] * 4),
}


@pytest.mark.parametrize("field", FIELDS)
def test_of_two_settings_that_both_hold_the_more_specific_wins(field: str) -> None:
    name, values = FIELDS[field]
    for wider in range(len(PLACES)):
        for narrower in range(wider + 1, len(PLACES)):
            settings = [
                FeatureSetting(*PLACES[place], **{field: values[place]}) for place in (narrower, wider)
            ]
            for order in (settings, settings[::-1]):
                chosen = choices_for(order, "churn", "predict", "age")
                assert getattr(chosen, name) == values[narrower], (PLACES[wider], PLACES[narrower])


@pytest.mark.parametrize("field", FIELDS)
def test_a_setting_holds_where_it_says_and_nowhere_else(field: str) -> None:
    name, values = FIELDS[field]
    for place, value in zip(PLACES, values, strict=False):
        found = choices_for([FeatureSetting(*place, **{field: value})], "churn", "predict", "age")
        assert getattr(found, name) == value
        for number, part in enumerate(place):
            if part != "*":
                there = ["churn", "predict", "age"]
                there[number] = "elsewhere"
                other = choices_for([FeatureSetting(*place, **{field: value})], *there)
                assert other == Choices()


async def test_the_kind_that_is_set_is_the_baselines_and_values_of_another_are_type_changed(
    world: World,
) -> None:
    """Values are never converted: a feature that comes as numbers and as text has a row of each kind."""
    labels = [*["1", "2", "3"] * 20]
    for day in ("2025-01-10", "2025-01-11"):
        await world.checkpoint(at(f"{day}T08:00"), 400, {"code": np.arange(400.0)}, shard=0)
        await world.checkpoint(at(f"{day}T09:00"), 60, {"code": labels}, shard=1)
        await world.closed_day(day, 0, {})
    (numeric,) = (await world.capture("2025-01-10")).features
    assert (numeric.kind, numeric.n, numeric.missing) == ("numeric", 400, 60)  # the more frequent

    await world.connection.execute(
        """insert into ml_guard.feature_setting (project_id, model_id, feature, kind)
           values ('shop', 'churn', 'code', 'categorical')"""
    )
    (text,) = (await world.capture("2025-01-10")).features
    assert (text.kind, text.n, text.missing, text.labels) == ("categorical", 60, 400, ("1", "2", "3"))
    await world.checkpoint(at("2025-01-12T08:00"), 400, {"code": np.arange(400.0)}, shard=0)
    await world.checkpoint(at("2025-01-12T09:00"), 60, {"code": labels}, shard=1)
    await world.roll()
    assert (await world.feature("code", "2025-01-12", "numeric"))["verdict"] == "type_changed"
    scored = await world.feature("code", "2025-01-12", "categorical")
    assert (scored["verdict"], scored["baseline_version"]) == ("ok", 2)

    await world.connection.execute("update ml_guard.feature_setting set kind = 'boolean'")
    (fallen_back,) = (await world.capture("2025-01-10")).features
    assert fallen_back.kind == "numeric"  # no value is boolean
