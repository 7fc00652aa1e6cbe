"""A project on the run's TimescaleDB, with a worker that the test plays."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from stream.store.pool import Pool, connect
from tests.closing.world import World, at
from tests.conftest import as_role

WRITTEN = (
    "project",
    "model",
    "project_zone",
    "feature_setting",
    "stream_fence",
    "seen_batch",
    "day_change",
    "day_close",
    "day_sketch",
    "bin_count",
    "traffic_minute",
    "baseline",
    "baseline_feature",
    "metric_day",
    "feature_day",
)


@pytest.fixture
async def pool(module_database_url: str) -> AsyncIterator[Pool]:
    """The module's database, emptied: a fifth of the time that a new schema takes."""
    pool = await connect(as_role(module_database_url, "ml_guard_worker"), size=4)
    async with pool.acquire() as connection:
        for table in WRITTEN:
            await connection.execute(f"delete from ml_guard.{table}")
        await connection.execute("update ml_guard.lease set holder = null, expires_at = '-infinity'")
    yield pool
    pool.terminate()


@pytest.fixture
async def world(pool: Pool) -> AsyncIterator[World]:
    """It is noon of 10 January 2025; the project is in UTC and has had no event."""
    world = await World.begin(pool, at("2025-01-10T12:00"))
    yield world
    world.executor.shutdown()
