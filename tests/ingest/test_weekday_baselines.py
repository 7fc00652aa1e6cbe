"""Days of different weekdays are counted and scored against baselines of their own, from the event to the score."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date

import numpy as np
import pytest

from ml_guard.weekdays import EACH, WORKDAY_WEEKEND
from stream.closing.capture import activate, capture, capture_by_weekday
from stream.closing.errors import CaptureError
from tests.closing.test_scores import EXACT, bin_vector, expected_score
from tests.ingest.conftest import MakeBench
from tests.ingest.product import A_DAY, MODEL, SATURDAY, SUNDAY, TUESDAY, WEEKS, Product, in_toronto, local


@pytest.fixture
async def product(make_bench: MakeBench) -> AsyncIterator[Product]:
    """Two weeks of a project in Toronto, closed; it is the Tuesday after them."""
    async with in_toronto(make_bench, local(TUESDAY)) as made:
        for day in WEEKS:
            await made.folds(day)
        await made.closes(date(2025, 1, 20))
        yield made


async def test_a_saturday_is_scored_against_saturdays_and_a_tuesday_against_tuesdays(
    product: Product,
) -> None:
    captured = await product.captures(EACH)
    assert not captured.warnings
    versions = {one.weekdays: one.version for one in captured.items}
    assert sorted(versions) == [(n,) for n in range(1, 8)]
    for one in captured.items:
        assert one.weekdays is not None
        assert [day.isoweekday() for day in one.days] == 2 * list(one.weekdays)
        assert (one.events, one.active) == (2 * A_DAY, True)
    folded = {day: await product.folds(day) for day in (TUESDAY, SATURDAY)}
    await product.rolls()
    for day, values in folded.items():
        base = next(one for one in captured.items if one.weekdays == (day.isoweekday(),))
        rows = await product.rows(day)
        for feature in base.features:
            row = rows[feature.feature]
            x = bin_vector(feature, values[feature.feature], A_DAY)
            assert (row["baseline_version"], row["method"], row["verdict"]) == (
                base.version,
                "counters",
                "ok",
            )
            assert [found["count"] for found in row["bins"]] == x.tolist()
            for name, expected in expected_score(feature, x).items():
                assert row[name] == pytest.approx(expected, **EXACT), (day, feature.feature, name)


async def test_against_all_days_together_the_same_saturday_has_drifted(product: Product) -> None:
    await capture(product.worker.pool, *MODEL, WEEKS, captured_by="test")
    await product.worker.catalog.poll()
    await product.folds(SATURDAY)
    await product.rolls()
    rows = await product.rows(SATURDAY)
    assert {name: row["verdict"] for name, row in rows.items()} == {"amount": "drift", "country": "drift"}


async def test_a_version_for_the_weekend_leaves_workdays_to_that_of_all_days(product: Product) -> None:
    of_all = await capture(product.worker.pool, *MODEL, WEEKS, captured_by="test")
    weekend = await capture_by_weekday(
        product.worker.pool,
        *MODEL,
        [day for day in WEEKS if day.weekday() >= 5],
        [[6, 7]],
        captured_by="test",
    )
    await product.worker.catalog.poll()
    for day in (TUESDAY, SATURDAY, SUNDAY):
        await product.folds(day)
    await product.rolls()
    assert await product.version(TUESDAY) == of_all.version
    assert await product.version(SATURDAY) == await product.version(SUNDAY) == weekend.items[0].version


async def test_pins_and_ledger_survive_an_activation_in_the_middle_of_a_day(product: Product) -> None:
    captured = await product.captures(WORKDAY_WEEKEND)
    _, weekend = captured.items
    before = await product.folds(SATURDAY, 300)
    of_all = await capture(product.worker.pool, *MODEL, WEEKS, captured_by="test")
    await product.worker.catalog.poll()
    after = await product.folds(SATURDAY, 200)
    await product.folds(SUNDAY)
    await product.rolls()
    row = (await product.rows(SATURDAY))["amount"]
    assert (row["baseline_version"], row["method"], row["n"]) == (weekend.version, "counters", 500)
    base = next(feature for feature in weekend.features if feature.feature == "amount")
    x = bin_vector(base, np.concatenate([before["amount"], after["amount"]]), 500)
    assert row["psi"] == pytest.approx(expected_score(base, x)["psi"], **EXACT)
    assert await product.version(SUNDAY) == of_all.version
    active = await product.worker.fetch("select version from ml_guard.baseline where active")
    assert [row["version"] for row in active] == [of_all.version]

    assert weekend.version is not None
    await activate(product.worker.pool, *MODEL, weekend.version)
    await product.closes(SUNDAY)
    assert await product.version(SATURDAY) == weekend.version
    assert await product.version(SUNDAY) == of_all.version, "a day stays with the version that it began with"
    rows = await product.worker.fetch("select day, difference, balanced from ml_guard.ledger_days")
    assert len(rows) == len(WEEKS) + 2
    assert all(row["balanced"] for row in rows)


async def test_a_worker_that_takes_over_counts_the_day_against_the_version_of_its_weekday(
    product: Product, make_bench: MakeBench
) -> None:
    captured = await product.captures(WORKDAY_WEEKEND)
    await product.folds(SATURDAY, 100)
    first, product.worker = product.worker, await make_bench(product.worker.logs, clock=product.clock)
    await product.worker.claim()
    await product.folds(SATURDAY, 100)
    await product.folds(TUESDAY, 100)
    await product.rolls()
    assert first.catalog.generation <= product.worker.catalog.generation
    row = (await product.rows(SATURDAY))["amount"]
    assert (row["baseline_version"], row["method"], row["n"]) == (captured.items[1].version, "counters", 200)
    assert await product.version(TUESDAY) == captured.items[0].version


@pytest.mark.parametrize(
    ("days", "groups", "says"),
    [
        (WEEKS[:5], EACH, "Sat has no day among those named; Sun has no day"),
        (WEEKS[:3], [[1, 2]], "no group of weekdays takes 2025-01-08"),
        ([], EACH, "at least one closed day"),
    ],
)
async def test_a_group_without_a_day_and_a_day_without_a_group_are_refused_by_name(
    product: Product, days: list[date], groups: list[list[int]], says: str
) -> None:
    with pytest.raises(CaptureError, match=says):
        await capture_by_weekday(product.worker.pool, *MODEL, days, groups, captured_by="test")
    assert await product.worker.value("select count(*) from ml_guard.baseline") == 0


async def test_a_group_with_too_few_events_is_refused_and_one_with_little_is_pointed_out(
    product: Product,
) -> None:
    thin, single = date(2025, 1, 20), [[1], [2]]
    await product.folds(thin, 40)
    await product.closes(thin)
    with pytest.raises(CaptureError, match="Mon has 40 events, where at least 180 are needed"):
        await capture_by_weekday(product.worker.pool, *MODEL, [thin, WEEKS[1]], single, captured_by="test")
    assert await product.worker.value("select count(*) from ml_guard.baseline") == 0
    made = await capture_by_weekday(
        product.worker.pool, *MODEL, [thin, WEEKS[0], WEEKS[1]], single, captured_by="test"
    )
    assert [one.split(":")[0] for one in made.warnings] == ["Mon", "Tue", "Tue"]
    assert "only 340 events" in made.warnings[0]
    assert "2025-01-07 is its only day" in made.warnings[1]
