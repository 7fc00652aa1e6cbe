"""Two transactions really meet, each in a backend of its own: the fence, the seen batches and the lease decide."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import pytest

from bench.events import PROJECTS, make_projects, produce
from bench.fleet import Fleet
from stream.closing import close
from stream.ingest.failpoints import VARIABLE
from stream.store import batches, deletion, fence
from stream.store.baselines import Baseline, insert_baseline, lock_model
from stream.store.lease import CLOSER, Lease, LeaseLostError, take
from stream.store.pool import Connection, connect
from stream.store.purge import purge_day
from tests.chaos.native import Native
from tests.chaos.site import check, until, value
from tests.chaos.test_workers import frozen, wake
from tests.closing.world import World, at
from tests.ingest.conftest import NOW, Bench, FakeLogs, MakeBench, batch, benches, event

WAITING = (
    "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
)
MODELS = 12


@pytest.fixture
async def native_url(native: Native) -> str:
    return await native.database()


@pytest.fixture
async def make_bench(native_url: str) -> AsyncIterator[MakeBench]:
    async with benches(native_url) as make:
        yield make


async def waits(url: str) -> None:
    """Until a transaction waits for a lock of another."""

    async def waiting() -> bool:
        return bool(await value(url, WAITING))

    await until(waiting, "one waits for the other", 20)


async def test_of_two_first_claims_with_two_topics_one_waits_for_the_other_and_is_refused(
    make_bench: MakeBench, native_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one: Bench = await make_bench()
    other: Bench = await make_bench(topic="other")
    inside, go_on, claim = asyncio.Event(), asyncio.Event(), fence.claim

    async def held(*arguments: Any, **named: Any) -> Any:
        found = await claim(*arguments, **named)
        inside.set()
        await go_on.wait()
        return found

    monkeypatch.setattr(fence, "claim", held)
    first = asyncio.ensure_future(one.claim())
    await inside.wait()
    second = asyncio.ensure_future(other.claim())
    try:
        await waits(native_url)
    finally:
        go_on.set()
        places = await first
    assert set(places.values()) == {0}
    assert set((await second).values()) == {None}
    assert "ML_GUARD_TOPIC is other" in str(other.ingestion.claims.refused)
    assert await one.value("select count(distinct topic) from ml_guard.stream_fence") == 1


async def test_a_claim_that_meets_a_checkpoint_waits_for_it_and_reads_on_behind(
    make_bench: MakeBench, native_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = FakeLogs()
    before: Bench = await make_bench(logs)
    heir: Bench = await make_bench(logs)
    logs.append(0, *[event() for _ in range(10)])
    await before.claim(0)
    await before.read(0)
    inside, go_on, note_seen = asyncio.Event(), asyncio.Event(), batches.note_seen

    async def held(connection: Connection, seen: object) -> None:
        inside.set()
        await go_on.wait()
        await note_seen(connection, seen)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(batches, "note_seen", held)
        checkpoint = asyncio.ensure_future(before.checkpoint(0))
        await inside.wait()
        claim = asyncio.ensure_future(heir.claim(0))
        await waits(native_url)
        go_on.set()
        assert await checkpoint == [True]
        assert await claim == {0: 10}
    before.broker.own = set()
    logs.append(0, *[event() for _ in range(5)])
    await before.read(0)
    assert await before.checkpoint(0) == [False]
    await heir.read(0)
    assert await heir.checkpoint(0) == [True]
    assert await heir.events() == 15


async def test_a_checkpoint_that_meets_a_claim_waits_for_it_and_is_refused(
    make_bench: MakeBench, native_url: str
) -> None:
    logs = FakeLogs()
    zombie: Bench = await make_bench(logs)
    heir: Bench = await make_bench(logs)
    logs.append(0, *[event() for _ in range(10)])
    await zombie.claim(0)
    await zombie.read(0)
    zombie.broker.own = set()
    connection = await asyncpg.connect(native_url)
    try:
        async with connection.transaction():
            await connection.execute(
                'update ml_guard.stream_fence set epoch = epoch + 1 where "partition" = 0'
            )
            checkpoint = asyncio.ensure_future(zombie.checkpoint(0))
            await waits(native_url)
        assert await checkpoint == [False]
    finally:
        await connection.close()
    await heir.claim(0)
    await heir.read(0)
    assert await heir.checkpoint(0) == [True]
    assert await heir.events() == 10


@pytest.mark.parametrize("removal", ["purge", "deletion"])
async def test_a_removal_that_meets_a_checkpoint_waits_for_it_and_removes_what_it_wrote(
    make_bench: MakeBench, native_url: str, monkeypatch: pytest.MonkeyPatch, removal: str
) -> None:
    worker: Bench = await make_bench()
    await worker.claim(0)
    worker.logs.append(0, *[event() for _ in range(10)])
    await worker.read(0)
    assert await worker.checkpoint(0) == [True]
    worker.logs.append(0, *[event() for _ in range(5)])
    await worker.read(0)
    inside, go_on, require = asyncio.Event(), asyncio.Event(), deletion.require_projects

    async def held(connection: Connection, *wanted: Any) -> None:
        inside.set()  # it has its fence, and not its project yet
        await go_on.wait()
        await require(connection, *wanted)

    with monkeypatch.context() as patch:
        patch.setattr(deletion, "require_projects", held)
        checkpoint = asyncio.ensure_future(worker.checkpoint(0))
        await inside.wait()
        async with worker.pool.acquire() as connection:
            if removal == "purge":
                removing: asyncio.Future[Any] = asyncio.ensure_future(
                    purge_day(
                        connection, "p", "m", None, NOW.date(), forget_batches=False, purged_by="k", kafka={}
                    )
                )
            else:
                removing = asyncio.ensure_future(
                    deletion.delete_project(connection, "p", deleted_by="k", topics={})
                )
            await waits(native_url)
            go_on.set()
            assert await checkpoint == [True]
            assert await removing is not None
    worker.logs.append(0, event())
    await worker.read(0)
    assert await worker.checkpoint(0) == [False], "what it held in memory came back"
    assert await worker.events() == 0
    assert await worker.value("select coalesce(sum(deleted), 0)::bigint from ml_guard.ledger_day") == (
        15 if removal == "purge" else 0
    )
    assert await worker.value("select count(*) from ml_guard.ledger_days where not balanced") == 0


async def test_a_deletion_that_meets_a_capture_waits_for_it_and_removes_its_baseline(
    make_bench: MakeBench, native_url: str
) -> None:
    worker: Bench = await make_bench()
    await worker.claim(0)
    worker.logs.append(0, event())
    await worker.read(0)
    assert await worker.checkpoint(0) == [True]
    baseline = Baseline("p", "m", "predict", None, True, (), (), None, None, 0)
    capturing = await asyncpg.connect(native_url)
    async with worker.pool.acquire() as connection:
        try:
            async with capturing.transaction():
                assert await lock_model(capturing, "p", "m", "predict")
                deleting = asyncio.ensure_future(
                    deletion.delete_project(connection, "p", deleted_by="k", topics={})
                )
                await waits(native_url)
                assert (await insert_baseline(capturing, baseline, [])).version == 1
            receipt = await deleting
        finally:
            await capturing.close()
    assert receipt is not None
    assert receipt.rows["baseline"] == 1
    assert await worker.value("select count(*) from ml_guard.baseline") == 0


async def test_one_batch_in_two_partitions_whose_checkpoints_meet_counts_once(
    make_bench: MakeBench, native_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = FakeLogs()
    workers: list[Bench] = [await make_bench(logs) for _ in range(2)]
    inside, noted, note_seen = asyncio.Event(), asyncio.Event(), batches.note_seen

    async def held(connection: Connection, seen: object) -> None:
        first = not inside.is_set()
        inside.set()
        await note_seen(connection, seen)  # type: ignore[arg-type]
        if first:
            await noted.wait()

    for number, worker in enumerate(workers):
        logs.append(number, batch(event(), event(), batch_id="b"), *[event()] * (number + 1))
        await worker.claim(number)
        await worker.read(number)
        partition = worker.ingestion.claims.partitions[number]
        async with partition.folding:
            await worker.ingestion.folder.fold(partition)  # neither has seen the other's
    with monkeypatch.context() as patch:
        patch.setattr(batches, "note_seen", held)
        first = asyncio.ensure_future(workers[0].checkpoint(0))
        await inside.wait()
        second = asyncio.ensure_future(workers[1].checkpoint(1))
        await waits(native_url)
        noted.set()
        assert (await first, await second) == ([True], [False])
    await workers[1].settle()
    await workers[1].read(1)
    assert await workers[1].checkpoint(1) == [True]
    assert await workers[0].events() == 2 + 1 + 2
    for _project, decoded, dead, duplicate in await workers[0].ledger():
        assert decoded == await workers[0].events() + dead + duplicate


async def test_a_lease_is_not_taken_from_a_closer_inside_its_transaction_and_its_day_closes_once(
    native_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = await connect(native_url, size=5)
    try:
        world = await World.begin(pool, at("2025-01-10T12:00"))
        await world.checkpoint(world.clock.now, 10, {"age": np.arange(10.0)})
        world.clock.now = at("2025-01-11T00:01:00")
        old, inside, go_on, real = world.lease, asyncio.Event(), asyncio.Event(), close.fence
        fences = 0

        async def held(connection: Connection, lease: Lease) -> None:
            nonlocal fences
            await real(connection, lease)
            fences += 1
            if fences == 2:  # the first notes the barrier, the second closes
                inside.set()
                await go_on.wait()

        with monkeypatch.context() as patch:
            patch.setattr(close, "fence", held)
            closing = asyncio.ensure_future(world.closer.step(world.connection, old))
            await inside.wait()
            async with pool.acquire() as other:
                await _expire(other, native_url, go_on)
                assert [done.revision for done in await closing] == [1]
                new = await take(other, CLOSER, "another", timedelta(hours=1))
                assert new is not None
                assert await world.new_closer(set()).step(other, new) == []
        with pytest.raises(LeaseLostError):
            async with world.connection.transaction():
                await real(world.connection, old)
        assert (await world.day_close("2025-01-10"))["revision"] == 1
        world.executor.shutdown()
    finally:
        pool.terminate()


async def _expire(connection: Connection, url: str, go_on: asyncio.Event) -> None:
    """Let the lease expire, which has to wait for the closer's transaction."""
    expiring = asyncio.ensure_future(
        connection.execute("update ml_guard.lease set expires_at = '-infinity' where name = $1", CLOSER)
    )
    await waits(url)
    go_on.set()
    await expiring


