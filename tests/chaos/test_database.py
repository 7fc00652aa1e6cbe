"""The database is away, slow, out of room, or does not answer a COMMIT: nothing is lost, nothing counted twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bench.events import PROJECTS, make_projects, produce
from bench.fleet import Fleet
from stream.archive.loading import restore
from stream.archive.taking import take
from stream.migrate import migrate
from tests.chaos.full_disk import CappedDatabase
from tests.chaos.lasting import lasting
from tests.chaos.proxy import Proxy
from tests.chaos.site import check, epochs, through, until
from tests.upgrade.test_archives import lose

pytestmark = [pytest.mark.stack, pytest.mark.timeout(lasting(400, 1_500))]
COMMIT = b"COMMIT;"


def behind(fleet: Fleet, proxy: Proxy) -> dict[str, str]:
    """What makes a worker reach the database through the proxy."""
    return {"ML_GUARD_DATABASE_URL": through(fleet.database_url, proxy)}


async def test_a_lost_reply_to_commit_counts_nothing_twice(fleet: Fleet, database_proxy: Proxy) -> None:
    worker = fleet.start(**behind(fleet, database_proxy))
    await fleet.reading()
    database_proxy.lose_reply(COMMIT, times=4)
    await produce(fleet.kafka, fleet.topic, range(4_000), rate=2_000)
    await fleet.drained()
    assert database_proxy.lost_replies >= 2
    assert fleet.terminate(worker) == 0
    await check(fleet.database_url, range(4_000))


@pytest.mark.chaos
async def test_a_database_that_is_lost_and_restored_under_its_workers_counts_as_if_it_had_never_been(
    fleet: Fleet, tmp_path: Path
) -> None:
    """Two partitions have events meanwhile and find out by their checkpoints, two have none and must find out too."""
    workers = [fleet.start(), fleet.start()]
    await produce(fleet.kafka, fleet.topic, range(2_000))
    await fleet.drained()
    await take(fleet.database_url, tmp_path / "backup.zip")
    await produce(fleet.kafka, fleet.topic, range(2_000, 4_000))
    await fleet.drained()
    await check(fleet.database_url, range(4_000))
    before = await epochs(fleet)
    await lose(fleet.database_url)
    await produce(fleet.kafka, fleet.topic, range(4_000, 5_000), partitions=2)
    assert [worker.poll() for worker in workers] == [None, None]
    await restore(fleet.database_url, tmp_path / "backup.zip")
    await fleet.drained()
    await check(fleet.database_url, range(5_000))
    assert await epochs(fleet) != before
    assert [fleet.terminate(worker) for worker in workers] == [0, 0]


@pytest.mark.chaos
async def test_a_database_that_is_gone_for_minutes_is_waited_for(fleet: Fleet, database_proxy: Proxy) -> None:
    gone_s = lasting(15, 600)
    worker = fleet.start(**behind(fleet, database_proxy))
    events = int((gone_s + 6) * 500)
    producing = asyncio.ensure_future(produce(fleet.kafka, fleet.topic, range(events), rate=500))
    await until(lambda: _moved(fleet), "some is written")
    with database_proxy.gone():
        stood = await fleet.fences()
        await asyncio.sleep(gone_s)
        assert await fleet.fences() == stood
        assert worker.poll() is None
    await producing
    await fleet.drained(wait_s=180)
    assert database_proxy.cuts >= 1
    assert database_proxy.refused >= 3
    assert fleet.terminate(worker) == 0
    await check(fleet.database_url, range(events))


async def _moved(fleet: Fleet) -> bool:
    return any((await fleet.fences()).values())


@pytest.mark.chaos
async def test_a_database_that_takes_seconds_for_a_transaction_delays_and_changes_nothing(
    fleet: Fleet, database_proxy: Proxy
) -> None:
    """At a rate at which a partition folds while it waits for its COMMIT."""
    transaction_s, rounds = lasting(0.7, 2.0), int(lasting(6, 40))
    worker = fleet.start(**behind(fleet, database_proxy))
    await fleet.reading()
    database_proxy.slow(COMMIT, transaction_s)
    events = rounds * 4_000
    await produce(fleet.kafka, fleet.topic, range(events), rate=4_000 / transaction_s)
    await fleet.drained(wait_s=lasting(150, 900))
    assert worker.poll() is None
    assert database_proxy.delayed >= rounds
    database_proxy.slow(COMMIT, 0)
    assert fleet.terminate(worker) == 0
    await check(fleet.database_url, range(events))


@pytest.mark.chaos
async def test_connections_cut_at_any_byte_of_a_checkpoint_leave_it_whole_or_undone(
    fleet: Fleet, database_proxy: Proxy
) -> None:
    worker = fleet.start(**behind(fleet, database_proxy))
    await fleet.reading()
    cuts = int(lasting(10, 60))
    events = cuts * 600
    producing = asyncio.ensure_future(produce(fleet.kafka, fleet.topic, range(events), rate=1_000))
    for number in range(cuts):
        before = database_proxy.cuts
        database_proxy.cut_behind(7_000 + number * 3_331 % 40_000)
        await until(lambda before=before: database_proxy.cuts > before, "cut")
    await producing
    await fleet.drained()
    assert fleet.terminate(worker) == 0
    await check(fleet.database_url, range(events))


@pytest.mark.chaos
async def test_a_database_whose_disk_is_full_goes_on_when_there_is_room_again(
    kafka: str, topic: str, tmp_path: Path
) -> None:
    with CappedDatabase(tmp_path) as database:
        await migrate(database.url)
        await make_projects(database.url, PROJECTS)
        with Fleet(kafka, database.url, topic, tmp_path / "workers") as fleet:
            worker = fleet.start()
            await produce(kafka, topic, range(1_000))
            await fleet.drained()
            database.fill()
            await produce(kafka, topic, range(1_000, 20_000))
            await until(
                lambda: database.full() or "DiskFullError" in fleet.log_of(worker), "no space is left"
            )
            database.make_room()
            await fleet.drained(wait_s=120, meanwhile=database.supervise)
        await check(database.url, range(20_000))
