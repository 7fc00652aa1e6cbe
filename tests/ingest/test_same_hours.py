"""Today, up to its last full hour, is scored against the same hours of the days before; what cannot be is said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from stream.closing.capture import Captured, CapturedFeature, capture, capture_by_weekday
from stream.closing.hours import HourKeeper
from stream.closing.same_hours import SameHours, read_same_hours
from stream.closing.service import ClosingService
from stream.settings import Settings
from tests.closing.test_scores import EXACT, bin_vector, expected_score
from tests.ingest.conftest import TOPIC, MakeBench, event
from tests.ingest.product import MODEL, Product, in_toronto, local

FIRST = date(2025, 1, 6)  # a Monday


def day(n: int) -> date:
    return FIRST + timedelta(days=n)


@pytest.fixture
async def product(make_bench: MakeBench) -> AsyncIterator[Product]:
    """A Monday has closed and is the baseline of all days."""
    async with in_toronto(make_bench, local(FIRST)) as made:
        await made.folds(FIRST, 800)
        await made.closes(FIRST)
        yield made


async def captured(product: Product) -> Captured:
    made = await capture(product.worker.pool, *MODEL, [FIRST], captured_by="test")
    await product.worker.catalog.poll()
    return made


async def same_hours(product: Product, days: int = 7) -> SameHours:
    async with product.worker.pool.acquire() as connection:
        return await read_same_hours(connection, *MODEL, days=days)


def against(base: CapturedFeature, before: list[Any], events: int) -> CapturedFeature:
    """The baseline's bins with the shares of raw values before."""
    values = (
        np.concatenate(before) if isinstance(before[0], np.ndarray) else [v for part in before for v in part]
    )
    y = bin_vector(base, values, events)
    return CapturedFeature(
        **{
            **{name: getattr(base, name) for name in CapturedFeature.__slots__},
            "n": events,
            "missing": 0,
            "shares": tuple((y / events).tolist()),
            "share_errors": (0.0,) * y.size,
        }
    )


async def test_today_against_the_same_hours_equals_numpy_and_scipy_on_the_raw_values(
    product: Product,
) -> None:
    base = await captured(product)
    before = []
    for n in (1, 2, 3):
        before.append(await product.folds_hourly(day(n), 5 + n, 60))
        before[n - 1] = {
            name: values[: 5 * 60] for name, values in before[n - 1].items()
        }  # those before 05:00
        await product.closes(day(n))
    today = await product.folds_hourly(day(4), 5, 60, shift=0.8)

    seen = await same_hours(product)
    assert (seen.day, seen.hour, seen.hour_at) == (day(4), 5, local(day(4), 5))
    assert (seen.requests, seen.requests_before, seen.reason) == (300, 300, None)
    assert [(one.day, one.compared, one.requests) for one in seen.days] == [
        (day(3), True, 300),
        (day(2), True, 300),
        (day(1), True, 300),
        (FIRST, False, None),
    ]
    assert "no snapshot at 5:00" in str(seen.days[-1].reason)
    for feature in base.features:
        row = next(one for one in seen.features if one.feature == feature.feature)
        then = against(feature, [part[feature.feature] for part in before], 900)
        x = bin_vector(feature, today[feature.feature], 300)
        for name, expected in expected_score(then, x).items():
            assert getattr(row, name) == pytest.approx(expected, **EXACT), (feature.feature, name)
        assert row.bins is not None
        assert [one["count"] for one in row.bins] == x.tolist()
        assert [one["baseline_share"] for one in row.bins] == pytest.approx(list(then.shares), **EXACT)
    verdicts = {row.feature: row.verdict for row in seen.features}
    assert verdicts == {"amount": "drift", "country": "ok"}
    amount = next(row for row in seen.features if row.feature == "amount")
    assert amount.mean == pytest.approx(today["amount"].mean(), rel=1e-9)
    assert amount.mean_before == pytest.approx(np.concatenate([p["amount"] for p in before]).mean(), rel=1e-9)
    rows = await product.worker.fetch(
        "select day, hour, n from ml_guard.hourly_features where feature = '@events' and day >= $1 order by 1, 2",
        day(3),
    )
    assert [tuple(row) for row in rows] == [
        *((day(3), hour, 60 * hour) for hour in range(1, 9)),
        *((day(4), hour, 60 * hour) for hour in range(1, 6)),
    ]


async def test_a_quiet_model_has_its_hours_too(product: Product) -> None:
    await captured(product)
    await product.folds(day(1), 30, hours=(9.1, 9.4))
    await product.rolls()
    await product.folds(day(1), 30, hours=(14.1, 14.4))
    await product.rolls()
    rows = await product.worker.fetch(
        "select hour, n from ml_guard.hourly_features where feature = '@events' order by hour"
    )
    assert [tuple(row) for row in rows] == [(hour, 30) for hour in range(10, 15)]


