"""The service does all of it by itself: rolls up, closes, tidies, hands its lease on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import asyncpg
import numpy as np
import pytest

from embedded.doctor import aggregates_wait
from stream.closing.housekeeping import forget_old_batches, refresh
from stream.closing.service import ClosingService
from stream.settings import Settings
from stream.store import pool as workers_pool
from tests.closing.world import TOPIC, World, at


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition; the test's own timeout ends it."""
    while not await condition():
        await asyncio.sleep(0.01)


def service(world: World, database_url: str, holder: str) -> ClosingService:
    return ClosingService(database_url, world.clock, world.end_offsets, Settings(topic=TOPIC), holder)


async def set_free(world: World) -> None:
    """The world has taken the lease for itself."""
    await world.connection.execute("update ml_guard.lease set expires_at = '-infinity'")


async def test_the_service_rolls_up_closes_and_gives_its_lease_back(
    world: World, module_database_url: str
) -> None:
    await set_free(world)
    running = service(world, module_database_url, "one")
    task = asyncio.create_task(running.run())

    async def requests() -> int:
        return await world.connection.fetchval("select coalesce(sum(requests), 0) from ml_guard.metric_day")

    async def rolled_up() -> bool:
        return await requests() == 30

    async def closed() -> bool:
        return (await world.day_close("2025-01-10"))["status"] == "closed"

    await world.checkpoint(world.clock.now, 10, {"age": np.arange(10.0)})
    await world.checkpoint(world.clock.now, 20, {"age": np.arange(20.0)}, shard=1)
    await until(rolled_up)
    assert (await world.metric("2025-01-10"))["status"] == "provisional"
    world.clock.now = at("2025-01-11T00:01:00")
    await until(closed)
    assert (await world.metric("2025-01-10"))["status"] == "final"
    running.stop()
    await task
    holder, expired = await world.connection.fetchrow(
        "select holder, expires_at < now() from ml_guard.lease where name = 'closer'"
    )
    assert (holder, expired) == (None, True)


async def test_of_two_services_one_leads_and_the_other_takes_over(
    world: World, module_database_url: str
) -> None:
    await set_free(world)
    services = [service(world, module_database_url, name) for name in ("one", "two")]
    tasks = [asyncio.create_task(running.run()) for running in services]

    async def holder() -> str | None:
        return await world.connection.fetchval("select holder from ml_guard.lease where expires_at > now()")

    async def held() -> bool:
        return await holder() in ("one", "two")

    async def closed_both() -> bool:
        return (
            await world.connection.fetchval("select count(*) from ml_guard.day_close where revision = 1") == 2
        )

    await until(held)
    leader = await holder()
    await world.checkpoint(world.clock.now, 10, {"age": np.arange(10.0)})
    world.clock.now = at("2025-01-11T00:01:00")
    await world.checkpoint(world.clock.now, 10, {"age": np.arange(10.0)})
    world.clock.now = at("2025-01-11T00:02:00")

    index = 0 if leader == "one" else 1
    services[index].stop()
    await tasks[index]

    async def taken_over() -> bool:
        return await holder() == ("two" if leader == "one" else "one")

    await until(taken_over)
    world.clock.now = at("2025-01-12T00:01:00")
    await until(closed_both)
    services[1 - index].stop()
    await tasks[1 - index]


async def test_a_service_that_is_stopped_before_there_is_a_database_ends(world: World) -> None:
    running = service(world, "postgresql://nobody@127.0.0.1:9/nowhere", "one")
    task = asyncio.create_task(running.run())
    await asyncio.sleep(0)
    running.stop()
    await task


