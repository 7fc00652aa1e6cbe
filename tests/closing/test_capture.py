"""A baseline is an explicit window of closed days, captured once, and what days are held against from then on."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from stream.closing import capture as module
from stream.closing.capture import activate, capture, preview
from stream.closing.errors import (
    CaptureRacedError,
    NoDaysError,
    OpenDaysError,
    UnknownDaysError,
    UnknownModelError,
    UnknownVersionError,
)
from tests.closing.world import World, at

PMF_ERROR = 0.0165
"""Of a KLL sketch of k=200 at 99 %, as Apache publishes it."""


def ages(seed: int, n: int, mean: float = 40) -> dict[str, np.ndarray]:
    return {"age": np.random.default_rng(seed).normal(mean, 10, n)}


async def test_the_shares_of_a_baseline_lie_within_the_sketches_error_of_its_raw_values(world: World) -> None:
    parts = [
        (shard, {"visits": np.random.default_rng(shard).poisson(2, n).astype(float)} | ages(shard, n - 100))
        for shard, n in ((0, 4000), (1, 3000), (3, 2500))
    ]
    for shard, values in parts:
        await world.checkpoint(world.clock.now, values["visits"].size, values, shard=shard)
    await world.closed_day("2025-01-10", 0, {})
    captured = await world.capture("2025-01-10", note="launch")
    assert (captured.version, captured.active, captured.events, captured.note) == (1, True, 9500, "launch")
    for base in captured.features:
        raw = np.concatenate([values[base.feature] for _, values in parts])
        assert (base.n, base.missing) == (raw.size, 9500 - raw.size)
        assert base.edges is not None
        exact = np.bincount(np.searchsorted(base.edges, raw), minlength=len(base.edges) + 1) / 9500
        assert np.abs(np.array(base.shares[:-1]) - exact).max() <= PMF_ERROR
        assert base.shares[-1] == base.missing / 9500
        assert sum(base.shares) == pytest.approx(1, abs=1e-12)
        assert base.mean == pytest.approx(raw.mean(), rel=1e-9)


async def test_a_preview_says_what_a_capture_would_store_and_stores_nothing(world: World) -> None:
    await world.closed_day("2025-01-10", 500, ages(1, 500))
    seen = await preview(world.pool, world.project, world.model, world.endpoint, [date(2025, 1, 10)])
    assert seen.version is None
    assert await world.connection.fetchval("select count(*) from ml_guard.baseline") == 0
    captured = await world.capture("2025-01-10")
    assert captured.version == 1
    assert seen.features == captured.features


async def test_a_capture_refuses_days_that_are_open_unknown_or_being_restated_and_names_them(
    world: World,
) -> None:
    await world.closed_day("2025-01-10", 100, ages(1, 100))
    await world.closed_day("2025-01-11", 100, ages(1, 100), model="other")
    await world.checkpoint(at("2025-01-12T12:00"), 100, ages(2, 100))

    async def attempt(*days: int, model: str = world.model) -> None:
        await capture(
            world.pool,
            world.project,
            model,
            "predict",
            [date(2025, 1, day) for day in days],
            captured_by="test",
        )

    with pytest.raises(OpenDaysError, match="2025-01-12") as open_days:
        await attempt(10, 12)
    assert open_days.value.days == (date(2025, 1, 12),)
    assert open_days.value.retriable
    with pytest.raises(UnknownDaysError, match="2025-01-01, 2025-01-11") as unknown:
        await attempt(1, 10, 11)
    assert unknown.value.days == (date(2025, 1, 1), date(2025, 1, 11))
    with pytest.raises(UnknownModelError, match="nobody"):
        await attempt(10, model="nobody")
    with pytest.raises(NoDaysError):
        await attempt()
    await world.checkpoint(at("2025-01-10T12:00"), 5, ages(3, 5))
    await world.roll()
    with pytest.raises(OpenDaysError, match="2025-01-10"):
        await attempt(10)
    assert await world.connection.fetchval("select count(*) from ml_guard.baseline") == 0


async def test_a_day_restated_while_it_is_captured_is_not_captured(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.closed_day("2025-01-10", 100, ages(1, 100))

    async def read_and_race(*arguments: object) -> object:
        window = await read(*arguments)  # type: ignore[arg-type]
        await world.checkpoint(at("2025-01-10T12:00"), 5, ages(3, 5))
        await world.roll()
        return window

    read = module._read
    monkeypatch.setattr(module, "_read", read_and_race)
    with pytest.raises(CaptureRacedError, match="2025-01-10"):
        await world.capture("2025-01-10")
    assert await world.connection.fetchval("select count(*) from ml_guard.baseline") == 0


async def test_a_window_that_contains_the_scored_day_is_pointed_out(world: World) -> None:
    await world.closed_day("2025-01-10", 1000, ages(1, 1000))
    await world.closed_day("2025-01-11", 1000, ages(2, 1000))
    await world.capture("2025-01-10", "2025-01-11")
    await world.checkpoint(at("2025-01-11T12:00"), 200, ages(3, 200), model="unscored")
    world.clock.pass_(hours=2)
    await world.checkpoint(world.clock.now, 200, ages(3, 200))
    await world.roll()
    assert (await world.feature("age", "2025-01-12"))["baseline_overlaps"] is False

    await world.connection.execute(
        "update ml_guard.day_close set revision = 0, status = 'open' where day = '2025-01-11'"
    )
    await world.checkpoint(at("2025-01-11T12:00"), 1, ages(3, 1))
    await world.roll()
    row = await world.feature("age", "2025-01-11")
    assert (row["baseline_overlaps"], row["baseline_version"]) == (True, 1)


async def test_a_capture_scores_open_days_again_and_leaves_closed_ones_as_they_are(world: World) -> None:
    await world.closed_day("2025-01-10", 1000, ages(1, 1000))
    await world.checkpoint(at("2025-01-11T12:00"), 800, ages(2, 800))
    await world.roll()
    assert (await world.feature("age", "2025-01-11"))["verdict"] == "missing_baseline"
    before = dict(await world.metric("2025-01-10"))

    await world.capture("2025-01-10")
    await world.roll()
    row = await world.feature("age", "2025-01-11")
    assert (row["verdict"], row["baseline_version"], row["method"]) == ("ok", 1, "sketch")
    assert await world.metric("2025-01-10") == before
    assert (await world.feature("age", "2025-01-10"))["verdict"] == "missing_baseline"
    assert (await world.day_close("2025-01-10"))["reopened_at"] is None


async def test_a_restated_day_keeps_the_version_that_it_closed_with(world: World) -> None:
    await world.closed_day("2025-01-10", 1000, ages(1, 1000))
    await world.capture("2025-01-10")
    world.baselines.clear()  # a worker that has not heard of it: the day is pinned to none
    await world.closed_day("2025-01-11", 1000, ages(2, 1000))
    assert (await world.feature("age", "2025-01-11"))["baseline_version"] == 1
    await world.capture("2025-01-10", "2025-01-11")
    await world.checkpoint(at("2025-01-11T12:00"), 10, ages(3, 10), shard=1)  # pinned to version 2
    await world.checkpoint(at("2025-01-10T12:00"), 10, ages(3, 10), shard=1)
    await world.roll()
    world.clock.pass_(seconds=6)
    assert {closed.revision for closed in await world.close()} == {2}
    assert (await world.feature("age", "2025-01-11"))["baseline_version"] == 1
    assert (await world.feature("age", "2025-01-10"))["verdict"] == "missing_baseline"


async def test_an_older_version_can_be_made_active_again(world: World) -> None:
    await world.closed_day("2025-01-10", 1000, ages(1, 1000))
    await world.capture("2025-01-10")
    await world.closed_day("2025-01-11", 1000, ages(2, 1000, mean=90))
    await world.capture("2025-01-11")
    generation = await world.connection.fetchval("select generation from ml_guard.catalog")
    key = (world.pool, world.project, world.model, world.endpoint)
    assert (await activate(*key, 1)).active
    assert await world.connection.fetchval("select generation from ml_guard.catalog") > generation
    rows = await world.connection.fetch("select version, active from ml_guard.baseline order by version")
    assert [tuple(row) for row in rows] == [(1, True), (2, False)]
    world.baselines.clear()
    await world.checkpoint(at("2025-01-12T12:00"), 800, ages(3, 800))
    await world.roll()
    row = await world.feature("age", "2025-01-12")
    assert (row["baseline_version"], row["verdict"]) == (1, "ok")
    with pytest.raises(UnknownVersionError, match="version 7"):
        await activate(*key, 7)


async def test_settings_are_frozen_into_the_version_field_by_field_the_most_specific_first(
    world: World,
) -> None:
    await world.connection.executemany(
        """insert into ml_guard.feature_setting (project_id, model_id, feature, bins, warning, drift, ignored)
           values ('shop', $1, $2, $3, $4, $5, $6)""",
        [
            ("*", "*", 5, 0.15, None, None),
            ("churn", "*", 4, None, 0.3, None),
            ("*", "age", None, 0.2, None, None),
            ("churn", "noise", None, None, None, True),
            ("elsewhere", "age", 7, 0.9, 0.9, True),
        ],
    )
    rng = np.random.default_rng(1)
    await world.closed_day("2025-01-10", 400, {"age": rng.normal(0, 1, 400), "noise": rng.normal(0, 1, 400)})
    captured = await world.capture("2025-01-10")
    age, noise = captured.features
    assert (len(age.edges or ()), age.warning, age.drift, age.ignored) == (3, 0.2, 0.3, False)
    assert (noise.warning, noise.drift, noise.ignored) == (0.15, 0.3, True)
