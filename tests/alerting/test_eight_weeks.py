"""Eight weeks with a daily and a weekly rhythm: who is told without drift, and how soon with it?

Events go the product's own way: a worker folds them, the rollup scores the open day in the morning and again later, the
closer closes it, and the default policies judge every result. Each stream is sent to two models: one has a baseline of
all days, the other one of working days and one of weekends.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from ml_guard.weekdays import WORKDAY_WEEKEND
from stream.alerting.evaluation import Evaluator
from stream.alerting.wording import Place
from stream.closing.capture import capture, capture_by_weekday
from tests.ingest.conftest import TOPIC, MakeBench, make_bench  # noqa: F401  a fixture
from tests.ingest.product import Product, in_toronto, local

MONDAY = date(2025, 3, 3)  # clocks change on the first Sunday
BASELINE_DAYS, SCORED_DAYS = 14, 56
ALERTS = ("alert_delivery", "alert")

FEATURES = 12
EVENTS_A_DAY = 900
WEEKEND_TRAFFIC = 0.4
WEEKEND_SHIFT = 0.8
"""In standard deviations: enough for a PSI of drift against a week's mixture."""
BY_HOUR = np.array([1, 1, 1, 1, 1, 2, 3, 5, 7, 8, 8, 8, 7, 7, 7, 6, 6, 5, 4, 4, 3, 2, 2, 1]) / 100
MORNING = 6


def day_of(n: int) -> date:
    return MONDAY + timedelta(days=n)


def events_of(random: np.random.Generator, day: date, *, drifted: bool) -> list[dict[str, Any]]:
    """A day's events in order; latency, the score and feature 0 follow the hour, features 1 and 2 the weekday as well."""
    weekend = day.weekday() >= 5
    n = int(EVENTS_A_DAY * (WEEKEND_TRAFFIC if weekend else 1.0) * random.uniform(0.9, 1.1))
    at = np.sort(random.choice(24, n, p=BY_HOUR) + random.random(n))
    swing = np.sin(2 * np.pi * at / 24)
    values = random.normal(size=(n, FEATURES))
    values[:, :3] += swing[:, None]
    values[:, 1:3] += WEEKEND_SHIFT * weekend
    values[:, 5] += 0.7 * drifted
    latency = np.exp(3 + 0.4 * swing + 0.3 * random.normal(size=n))
    score = 1 / (1 + np.exp(-0.5 * swing - random.normal(size=n)))
    begin, end = local(day), local(day + timedelta(days=1))
    times = [begin + hours / 24 * (end - begin) for hours in at]
    return [
        {
            "project_id": "w",
            "timestamp": when.isoformat().replace("+00:00", "Z"),
            "latency_ms": float(latency[i]),
            "y_proba": float(score[i]),
            "features": {f"f{k}": float(values[i, k]) for k in range(FEATURES)},
        }
        for i, when in enumerate(times)
    ]


@dataclass
class Stream:
    """One stream of events that is sent to two models; drift may begin on a day."""

    name: str
    drift_from: date | None = None

    @property
    def models(self) -> tuple[str, str]:
        return f"{self.name}-all-days", f"{self.name}-by-weekday"