async def test_workers_that_write_the_same_models_days_and_batches_at_once_count_exactly(
    make_bench: MakeBench, native_url: str
) -> None:
    chance = random.Random(5)
    logs = FakeLogs()
    workers: list[Bench] = [await make_bench(logs) for _ in range(4)]
    for number, worker in enumerate(workers):
        await worker.claim(number)
    sent = unique = refused = 0
    for turn in range(8):
        for number in range(4):
            records = [
                event(model_id=f"m{chance.randrange(MODELS)}", features={"a": float(i)}) for i in range(40)
            ]
            shared = [
                batch(event(model_id=f"m{k}"), event(model_id=f"m{k}"), batch_id=f"{turn}-{k}")
                for k in range(5)
            ]
            chance.shuffle(records)
            chance.shuffle(shared)
            logs.append(number, *records, *shared)
            sent += len(records)
        unique += 2 * 5
        behind = list(range(4))
        while behind:
            for number in behind:
                await workers[number].read(number)
            written = await asyncio.gather(*(workers[number].checkpoint(number) for number in behind))
            behind = [number for number, [done] in zip(behind, written, strict=True) if not done]
            refused += len(behind)
            for number in behind:
                await workers[number].settle()
    assert await workers[0].events() == sent + unique
    assert (
        await value(native_url, "select sum(requests)::bigint from ml_guard.traffic_minute") == sent + unique
    )
    ((_, decoded, dead, duplicate),) = await workers[0].ledger()
    assert (decoded, dead, duplicate) == (sent + 4 * unique, 0, 3 * unique)
    assert refused > 0, "no two of them met"


