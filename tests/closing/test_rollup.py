"""Open days follow what was committed, fairly, and one that cannot be calculated holds up nobody."""

from __future__ import annotations

import numpy as np
import pytest

from tests.closing.world import World, at

AGES = {"age": np.arange(10.0)}


async def requests(world: World) -> dict[str, int]:
    rows = await world.connection.fetch("select model_id, requests from ml_guard.metric_day")
    return {row["model_id"]: row["requests"] for row in rows}


async def pending(world: World) -> int:
    return await world.connection.fetchval("select count(*) from ml_guard.day_change")


async def test_a_rollup_shows_all_that_was_committed_and_raises_the_change_id(world: World) -> None:
    await world.checkpoint(world.clock.now, 10, AGES)
    await world.checkpoint(world.clock.now, 20, AGES, shard=3)
    await world.roll()
    first = await world.metric("2025-01-10")
    assert (first["requests"], await pending(world)) == (30, 0)
    await world.checkpoint(world.clock.now, 5, AGES, model="other")
    await world.roll()
    assert (await world.metric("2025-01-10", "other"))["change_id"] > first["change_id"]
    assert (await world.metric("2025-01-10"))["change_id"] == first["change_id"]


async def test_a_checkpoint_between_reading_and_writing_stays_to_be_rolled_up(world: World) -> None:
    await world.checkpoint(world.clock.now, 10, AGES)
    work = await world.roller._read(world.connection)
    await world.checkpoint(world.clock.now, 7, AGES)
    results = [calculation.result() for calculation in work.calculations]
    await world.roller._write(world.connection, world.lease, work, results)
    assert (await requests(world), await pending(world)) == ({"churn": 10}, 1)
    await world.roll()
    assert (await requests(world), await pending(world)) == ({"churn": 17}, 0)


async def test_a_busy_model_does_not_keep_the_others_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.closing.rollup.MODEL_DAYS_A_PASS", 2)
    for model in ("a", "b", "c", "d", "e"):
        await world.checkpoint(world.clock.now, 1, AGES, model=model)
    passes = []
    for _ in range(3):
        passes.append((await world.roller.step(world.connection, world.lease)).model_days)
        await world.checkpoint(world.clock.now, 1, AGES, model="a")
    assert passes == [2, 2, 1]
    assert set(await requests(world)) == {"a", "b", "c", "d", "e"}


async def test_a_large_model_day_ends_a_pass_and_the_rest_follows(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.closing.rollup.BYTES_A_PASS", 1)
    for model in ("a", "b", "c"):
        await world.checkpoint(world.clock.now, 1, AGES, model=model)
    passes = await world.roll()
    assert [(done.model_days, done.more) for done in passes] == [(1, True), (1, True), (1, False)]


async def test_a_damaged_sketch_is_named_and_holds_up_nobody_else(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.checkpoint(world.clock.now, 10, AGES, model="bad")
    await world.connection.execute(
        "update ml_guard.day_sketch set sketch = substring(sketch from 1 for 40) where feature = 'age'"
    )
    await world.checkpoint(world.clock.now, 10, AGES, model="good")
    await world.checkpoint(at("2025-01-09T12:00"), 10, AGES, model="good")
    await world.roll()
    assert await requests(world) == {"good": 10}
    assert caplog.text.count("'bad'") == 1
    assert (await world.roller.step(world.connection, world.lease)).model_days == 0
    assert caplog.text.count("'bad'") == 1
    world.clock.now = at("2025-01-11T00:01:00")
    assert [closed.day.day.day for closed in await world.close()] == [9]
    await world.checkpoint(at("2025-01-10T12:00"), 10, AGES, model="bad")  # written anew
    await world.roll()
    assert (await requests(world))["bad"] == 20
    assert [closed.day.day.day for closed in await world.close()] == [10]


async def test_rows_of_features_that_a_day_no_longer_has_are_dropped(world: World) -> None:
    await world.closed_day("2025-01-10", 100, {"age": np.arange(100.0), "gone": np.arange(100.0)})
    await world.capture("2025-01-10")
    await world.checkpoint(at("2025-01-11T12:00"), 10, AGES)
    await world.roll()
    assert (await world.feature("gone", "2025-01-11"))["verdict"] == "missing_feature"
    await world.connection.execute("delete from ml_guard.baseline")
    await world.checkpoint(at("2025-01-11T12:00"), 10, AGES)
    await world.roll()
    rows = await world.connection.fetch("select feature from ml_guard.feature_day where day = '2025-01-11'")
    assert [row["feature"] for row in rows] == ["age"]


async def test_a_feature_that_comes_as_number_and_as_text_has_a_row_for_each(world: World) -> None:
    rng = np.random.default_rng(1)
    await world.closed_day("2025-01-10", 1000, {"age": rng.normal(0, 1, 1000)})
    await world.capture("2025-01-10")
    day = await world.checkpoint(world.clock.now, 900, {"age": rng.normal(0, 1, 800)})
    key = (world.project, world.model, world.endpoint, day.start, 0)
    world.raw[key] = {"age": [["forty"] * 100]}
    await world.checkpoint(world.clock.now, 0, {})
    await world.roll()
    number = await world.feature("age", "2025-01-11", "numeric")
    text = await world.feature("age", "2025-01-11", "categorical")
    assert (number["verdict"], number["missing"], number["method"]) == ("drift", 100, "counters")
    assert (text["verdict"], text["n"], text["missing"]) == ("type_changed", 100, 800)


@pytest.mark.parametrize(
    ("predictions", "n", "mean"),
    [
        (np.array([1.0, 2.0, 6.0]), 3, 3.0),
        ([True, True, True, False], 4, 0.75),
        (["yes", "no"], 2, None),
    ],
)
async def test_predictions_have_a_mean_if_they_are_numbers_or_booleans(
    world: World, predictions: np.ndarray | list[bool] | list[str], n: int, mean: float | None
) -> None:
    await world.checkpoint(world.clock.now, 5, {"@y_pred": predictions})
    await world.roll()
    metric = await world.metric("2025-01-10")
    assert (metric["prediction_n"], metric["prediction_mean"]) == (n, mean)
    assert (metric["latency_n"], metric["latency_p95_ms"], metric["proba_mean"]) == (0, None, None)


async def test_values_that_are_not_finite_are_counted_as_missing(world: World) -> None:
    await world.checkpoint(world.clock.now, 4, {"age": np.array([1.0, np.nan, np.inf])})
    await world.checkpoint(world.clock.now, 2, {"only": np.array([np.nan, np.nan])}, model="other")
    await world.roll()
    row = await world.feature("age", "2025-01-10")
    assert (row["n"], row["missing"], row["non_finite"], row["mean"]) == (1, 3, 2, 1.0)
    empty = await world.feature("only", "2025-01-10", model="other")
    assert (empty["n"], empty["missing"], empty["mean"], empty["p50"]) == (0, 2, None, None)