@dataclass
class Weeks:
    """The product, and the days that go through it."""

    product: Product
    evaluator: Evaluator
    streams: Sequence[Stream]
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(11))

    async def evaluates(self) -> None:
        async with self.product.worker.pool.acquire() as connection:
            while await self.evaluator.step(connection, self.product.lease):
                pass

    async def day(self, day: date) -> None:
        """Its morning is rolled up and judged, then the rest of it, then its close."""
        made = [
            (
                stream,
                events_of(
                    self.random, day, drifted=stream.drift_from is not None and day >= stream.drift_from
                ),
            )
            for stream in self.streams
        ]
        morning = local(day, MORNING)
        for until in (morning, local(day + timedelta(days=1))):
            self.product.clock.now = until
            begin = datetime.min.replace(tzinfo=UTC) if until == morning else morning
            for shard, (stream, events) in enumerate(made):
                part = [one for one in events if begin <= datetime.fromisoformat(one["timestamp"]) < until]
                records = [
                    json.dumps({**one, "model_id": model}).encode() for one in part for model in stream.models
                ]
                await self.product.takes(records, shard=shard)
            await self.product.rolls()
            await self.evaluates()
        await self.product.closes(day)
        await self.evaluates()

    async def captures(self, days: Sequence[date]) -> None:
        pool = self.product.worker.pool
        for stream in self.streams:
            of_all, by_weekday = stream.models
            await capture(pool, "w", of_all, "predict", days, captured_by="test")
            await capture_by_weekday(
                pool, "w", by_weekday, "predict", days, WORKDAY_WEEKEND, captured_by="test"
            )
        assert await self.product.worker.catalog.poll()

    async def alerts(self, model: str) -> list[dict[str, Any]]:
        rows = await self.product.worker.fetch(
            "select * from ml_guard.alert where model_id = $1 order by opened_at", model
        )
        return [dict(row) | {"details": json.loads(row["details"])} for row in rows]

    async def days_in_drift(self, model: str) -> list[date]:
        rows = await self.product.worker.fetch(
            """select day from ml_guard.metric_day where model_id = $1 and features_drift > 0 and status = 'final'
               order by day""",
            model,
        )
        return [row["day"] for row in rows]


@pytest.fixture
async def product(make_bench: MakeBench) -> AsyncIterator[Product]:  # noqa: F811
    async with in_toronto(make_bench, local(MONDAY)) as made:
        for table in ALERTS:
            await made.worker.fetch(f"delete from ml_guard.{table}")
        await made.worker.fetch("update ml_guard.alert_position set change_id = 0")
        yield made


async def weeks(product: Product, *streams: Stream) -> Weeks:
    """Two weeks have gone by and are the baselines."""
    place = Place("production", "https://guard.example")
    evaluator = Evaluator(product.clock, place, ("slack",), product.worker.ends, TOPIC)
    made = Weeks(product, evaluator, streams)
    days = [day_of(n) for n in range(BASELINE_DAYS)]
    for day in days:
        await made.day(day)
    await made.captures(days)
    assert not [alert for stream in streams for model in stream.models for alert in await made.alerts(model)]
    return made


@pytest.mark.timeout(900)  # seventy days, each rolled up, closed and judged
async def test_a_rhythm_without_drift_alerts_at_most_once_in_eight_weeks(product: Product) -> None:
    stream = Stream("quiet")
    made = await weeks(product, stream)
    for n in range(BASELINE_DAYS, BASELINE_DAYS + SCORED_DAYS):
        await made.day(day_of(n))
    of_all, by_weekday = stream.models
    scored = await product.worker.value(
        """select count(*) from ml_guard.metric_day
           where status = 'final' and features_scored = $1 and requests > $2""",
        FEATURES + 2,
        EVENTS_A_DAY * WEEKEND_TRAFFIC * 0.8,
    )
    assert scored == 2 * SCORED_DAYS
    weekends = [day for day in await made.days_in_drift(of_all) if day.weekday() >= 5]
    assert len(weekends) >= 8, "the weekends are not different enough for the test to mean something"
    assert len(await made.alerts(of_all)) <= 1
    assert len(await made.days_in_drift(by_weekday)) <= 1, "a Saturday is drift for a baseline of Saturdays"
    assert len(await made.alerts(by_weekday)) <= 1
    messages = await product.worker.value("select count(*) from ml_guard.alert_delivery")
    assert messages <= 4, "an opening and a resolution of each"


async def test_a_planted_drift_is_alerted_on_its_first_or_second_closed_day(product: Product) -> None:
    begins = {"monday": day_of(28), "friday": day_of(25)}
    made = await weeks(product, *(Stream(name, begin) for name, begin in begins.items()))
    for n in range(BASELINE_DAYS, 30):
        await made.day(day_of(n))
    for stream in made.streams:
        assert stream.drift_from is not None
        second_close = local(stream.drift_from + timedelta(days=2), 0.2)
        for model in stream.models:
            told = [
                alert
                for alert in await made.alerts(model)
                if any(one["feature"] == "f5" for one in alert["details"]["features"])
            ]
            assert told, f"nobody was told of {model}"
            assert local(stream.drift_from) < told[0]["opened_at"] <= second_close, model
