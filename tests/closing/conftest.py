"""A project on the run's TimescaleDB, with a worker that the test plays."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from stream.store.pool import Pool, connect
from tests.closing.world import World, at


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    pool = await connect(database_url, size=4)
    yield pool
    pool.terminate()


@pytest.fixture
async def world(pool: Pool) -> AsyncIterator[World]:
    """It is noon of 10 January 2025; the project is in UTC and has had no event."""
    world = await World.begin(pool, at("2025-01-10T12:00"))
    yield world
    world.executor.shutdown()
