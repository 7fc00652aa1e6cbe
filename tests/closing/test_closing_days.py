"""Days close when the fences have passed their barrier, once, whole, and are restated by a new revision."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import numpy as np
import pytest

from stream.days import EARLIEST_US, Calendar, to_us
from stream.store.closing import rewrite_barriers
from tests.closing.world import World, at


def ages(seed: int, n: int) -> dict[str, np.ndarray]:
    return {"age": np.random.default_rng(seed).normal(40, 10, n)}


async def test_a_day_is_provisional_until_its_end_and_grace_and_final_after(world: World) -> None:
    await world.checkpoint(world.clock.now, 100, ages(1, 100))
    await world.roll()
    world.clock.now = at("2025-01-11T00:00:59")
    assert await world.close() == []
    metric = await world.metric("2025-01-10")
    assert (metric["revision"], metric["status"]) == (0, "provisional")

    world.clock.now = at("2025-01-11T00:01:00")
    [closed] = await world.close()
    assert (closed.revision, closed.blocked) == (1, ())
    metric = await world.metric("2025-01-10")
    assert (metric["revision"], metric["status"], metric["complete"]) == (1, "final", True)
    assert (await world.feature("age", "2025-01-10"))["status"] == "final"
    assert await world.close() == []


async def test_a_day_waits_for_every_record_that_was_in_the_log_when_its_grace_had_passed(
    world: World,
) -> None:
    await world.checkpoint(world.clock.now, 100, ages(1, 100))
    world.produce(shard=2, records=7)
    world.clock.now = at("2025-01-11T00:01:00")
    assert await world.close() == []
    world.clock.pass_(hours=10)  # backpressure delays, and nothing more
    await world.connection.execute("update ml_guard.stream_fence set heartbeat_at = $1", world.clock.now)
    assert await world.close() == []
    assert (await world.day_close("2025-01-10"))["status"] == "closing"

    world.clock.now = at("2025-01-10T23:59")
    await world.checkpoint(at("2025-01-10T23:59"), 30, ages(2, 30), shard=2)
    world.clock.now = at("2025-01-11T10:02")
    [closed] = await world.close()
    assert closed.revision == 1
    assert (await world.metric("2025-01-10"))["requests"] == 130


async def test_an_idle_partition_does_not_keep_a_day_open(world: World) -> None:
    await world.checkpoint(world.clock.now, 100, ages(1, 100), shard=0)
    await world.connection.execute(
        """delete from ml_guard.stream_fence where "partition" = 3"""  # nobody has ever claimed it
    )
    world.clock.now = at("2025-01-11T00:01:00")
    assert [closed.revision for closed in await world.close()] == [1]


async def test_an_event_dated_next_week_closes_nothing(world: World) -> None:
    await world.checkpoint(world.clock.now, 100, ages(1, 100))
    await world.checkpoint(world.clock.now + timedelta(days=7), 1, ages(2, 1))
    await world.roll()
    assert await world.close() == []
    assert (await world.metric("2025-01-10"))["status"] == "provisional"
    world.clock.now = at("2025-01-11T00:01:00")
    assert [closed.day.day.isoformat() for closed in await world.close()] == ["2025-01-10"]
    assert (await world.metric("2025-01-17"))["status"] == "provisional"


async def test_late_events_restate_their_day_once_as_revision_2_with_the_right_numbers(world: World) -> None:
    first, late, later = ages(1, 100), ages(2, 50), ages(3, 25)
    await world.closed_day("2025-01-10", 100, first)
    await world.checkpoint(at("2025-01-10T20:00"), 50, late, shard=1)
    await world.roll()
    assert (await world.metric("2025-01-10"))[
        "requests"
    ] == 100  # until it is restated, the day is what it was
    assert await world.close() == []
    world.clock.pass_(seconds=4)
    await world.checkpoint(at("2025-01-10T21:00"), 25, later, shard=2)
    world.clock.pass_(seconds=4)  # 8 s after the first late event, 4 s after the last
    assert await world.close() == []
    world.clock.pass_(seconds=1)
    [closed] = await world.close()

    assert closed.revision == 2
    values = np.concatenate([first["age"], late["age"], later["age"]])
    row, metric = await world.feature("age", "2025-01-10"), await world.metric("2025-01-10")
    assert (metric["requests"], metric["revision"], metric["status"]) == (175, 2, "final")
    assert row["n"] == 175
    assert row["mean"] == pytest.approx(values.mean(), rel=1e-9)
    assert row["stddev"] == pytest.approx(values.std(), rel=1e-9)
    await world.roll()
    world.clock.pass_(hours=1)
    assert await world.close() == []


async def test_a_day_that_is_never_quiet_is_restated_after_the_longest_wait(world: World) -> None:
    await world.closed_day("2025-01-10", 10, ages(1, 10))
    restated = []
    for second in range(0, 303, 3):
        await world.checkpoint(at("2025-01-10T20:00"), 1, ages(second, 1))
        await world.roll()
        restated += [(second, closed.revision) for closed in await world.close()]
        world.clock.pass_(seconds=3)
    assert restated == [(300, 2)]


async def test_changes_that_arrive_while_a_day_is_being_closed_restate_it(world: World) -> None:
    await world.checkpoint(world.clock.now, 100, ages(1, 100))
    world.clock.now = at("2025-01-11T00:01:00")
    results = world.closer._results

    async def results_then_more(connection: object, day: object) -> object:
        found = await results(connection, day)  # type: ignore[arg-type]
        await world.checkpoint(at("2025-01-10T23:00"), 5, ages(2, 5))
        return found

    world.closer._results = results_then_more  # type: ignore[assignment,method-assign]
    assert [closed.revision for closed in await world.close()] == [1]
    world.closer._results = results  # type: ignore[method-assign]
    assert (await world.metric("2025-01-10"))["requests"] == 100
    await world.roll()
    world.clock.pass_(seconds=6)
    assert [closed.revision for closed in await world.close()] == [2]
    assert (await world.metric("2025-01-10"))["requests"] == 105


async def test_a_stopped_partition_holds_a_day_back_for_a_while_and_is_then_named(world: World) -> None:
    await world.checkpoint(world.clock.now, 100, ages(1, 100))
    world.produce(shard=2, records=3)
    await world.connection.execute(
        """update ml_guard.stream_fence set stopped_reason = 'retention passed it' where "partition" = 2"""
    )
    world.clock.now = at("2025-01-11T00:01:00")
    assert await world.close() == []
    world.clock.pass_(seconds=3599)
    assert await world.close() == []
    world.clock.pass_(seconds=1)
    [closed] = await world.close()
    assert closed.blocked == (2,)
    day = await world.day_close("2025-01-10")
    assert (day["complete"], day["blocked_partitions"]) == (False, [2])
    assert (await world.metric("2025-01-10"))["complete"] is False
    assert await world.close() == []

    await world.pass_fence(2)  # it goes on: the day is whole
    [closed] = await world.close()
    assert (closed.revision, closed.blocked) == (2, ())
    assert (await world.metric("2025-01-10"))["complete"] is True


async def test_a_loss_that_was_accepted_holds_no_day_back(world: World) -> None:
    await world.checkpoint(world.clock.now, 100, ages(1, 100))
    world.produce(shard=2, records=50)
    world.clock.now = at("2025-01-11T00:01:00")
    assert await world.close() == []
    assert await rewrite_barriers(world.connection, 2, 0) == 1
    assert [closed.revision for closed in await world.close()] == [1]


@pytest.mark.parametrize("page", [200, 7])
async def test_a_backfill_of_a_past_year_closes_its_days_promptly_and_in_order(
    world: World, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few of them are read at once, and though some passes found them not quiet yet."""
    monkeypatch.setattr("stream.closing.close.DAYS_A_PAGE", page)
    days = [at("2024-01-10T12:00") + timedelta(days=day) for day in range(40)]
    for day in reversed(days):
        await world.checkpoint(day, 3, ages(1, 3))
    await world.roll()
    for _ in range(3):
        assert await world.close() == []
    world.clock.pass_(seconds=5)
    closed = await world.close()
    assert [done.day.day for done in closed] == [day.date() for day in days]
    assert {done.revision for done in closed} == {1}