async def test_batches_are_forgotten_by_the_earlier_of_the_brokers_time_and_the_clock(world: World) -> None:
    broker, kept = world.clock.now, timedelta(days=14)
    await world.connection.executemany(
        """insert into ml_guard.seen_batch (project_id, batch_id, appended_at, topic, "partition", "offset")
           values ('shop', $1, $2, 'events', 0, 0)""",
        [(f"old {n}", broker - kept - timedelta(seconds=1)) for n in range(3)]
        + [("young", broker - kept + timedelta(hours=1)), ("newest", broker)],
    )
    assert await forget_old_batches(world.connection, broker - timedelta(hours=1)) == 0
    assert await forget_old_batches(world.connection, broker + timedelta(days=300)) == 3
    rows = await world.connection.fetch("select batch_id from ml_guard.seen_batch order by 1")
    assert [row[0] for row in rows] == ["newest", "young"]


async def test_late_traffic_below_the_watermark_shows_in_the_aggregates_once_its_day_is_refreshed(
    world: World, module_database_url: str
) -> None:
    """Only its owner may refresh an aggregate, so a worker asks for it, and a job of the owner's does it."""

    async def add(minute: str, requests: int) -> None:
        await world.connection.execute(
            """insert into ml_guard.traffic_minute (project_id, model_id, endpoint, minute, shard, requests)
               values ('shop', 'churn', 'predict', $1, 0, $2)""",
            at(minute),
            requests,
        )

    async def seen(table: str) -> int:
        return await world.connection.fetchval(f"select coalesce(sum(requests), 0) from ml_guard.{table}")

    def day(number: int) -> tuple[datetime, datetime]:
        return at(f"2025-01-{number:02}T00:00"), at(f"2025-01-{number + 1:02}T00:00")

    await add("2025-01-08T10:00", 5)
    await add("2025-01-09T10:00", 7)

    async def job() -> None:
        owner = await asyncpg.connect(module_database_url)
        await owner.execute("call ml_guard.refresh_aggregates()")
        await owner.close()

    await refresh(world.connection, [day(8), day(9)])
    await job()
    await add("2025-01-08T11:00", 100)
    assert await seen("traffic_hour_utc") == 12
    await refresh(world.connection, [day(8)])
    await world.connection.execute(
        "update ml_guard.aggregate_refresh set asked_at = now() - interval '1 hour'"
    )
    (finding,) = await aggregates_wait(world.connection)
    assert (finding.ok, finding.what) == (False, "aggregates")
    await job()
    assert await aggregates_wait(world.connection) == []
    assert await world.connection.fetchval("select count(*) from ml_guard.aggregate_refresh") == 0
    assert (await seen("traffic_hour_utc"), await seen("traffic_day_utc")) == (112, 112)


async def test_a_database_error_is_logged_and_the_work_goes_on(
    world: World, module_database_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await set_free(world)
    monkeypatch.setattr("stream.closing.service.RETRY_AFTER_S", 0.01)
    running = service(world, module_database_url, "one")
    step, failures = running._roller.step, []

    async def fails_once(*arguments: object) -> object:
        if not failures:
            failures.append(True)
            raise asyncpg.ConnectionDoesNotExistError("the server went away")
        return await step(*arguments)  # type: ignore[arg-type]

    running._roller.step = fails_once  # type: ignore[assignment,method-assign]
    task = asyncio.create_task(running.run())
    await world.checkpoint(world.clock.now, 10, {"age": np.arange(10.0)})

    async def rolled_up() -> bool:
        return await world.connection.fetchval("select count(*) from ml_guard.metric_day") == 1

    await until(rolled_up)
    assert "the server went away" in caplog.text
    running.stop()
    await task


async def test_connections_of_a_worker_that_leads_no_more_are_given_back(
    module_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers_pool, "GIVEN_BACK_AFTER_S", 0.2)
    pool = await workers_pool.connect(module_database_url, size=4)
    try:
        for connection in [await pool.acquire() for _ in range(4)]:
            await pool.release(connection)
        assert pool.get_size() == 4
        while pool.get_size() > 1:
            await asyncio.sleep(0.01)
        assert await pool.fetchval("select 1") == 1
    finally:
        await pool.close()
