"""Days of different weekdays are counted and scored against baselines of their own, from the event to the score."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from ml_guard.weekdays import EACH, WORKDAY_WEEKEND
from stream.closing.capture import CapturedByWeekday, activate, capture, capture_by_weekday
from stream.closing.close import Closer
from stream.closing.errors import CaptureError
from stream.closing.reading import StateReader
from stream.closing.rollup import Roller
from stream.closing.steps import Rules
from stream.store.lease import CLOSER, Lease, take
from tests.closing.test_scores import EXACT, bin_vector, expected_score
from tests.closing.world import Clock
from tests.ingest.conftest import TOPIC, Bench, MakeBench, add_project, event

ZONE = "America/Toronto"
MODEL = ("w", "m", "predict")
MONDAY = date(2025, 1, 6)
WEEKS = [MONDAY + timedelta(days=n) for n in range(14)]
TUESDAY, SATURDAY, SUNDAY = date(2025, 1, 21), date(2025, 1, 25), date(2025, 1, 26)
A_DAY = 300


@dataclass
class Product:
    """A worker and the closing, on one database, at a time that the test sets."""

    worker: Bench
    clock: Clock
    lease: Lease
    roller: Roller
    closer: Closer
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))

    async def folds(self, day: date, n: int = A_DAY, *, shard: int = 0) -> dict[str, Any]:
        """A worker folds `n` events of a local day, the first and the last minute among them; their values."""
        weekend = day.weekday() >= 5
        amount = self.random.normal(2.0 if weekend else 0.0, 1.0, n)
        country = self.random.choice(["CA", "US"], n, p=[0.2, 0.8] if weekend else [0.7, 0.3]).tolist()
        begin = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(ZONE)).astimezone(UTC)
        self.clock.now = max(self.clock.now, begin + timedelta(hours=23, minutes=59))
        step = timedelta(hours=23, minutes=59) / (n - 1)
        records = [
            event(
                project_id="w",
                timestamp=(begin + i * step).isoformat().replace("+00:00", "Z"),
                features={"amount": value, "country": label},
            )
            for i, (value, label) in enumerate(zip(amount.tolist(), country, strict=True))
        ]
        self.worker.logs.append(shard, *records, at=self.clock.now)
        await self.worker.read(shard)
        await self.worker.checkpoint(shard)
        return {"amount": amount, "country": country}

    async def rolls(self) -> None:
        async with self.worker.pool.acquire() as connection:
            while (done := await self.roller.step(connection, self.lease)).model_days or done.changed:
                pass

    async def closes(self, until: date) -> None:
        """It is some minutes past the midnight that ends a day."""
        await self.rolls()
        self.clock.now = datetime(until.year, until.month, until.day, 5, tzinfo=UTC) + timedelta(
            days=1, minutes=9
        )
        async with self.worker.pool.acquire() as connection:
            await self.closer.step(connection, self.lease)

    async def captures(self, groups: list[list[int]]) -> CapturedByWeekday:
        made = await capture_by_weekday(self.worker.pool, *MODEL, WEEKS, groups, captured_by="test")
        assert await self.worker.catalog.poll(), "the workers do not hear of it"
        return made

    async def rows(self, day: date) -> dict[str, dict[str, Any]]:
        found = await self.worker.fetch(
            "select * from ml_guard.feature_day where project_id = 'w' and day = $1", day
        )
        return {row["feature"]: dict(row) | {"bins": json.loads(row["bins"] or "[]")} for row in found}

    async def version(self, day: date) -> int | None:
        found: int | None = await self.worker.value(
            "select baseline_version from ml_guard.metric_day where project_id = 'w' and day = $1", day
        )
        return found


@pytest.fixture
async def product(make_bench: MakeBench) -> AsyncIterator[Product]:
    """Two weeks of a project in Toronto, closed; it is the Tuesday after them."""
    clock = Clock(datetime(2025, 1, 21, 17, tzinfo=UTC))
    worker: Bench = await make_bench(clock=clock)
    await worker.fetch("truncate ml_guard.metric_day, ml_guard.feature_day")
    await worker.fetch("update ml_guard.lease set holder = null, expires_at = '-infinity'")
    await add_project(worker.pool, "w", ZONE)
    await worker.catalog.poll()
    await worker.claim()
    async with worker.pool.acquire() as connection:
        lease = await take(connection, CLOSER, "test", timedelta(hours=1))
    assert lease is not None
    executor = ThreadPoolExecutor(1)

    async def ends() -> dict[int, int]:
        return {p: len(records) for p, records in worker.logs.records.items()}

    rules = Rules(
        settle=timedelta(days=-9999)
    )  # checkpoints note the real time, which is long after these days
    closer = Closer(StateReader(), executor, clock, ends, TOPIC, rules)
    made = Product(worker, clock, lease, Roller(StateReader(), executor), closer)
    for day in WEEKS:
        await made.folds(day)
    await made.closes(date(2025, 1, 20))
    yield made
    executor.shutdown()


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
