"""The wall clock jumps, and nobody is there when a day should close: every event is in its day, once."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from functools import partial

import asyncpg
import numpy as np
import pytest

from bench.events import expected, make_projects, produce
from bench.fleet import Fleet
from stream.closing.service import ClosingService
from stream.settings import Settings
from tests.chaos.lasting import lasting
from tests.chaos.shifted import Shift
from tests.chaos.site import check, until, value

pytestmark = [pytest.mark.stack, pytest.mark.timeout(lasting(400, 600))]
SETTLED = """select not exists (select from ml_guard.day_close where status <> 'closed' or reopened_at is not null)
                and not exists (select from ml_guard.day_change where shard >= 0)"""


@pytest.fixture
def shift(fleet: Fleet) -> Shift:
    """Workers of the fleet have this clock."""
    clock = Shift(fleet.log_dir.parent / "clock")
    fleet.module = "tests.chaos.shifted"
    fleet.settings = {"settle_s": "1"}
    return clock


async def beat(fleet: Fleet) -> timedelta:
    """How far the workers' last heartbeat is ahead of the time."""
    at = await value(fleet.database_url, "select max(heartbeat_at) from ml_guard.stream_fence")
    return at - datetime.now(UTC)


async def _jumped(fleet: Fleet, jump: timedelta) -> bool:
    return abs(await beat(fleet) - jump) < timedelta(minutes=5)


async def test_a_worker_of_which_a_part_fails_for_good_ends_and_the_next_goes_on(
    fleet: Fleet, shift: Shift
) -> None:
    """Here it is its clock that raises. A process that hung on would keep its partitions, and fold nothing."""
    worker = fleet.start(**shift.environment)
    await produce(fleet.kafka, fleet.topic, range(1_000))
    await fleet.drained()
    shift.breaks()
    await produce(fleet.kafka, fleet.topic, range(1_000, 2_000))
    assert await until(lambda: worker.poll(), "the worker has ended", 40) == 1
    shift.set(timedelta())
    fleet.start(**shift.environment)
    await fleet.drained()
    await check(fleet.database_url, range(2_000))


@pytest.mark.chaos
async def test_a_wall_clock_that_jumps_an_hour_either_way_moves_no_event(fleet: Fleet, shift: Shift) -> None:
    events, hour = 24_000, timedelta(hours=1)
    worker = fleet.start(**shift.environment)
    await fleet.reading()
    producing = asyncio.ensure_future(produce(fleet.kafka, fleet.topic, range(events), rate=1_500))
    for jump in (-hour, hour):
        shift.set(jump)
        await until(partial(_jumped, fleet, jump), "the clock has jumped")
        await asyncio.sleep(3)
    await producing
    await fleet.drained()
    await check(fleet.database_url, range(events))

    async def settled() -> bool:
        return bool(await value(fleet.database_url, SETTLED))

    await until(settled, "every day is closed")
    connection = await asyncpg.connect(fleet.database_url)
    rows = await connection.fetch(
        "select project_id, model_id, day, requests, status from ml_guard.metric_day"
    )
    await connection.close()
    wanted = {key: (day.events, "final") for key, day in expected(np.arange(events)).items()}
    assert {(r["project_id"], r["model_id"], r["day"]): (r["requests"], r["status"]) for r in rows} == wanted
    await _dated_around_the_limit(fleet, shift)
    assert fleet.terminate(worker) == 0


async def _dated_around_the_limit(fleet: Fleet, shift: Shift) -> None:
    """Whether an event is too far ahead is told by its arrival: half an hour decides, and the clock is an hour wrong."""
    await make_projects(fleet.database_url, {"clock": "UTC"})
    limit, half = timedelta(seconds=Settings().future_s), timedelta(minutes=30)
    found = "select coalesce(sum(n), 0)::bigint from ml_guard.day_sketch where project_id = 'clock'"
    dead = "select count(*) from ml_guard.dead_letter where reason = 'future_timestamp'"
    for times, jump in enumerate((timedelta(hours=-1), timedelta(hours=1)), 1):
        shift.set(jump)
        await until(partial(_jumped, fleet, jump), "the clock has jumped")
        for ahead in (limit - half, limit + half):
            at = (datetime.now(UTC) + ahead).isoformat().encode()
            record = b'{"project_id":"clock","model_id":"m","timestamp":"%s"}' % at
            await produce(fleet.kafka, fleet.topic, range(10), make=lambda _, record=record: record)
        await fleet.drained()
        assert await value(fleet.database_url, found) == 10 * times
        assert await value(fleet.database_url, dead) == 10 * times


@pytest.mark.chaos
async def test_a_worker_killed_at_the_moment_a_day_should_close_leaves_it_to_the_next(
    fleet: Fleet, shift: Shift
) -> None:
    """Killed just before; what was in the log by the day's end is in its first revision, although nobody was there."""
    await make_projects(fleet.database_url, {"clock": "UTC"})
    now = datetime.now(UTC)
    midnight = datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
    noon = midnight - timedelta(hours=12)

    def make(number: int) -> bytes:
        features = {"a": float(number)}
        return json.dumps(
            {"project_id": "clock", "model_id": "m", "timestamp": noon.isoformat(), "features": features}
        ).encode()

    shift.set(midnight - timedelta(seconds=20) - now)
    first = fleet.start(**shift.environment)
    await produce(fleet.kafka, fleet.topic, range(1_000), make=make)
    await fleet.drained()
    status = "select status from ml_guard.day_close where project_id = 'clock'"
    assert await value(fleet.database_url, status) == "open"
    fleet.kill(first)
    await produce(fleet.kafka, fleet.topic, range(1_000, 1_500), make=make)
    shift.set(midnight + timedelta(minutes=2) - now)
    later = shift.at
    settings = Settings(topic=fleet.topic, database_url=fleet.database_url)
    service = ClosingService(
        fleet.database_url,
        lambda: datetime.now(UTC) + later,
        fleet.end_offsets,
        settings,
        "leads, reads nothing",
    )
    leading = asyncio.create_task(service.run())

    async def closing() -> bool:
        return bool(await value(fleet.database_url, status) == "closing")

    async def closed() -> bool:
        return bool(await value(fleet.database_url, status) == "closed")

    await until(closing, "a barrier is noted")
    assert sum((await fleet.fences()).values()) == 1_000
    fleet.start(**shift.environment)
    await until(closed, "the day is closed")
    service.stop()
    await leading
    connection = await asyncpg.connect(fleet.database_url)
    day = await connection.fetchrow(
        "select revision, complete from ml_guard.day_close where project_id = 'clock'"
    )
    metric = await connection.fetchrow(
        "select requests, status, revision from ml_guard.metric_day where model_id = 'm'"
    )
    feature = await connection.fetchrow("select n, mean from ml_guard.feature_day where feature = 'a'")
    await connection.close()
    assert day is not None
    assert metric is not None
    assert feature is not None
    assert (day["revision"], day["complete"]) == (1, True)
    assert (metric["requests"], metric["status"], metric["revision"]) == (1_500, "final", 1)
    assert (feature["n"], feature["mean"]) == (1_500, pytest.approx(749.5))