async def test_a_backfilled_day_has_no_snapshot_and_says_so(product: Product) -> None:
    await captured(product)
    await product.folds(day(1), 300)  # the whole day at once
    await product.rolls()
    await product.folds(day(1), 300)  # and again: its events are out of order
    await product.rolls()
    await product.closes(day(1))
    await product.folds(day(2), 100, hours=(8.0, 3.0))
    await product.rolls()
    assert "no full hour of the open day has a snapshot" in str((await same_hours(product)).reason)
    await product.folds(day(2), 3, hours=(9.1, 9.2))
    await product.rolls()
    seen = await same_hours(product)
    assert seen.hour == 9
    assert seen.reason == "none of the days before can be compared; each says why"
    assert {one.compared for one in seen.days} == {False}
    assert not seen.features


async def test_an_event_of_the_future_passes_no_hour(product: Product) -> None:
    await captured(product)
    await product.folds(day(1), 50, hours=(7.1, 7.9))
    await product.rolls()
    clock = product.clock.now
    ahead = event(project_id="w", timestamp=local(day(1), 20).isoformat().replace("+00:00", "Z"), features={})
    product.worker.logs.append(0, ahead)
    await product.worker.read(0)
    await product.worker.checkpoint(0)
    await product.rolls()
    assert product.clock.now == clock
    await product.folds(day(1), 50, hours=(8.1, 8.9))
    await product.rolls()
    rows = await product.worker.fetch(
        "select hour, n from ml_guard.hourly_features where feature = '@events'"
    )
    assert [tuple(row) for row in rows] == [(8, 51)]


async def test_a_tomorrow_that_a_clock_ahead_has_begun_is_not_today(product: Product) -> None:
    await captured(product)
    await product.folds_hourly(day(1), 3)
    ahead = event(project_id="w", timestamp=local(day(2), 1).isoformat().replace("+00:00", "Z"), features={})
    await product.takes([ahead])
    await product.rolls()
    seen = await same_hours(product)
    assert (seen.day, seen.hour, [one.day for one in seen.days]) == (day(1), 3, [FIRST])


async def test_days_in_the_bins_of_another_version_are_left_out_and_named(product: Product) -> None:
    await captured(product)
    await product.folds_hourly(day(1), 3)
    await product.closes(day(1))
    await captured(product)
    await product.folds_hourly(day(2), 3)
    seen = await same_hours(product)
    assert seen.baseline_version == 2
    assert seen.days[0].reason == "today is counted in the bins of version 2, this day in those of 1"


async def test_a_saturday_is_compared_with_saturdays(product: Product) -> None:
    await capture_by_weekday(product.worker.pool, *MODEL, [FIRST], [[1]], captured_by="test")
    await product.folds(day(5), 400)
    await product.folds(day(6), 400)
    await product.closes(day(6))
    weekend = [day(5), day(6)]
    await capture_by_weekday(product.worker.pool, *MODEL, weekend, [[6, 7]], captured_by="test")
    await product.worker.catalog.poll()
    for n in (7, 12, 13):
        await product.folds_hourly(day(n), 3)
        await product.closes(day(n))
    await product.folds_hourly(day(19), 3)
    seen = await same_hours(product, days=2)
    assert (seen.day, seen.weekdays) == (day(19), (6, 7))
    assert [(one.day, one.compared) for one in seen.days] == [(day(13), True), (day(12), True)]


async def test_without_a_baseline_or_an_open_day_it_says_what_is_missing(product: Product) -> None:
    assert "2025-01-06, the newest day, has closed" in str((await same_hours(product)).reason)
    await product.folds_hourly(day(1), 2)
    seen = await same_hours(product)
    assert (seen.hour, seen.requests) == (2, 80)
    assert "began without a baseline" in str(seen.reason)
    async with product.worker.pool.acquire() as connection:
        unknown = await read_same_hours(connection, "w", "nobody", "predict", days=7)
    assert "are the names right?" in str(unknown.reason)


async def test_a_new_leader_misses_an_hour_at_most(product: Product) -> None:
    await captured(product)
    await product.folds_hourly(day(1), 3)
    product.hours = product.roller.hours = HourKeeper(product.clock)
    for hour in (4, 5):
        await product.folds(day(1), 40, hours=(hour + 0.01, hour + 0.95))
        await product.rolls()
    rows = await product.worker.fetch(
        "select hour, n from ml_guard.hourly_features where feature = '@events' order by hour"
    )
    assert [tuple(row) for row in rows] == [(1, 40), (2, 80), (3, 120), (5, 200)]


async def test_the_closing_service_keeps_the_hours_by_itself(
    product: Product, module_database_url: str
) -> None:
    await captured(product)
    await product.worker.fetch("update ml_guard.lease set holder = null, expires_at = '-infinity'")
    service = ClosingService(
        module_database_url, product.clock, product.worker.ends, Settings(topic=TOPIC), "service"
    )
    running = asyncio.create_task(service.run())

    async def until(query: str, wanted: int) -> None:
        while await product.worker.value(query) != wanted:
            await asyncio.sleep(0.01)

    for hour in (1, 2):
        await product.folds(day(1), 40, hours=(hour + 0.01, hour + 0.95))
        await until("select max(requests) from ml_guard.metric_day where status = 'provisional'", 40 * hour)
    await until("select count(*) from ml_guard.hourly_features where hour = 2 and n = 40", 3)
    service.stop()
    await running
