"""Two closers at once: one leads, and what the other writes is refused."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from stream.closing.lease import LeaseKeeper
from stream.store.lease import CLOSER, LeaseLostError, fence, take
from tests.closing.world import World, at


async def test_two_closers_that_both_believe_to_lead_close_a_day_once(world: World) -> None:
    await world.checkpoint(world.clock.now, 10, {"age": np.arange(10.0)})
    world.clock.now = at("2025-01-11T00:01:00")
    old = world.lease
    await world.connection.execute("update ml_guard.lease set expires_at = '-infinity'")
    new = await take(world.connection, CLOSER, "another", timedelta(hours=1))
    assert new is not None
    assert new.epoch == old.epoch + 1
    with pytest.raises(LeaseLostError):
        await world.closer.step(world.connection, old)
    with pytest.raises(LeaseLostError):
        await world.roller.step(world.connection, old)
    assert (await world.day_close("2025-01-10"))["revision"] == 0
    closed = await world.new_closer(set()).step(world.connection, new)
    assert [done.revision for done in closed] == [1]
    with pytest.raises(LeaseLostError):
        async with world.connection.transaction():
            await fence(world.connection, old)


async def test_a_closer_that_lost_the_lease_between_reading_and_writing_writes_nothing(world: World) -> None:
    await world.checkpoint(world.clock.now, 10, {"age": np.arange(10.0)})
    world.clock.now = at("2025-01-11T00:01:00")
    results = world.closer._results

    async def results_and_takeover(connection: object, day: object) -> object:
        found = await results(connection, day)  # type: ignore[arg-type]
        await world.connection.execute("update ml_guard.lease set expires_at = '-infinity'")
        assert await take(world.connection, CLOSER, "another", timedelta(hours=1)) is not None
        return found

    world.closer._results = results_and_takeover  # type: ignore[assignment,method-assign]
    with pytest.raises(LeaseLostError):
        await world.close()
    assert (await world.day_close("2025-01-10"))["revision"] == 0
    assert await world.connection.fetchval("select count(*) from ml_guard.metric_day") == 0


async def test_a_rollup_that_was_calculated_before_the_close_does_not_overwrite_it(world: World) -> None:
    await world.checkpoint(world.clock.now, 10, {"age": np.arange(10.0)})
    work = await world.roller._read(world.connection)
    stale = [calculation.result() for calculation in work.calculations]
    await world.checkpoint(world.clock.now, 5, {"age": np.arange(5.0)})
    world.clock.now = at("2025-01-11T00:01:00")
    assert len(await world.close()) == 1
    await world.roller._write(world.connection, world.lease, work, stale)
    metric = await world.metric("2025-01-10")
    assert (metric["revision"], metric["requests"]) == (1, 15)
    assert (await world.day_close("2025-01-10"))["reopened_at"] is None


async def test_an_expired_lease_is_taken_over_and_its_old_holder_notices(world: World) -> None:
    await world.connection.execute("update ml_guard.lease set expires_at = '-infinity'")
    seconds = 0.0
    first = LeaseKeeper("first", elapsed_s=lambda: seconds)
    second = LeaseKeeper("second", elapsed_s=lambda: seconds)
    lease = await first.keep(world.connection)
    assert lease is not None
    assert await second.keep(world.connection) is None
    await world.connection.execute("update ml_guard.lease set expires_at = '-infinity'")
    taken = await second.keep(world.connection)
    assert taken is not None
    assert taken.epoch == lease.epoch + 1
    seconds = 10.0  # time to renew
    assert await first.keep(world.connection) is None
    assert await second.keep(world.connection) == taken


async def test_a_lease_that_stands_still_is_taken_over_even_if_the_databases_clock_jumped(
    world: World,
) -> None:
    await world.connection.execute("update ml_guard.lease set expires_at = now() + interval '1 hour'")
    seconds = 0.0
    keeper = LeaseKeeper("patient", elapsed_s=lambda: seconds)
    assert await keeper.keep(world.connection) is None
    seconds = 4.9
    assert await keeper.keep(world.connection) is None
    seconds = 5.1
    assert await keeper.keep(world.connection) is not None


async def test_a_lease_that_is_given_back_is_free_at_once(world: World) -> None:
    await world.connection.execute("update ml_guard.lease set expires_at = '-infinity'")
    first, second = LeaseKeeper("first"), LeaseKeeper("second")
    assert await first.keep(world.connection) is not None
    await first.give_back(world.connection)
    assert first.lease is None
    assert await second.keep(world.connection) is not None