@pytest.mark.chaos
@pytest.mark.stack
@pytest.mark.timeout(400)
async def test_a_worker_frozen_inside_its_transaction_loses_it_and_its_successor_goes_on(
    kafka: str, topic: str, native_url: str, tmp_path: Path
) -> None:
    await make_projects(native_url, PROJECTS)
    with Fleet(kafka, native_url, topic, tmp_path) as fleet:
        zombie = fleet.start(**{VARIABLE: "before_database_commit:1:freeze"})
        heir = fleet.start()

        async def shared() -> bool:
            owners = "select count(distinct owner) from ml_guard.stream_fence"
            return int(await value(native_url, owners)) == 2

        await until(shared, "both have partitions")
        await produce(kafka, topic, range(2_000))
        await until(lambda: frozen(zombie), "frozen")
        held = "select count(*) from pg_stat_activity where datname = current_database() and state = 'idle in transaction'"
        assert await value(native_url, held) >= 1
        await waits(native_url)
        await fleet.drained(wait_s=90)
        await check(native_url, range(2_000))
        wake(zombie)
        await until(lambda: "its checkpoint failed" in fleet.log_of(zombie), "its transaction was ended")
        await produce(kafka, topic, range(2_000, 4_000))
        await fleet.drained()
        for process in (zombie, heir):
            assert fleet.terminate(process) == 0
    await check(native_url, range(4_000))