async def test_without_end_offsets_days_stay_open_and_nothing_else_happens(world: World) -> None:
    await world.checkpoint(world.clock.now, 100, ages(1, 100))
    world.clock.now = at("2025-01-11T00:01:00")

    async def unreachable() -> dict[int, int]:
        raise ConnectionError("no broker")

    world.closer.end_offsets, reachable = unreachable, world.closer.end_offsets
    assert await world.close() == []
    world.closer.end_offsets = reachable
    assert [closed.revision for closed in await world.close()] == [1]


async def test_a_reader_never_sees_half_a_day(world: World) -> None:
    for model in ("a", "b", "c", "d"):
        for shard in (0, 1):
            await world.checkpoint(world.clock.now, 20, ages(1, 20), model=model, shard=shard)
    await world.roll()
    world.clock.now = at("2025-01-11T00:01:00")
    seen: list[tuple[int, int, int, int]] = []
    done = asyncio.Event()

    async def poll() -> None:
        async with world.pool.acquire() as reader:
            while not done.is_set() or not seen:
                row = await reader.fetchrow(
                    """select (select max(revision) from ml_guard.day_close) as day,
                              (select count(*) from ml_guard.metric_day where status = 'final') as metrics,
                              (select count(*) from ml_guard.feature_day where status = 'final') as features,
                              (select count(*) from ml_guard.day_change) as changes"""
                )
                seen.append(tuple(row))
                await asyncio.sleep(0)

    reading = asyncio.create_task(poll())
    while not seen:
        await asyncio.sleep(0.001)
    await world.close()
    done.set()
    await reading
    assert {row[:3] for row in seen} <= {(0, 0, 0), (1, 4, 4)}
    assert seen[0][0] == 0


async def test_after_a_change_of_zone_two_days_of_one_date_close_on_their_own(world: World) -> None:
    world.calendar = Calendar(
        [(EARLIEST_US, "Asia/Tokyo"), (to_us(at("2025-01-10T00:00")), "UTC")]  # Tokyo's 10th is cut at 9 a.m.
    )
    await world.checkpoint(at("2025-01-09T18:00"), 10, ages(1, 10))
    await world.checkpoint(at("2025-01-10T12:00"), 20, ages(2, 20))
    await world.roll()
    rows = await world.connection.fetch(
        "select day, zone, requests, status from ml_guard.metric_day order by day_start"
    )
    assert [(row["day"].isoformat(), row["zone"], row["requests"]) for row in rows] == [
        ("2025-01-10", "Asia/Tokyo", 10),
        ("2025-01-10", "UTC", 20),
    ]
    world.clock.pass_(seconds=5)
    assert [closed.day.zone for closed in await world.close()] == ["Asia/Tokyo"]
    world.clock.now = at("2025-01-11T00:01:00")
    assert [closed.day.zone for closed in await world.close()] == ["UTC"]
    captured = await world.capture("2025-01-10")
    assert (captured.events, len(captured.day_starts)) == (30, 2)
