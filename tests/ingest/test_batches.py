"""A client's retry of a batch is recognised for seven days, wherever and whenever it arrives."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from stream.closing.housekeeping import forget_old_batches
from tests.ingest.conftest import NOW, Bench, FakeLogs, MakeBench, add_project, batch, event

BATCH = batch(event(), event(), event(latency_ms=-1), batch_id="b-1")


async def test_a_retry_in_the_same_fetch_is_counted_once(worker: Bench) -> None:
    worker.logs.append(0, BATCH, BATCH, event(), BATCH)
    await worker.read(0)
    await worker.checkpoint(0)
    assert await worker.events() == 3
    assert await worker.ledger() == [("p", 10, 1, 6)]
    assert len(worker.dead.letters) == 1
    fence = (await worker.fetch("select * from ml_guard.stream_fence where partition = 0"))[0]
    assert (fence["records_decoded"], fence["records_duplicate"], fence["next_offset"]) == (2, 2, 4)


async def test_a_retry_before_and_after_a_checkpoint_is_counted_once(worker: Bench) -> None:
    for _ in range(3):
        worker.logs.append(0, BATCH)
        epoch = worker.ingestion.claims.partitions[0].epoch
        at = worker.ingestion.claims.partitions[0].next_offset
        await worker.ingestion.take(worker.logs.batch(0, epoch, at))
    await worker.checkpoint(0)
    worker.logs.append(0, BATCH)
    await worker.read(0)
    await worker.checkpoint(0)
    assert await worker.events() == 2


async def test_a_retry_in_another_partition_after_its_checkpoint_is_counted_once(worker: Bench) -> None:
    worker.logs.append(0, BATCH)
    worker.logs.append(1, BATCH)
    await worker.read(0)
    await worker.checkpoint(0)
    await worker.read(1)
    await worker.checkpoint(1)
    assert await worker.events() == 2


async def test_the_same_batch_in_two_partitions_at_once_is_counted_once(make_bench: MakeBench) -> None:
    logs = FakeLogs()
    logs.append(0, BATCH, event())
    logs.append(1, BATCH, event(), event())
    one: Bench = await make_bench(logs)
    other: Bench = await make_bench(logs)
    await one.claim(0)
    await other.claim(1)
    await one.read(0)
    await other.read(1)
    for worker, number in ((one, 0), (other, 1)):
        partition = worker.ingestion.claims.partitions[number]
        async with partition.folding:
            await worker.ingestion.folder.fold(partition)  # neither has seen the other's
    written = await asyncio.gather(one.checkpoint(0), other.checkpoint(1))
    assert sorted(written) == [[False], [True]]
    loser, number = (one, 0) if written[0] == [False] else (other, 1)
    await loser.settle()
    await loser.read(number)
    await loser.checkpoint(number)
    assert await one.events() == 2 + 3
    for _project, decoded, dead, duplicate in await one.ledger():
        assert decoded == await one.events() + dead + duplicate


async def test_parts_of_one_batch_are_not_each_other(worker: Bench) -> None:
    worker.logs.append(0, *[batch(event(), batch_id="b", part=part) for part in range(3)])
    await worker.read(0)
    await worker.checkpoint(0)
    assert await worker.events() == 3


async def test_the_batch_id_of_another_project_is_another(worker: Bench) -> None:
    await add_project(worker.pool, "q")
    worker.logs.append(0, batch(event(), batch_id="b"))
    worker.logs.append(0, batch(event(project_id="q"), batch_id="b", project_id="q"))
    await worker.read(0)
    await worker.checkpoint(0)
    assert (await worker.events("p"), await worker.events("q")) == (1, 1)


async def test_a_retry_is_recognised_after_six_days_and_not_after_eight(make_bench: MakeBench) -> None:
    worker: Bench = await make_bench()
    await worker.claim(0)
    for days, events in ((0, 2), (6, 2), (8, 4), (14, 4)):
        worker.logs.append(0, BATCH, at=NOW + timedelta(days=days))
        await worker.read(0)
        assert await worker.checkpoint(0) == [True]
        assert await worker.events() == events


@pytest.mark.parametrize("read_after", [timedelta(hours=-1), timedelta(hours=1), timedelta(days=8)])
async def test_a_retry_in_a_partition_that_is_behind_counts_once_whatever_the_clock_says(
    make_bench: MakeBench, read_after: timedelta
) -> None:
    """The retry came within 7 days; it is read later, or the clock is wrong, and old batches were tidied away before."""
    worker: Bench = await make_bench()
    await worker.claim(0, 1)
    retried = NOW + timedelta(days=6, hours=23)
    worker.logs.append(0, BATCH, at=NOW)
    worker.logs.append(0, batch(event(), batch_id="meanwhile"), at=retried)
    worker.logs.append(1, BATCH, at=retried)
    await worker.read(0)
    await worker.checkpoint(0)
    async with worker.pool.acquire() as connection:
        await forget_old_batches(connection, NOW + timedelta(days=7) + read_after)
    await worker.read(1)
    await worker.checkpoint(1)
    assert await worker.events() == 2 + 1
    assert await worker.ledger() == [("p", 3 + 1 + 3, 1, 3)]


async def test_batches_without_an_id_are_not_deduplicated(worker: Bench) -> None:
    worker.logs.append(0, batch(event()), batch(event()))
    await worker.read(0)
    await worker.checkpoint(0)
    assert await worker.events() == 2


async def test_events_with_an_id_are_deduplicated_where_the_project_says_so(worker: Bench) -> None:
    await add_project(worker.pool, "careful", by_event_id=True)
    for project in ("p", "careful"):
        one = event(project_id=project, event_id="e-1")
        worker.logs.append(0, one, one, event(project_id=project, event_id="e-2"), event(project_id=project))
    await worker.read(0)
    await worker.checkpoint(0)
    worker.logs.append(0, event(project_id="careful", event_id="e-2"))
    await worker.read(0)
    await worker.checkpoint(0)
    assert (await worker.events("p"), await worker.events("careful")) == (4, 3)


async def test_an_event_that_was_buried_can_be_sent_again_with_its_id(worker: Bench) -> None:
    await add_project(worker.pool, "careful", by_event_id=True)
    worker.logs.append(0, event(project_id="careful", event_id="e", timestamp="2025-06-09T00:00:00Z"))
    await worker.read(0)
    await worker.checkpoint(0)
    assert len(worker.dead.letters) == 1
    worker.logs.append(0, event(project_id="careful", event_id="e"))
    await worker.read(0)
    await worker.checkpoint(0)
    assert await worker.events("careful") == 1
