"""A worker and the closing on one real database, without Kafka: events go in, scores come out, the test sets the time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from stream.closing.capture import CapturedByWeekday, capture_by_weekday
from stream.closing.close import Closer
from stream.closing.hours import HourKeeper
from stream.closing.reading import StateReader
from stream.closing.rollup import Roller
from stream.closing.steps import Rules
from stream.store.lease import CLOSER, Lease, take
from tests.closing.world import Clock
from tests.ingest.conftest import TOPIC, Bench, MakeBench, add_project, event

ZONE = "America/Toronto"
MODEL = ("w", "m", "predict")
MONDAY = date(2025, 1, 6)
WEEKS = [MONDAY + timedelta(days=n) for n in range(14)]
TUESDAY, SATURDAY, SUNDAY = date(2025, 1, 21), date(2025, 1, 25), date(2025, 1, 26)
A_DAY = 300


def local(day: date, hour: float = 0) -> datetime:
    """An instant of a local day."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(ZONE)).astimezone(UTC)
    return midnight + timedelta(hours=hour)


@dataclass
class Product:
    """A worker and the closing, on one database, at a time that the test sets."""

    worker: Bench
    clock: Clock
    lease: Lease
    roller: Roller
    closer: Closer
    hours: HourKeeper
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))

    async def folds(
        self,
        day: date,
        n: int = A_DAY,
        *,
        shard: int = 0,
        hours: tuple[float, float] = (0, 23.99),
        shift: float = 0.0,
    ) -> dict[str, Any]:
        """A worker folds `n` events of a local day, evenly over some hours of it; their values. Weekends differ."""
        weekend = day.weekday() >= 5
        amount = self.random.normal((2.0 if weekend else 0.0) + shift, 1.0, n)
        country = self.random.choice(["CA", "US"], n, p=[0.2, 0.8] if weekend else [0.7, 0.3]).tolist()
        times = [local(day, hour) for hour in np.linspace(*hours, n)]
        self.clock.now = max(self.clock.now, times[-1])
        records = [
            event(
                project_id="w",
                timestamp=at.isoformat().replace("+00:00", "Z"),
                features={"amount": value, "country": label},
            )
            for at, value, label in zip(times, amount.tolist(), country, strict=True)
        ]
        await self.takes(records, shard=shard)
        return {"amount": amount, "country": country}

    async def takes(self, records: list[bytes], *, shard: int = 0) -> None:
        """A worker folds records and writes them in a checkpoint."""
        self.worker.logs.append(shard, *records, at=self.clock.now)
        await self.worker.read(shard)
        await self.worker.checkpoint(shard)

    async def folds_hourly(self, day: date, until: int, each: int = 40, **how: Any) -> dict[str, Any]:
        """As they come: hour by hour, each rolled up, up to some minutes past `until`; the values before that hour."""
        parts = []
        for hour in range(until + 1):
            part = await self.folds(day, each, hours=(hour + 0.01, hour + 0.95), **how)
            parts.append(part)
            await self.rolls()
        return {
            "amount": np.concatenate([part["amount"] for part in parts[:-1]]),
            "country": [label for part in parts[:-1] for label in part["country"]],
        }

    async def rolls(self) -> None:
        async with self.worker.pool.acquire() as connection:
            while (done := await self.roller.step(connection, self.lease)).model_days or done.changed:
                pass
            await self.hours.step(connection, self.lease)

    async def closes(self, until: date) -> None:
        """It is some minutes past the midnight that ends a day."""
        await self.rolls()
        self.clock.now = max(self.clock.now, local(until + timedelta(days=1), 0.1))
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

    async def leads(self) -> Lease:
        """Lead again, after something has ended every lease."""
        return await _leads(self.worker)

    async def version(self, day: date) -> int | None:
        found: int | None = await self.worker.value(
            "select baseline_version from ml_guard.metric_day where project_id = 'w' and day = $1", day
        )
        return found


async def _leads(worker: Bench) -> Lease:
    async with worker.pool.acquire() as connection:
        lease = await take(connection, CLOSER, "test", timedelta(hours=1))
    assert lease is not None
    return lease


@asynccontextmanager
async def in_toronto(make_bench: MakeBench, now: datetime, **settings: Any) -> AsyncIterator[Product]:
    """A project `w` in Toronto that has had no event."""
    clock = Clock(now)
    worker: Bench = await make_bench(clock=clock, **settings)
    for table in ("metric_day", "feature_day", "feature_hour"):
        await worker.fetch(f"delete from ml_guard.{table}")
    await worker.fetch("update ml_guard.lease set holder = null, expires_at = '-infinity'")
    await add_project(worker.pool, "w", ZONE)
    await worker.catalog.poll()
    await worker.claim()
    lease = await _leads(worker)
    executor = ThreadPoolExecutor(1)

    hours = HourKeeper(clock)
    roller = Roller(StateReader(), executor, hours=hours)
    # Checkpoints note the real time, which is long after these days: they are settled at once.
    closer = Closer(StateReader(), executor, clock, worker.ends, TOPIC, Rules(settle=timedelta(days=-9999)))
    yield Product(worker, clock, lease, roller, closer, hours)
    executor.shutdown()
