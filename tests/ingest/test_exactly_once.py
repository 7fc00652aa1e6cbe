"""Each record is counted once, whoever claims the partition and whatever fails in between."""

from __future__ import annotations

import asyncpg
import pytest

from stream.ingest import folding
from stream.store import fence, state
from tests.ingest.conftest import Bench, FakeBroker, FakeLogs, MakeBench, event


async def test_the_fence_refuses_a_worker_that_has_lost_its_partition(make_bench: MakeBench) -> None:
    logs = FakeLogs()
    zombie: Bench = await make_bench(logs)
    heir: Bench = await make_bench(logs)
    logs.append(0, *[event() for _ in range(10)])
    await zombie.claim(0)
    await zombie.read(0)
    await heir.claim(0)
    zombie.broker.own = set()
    assert await zombie.checkpoint(0) == [False]
    assert await heir.events() == 0
    assert 0 not in zombie.ingestion.claims.partitions

    await heir.read(0)
    assert await heir.checkpoint(0) == [True]
    assert await heir.events() == 10


async def test_a_worker_goes_on_where_the_one_before_stopped(make_bench: MakeBench) -> None:
    logs = FakeLogs()
    logs.append(0, *[event(features={"a": float(i)}) for i in range(1000)])
    for hi in (400, 700, 1000):
        worker: Bench = await make_bench(logs)
        await worker.claim(0)
        await worker.read(0, hi=hi)
        await worker.checkpoint(0)
        await worker.read(0)  # never written: it is read again by the next one
    row = (
        await worker.fetch("select n, mean, minimum, maximum from ml_guard.day_sketch where feature = 'a'")
    )[0]
    assert tuple(row) == (1000, pytest.approx(499.5), 0.0, 999.0)
    assert await worker.events() == 1000


async def test_batches_of_an_earlier_claim_are_thrown_away(worker: Bench) -> None:
    worker.logs.append(0, *[event() for _ in range(5)])
    old = worker.logs.batch(0, worker.ingestion.claims.partitions[0].epoch, 0)
    await worker.claim(0)
    await worker.ingestion.take(old)
    assert worker.ingestion.claims.partitions[0].next_offset == 0
    await worker.read(0)
    await worker.checkpoint(0)
    assert await worker.events() == 5


async def test_a_partition_that_leaves_and_comes_back_to_the_same_worker_is_not_taken_from_its_memory(
    make_bench: MakeBench,
) -> None:
    logs = FakeLogs()
    one: Bench = await make_bench(logs)
    other: Bench = await make_bench(logs)
    await one.claim(0)
    logs.append(0, *[event(features={"a": float(i)}) for i in range(10)])
    await one.read(0)
    await one.checkpoint(0)
    logs.append(0, *[event(features={"a": float(i)}) for i in range(10, 20)])
    await one.read(0)  # folded at the latest by a checkpoint that never comes: its session expires
    await other.claim(0)
    for first in (20, 30):
        await other.read(0)
        await other.checkpoint(0)
        logs.append(0, *[event(features={"a": float(i)}) for i in range(first, first + 10)])
    assert await one.claim(0) == {0: 30}
    await one.read(0)
    assert await one.checkpoint(0) == [True]
    row = (await one.fetch("select n, mean, maximum from ml_guard.day_sketch where feature = 'a'"))[0]
    assert tuple(row) == (40, pytest.approx(19.5), 39.0)
    assert await one.ledger() == [("p", 40, 0, 0)]
    assert await one.value('select epoch from ml_guard.stream_fence where "partition" = 0') == 3


async def test_records_that_come_again_are_not_folded_again(worker: Bench) -> None:
    worker.logs.append(0, *[event() for _ in range(10)])
    epoch = worker.ingestion.claims.partitions[0].epoch
    await worker.ingestion.take(worker.logs.batch(0, epoch, 0, 6))
    await worker.ingestion.take(worker.logs.batch(0, epoch, 0, 6))
    await worker.ingestion.take(worker.logs.batch(0, epoch, 3, 10))
    await worker.checkpoint(0)
    assert await worker.events() == 10


async def test_a_hole_is_read_again_and_never_skipped(worker: Bench) -> None:
    worker.logs.append(0, *[event() for _ in range(10)])
    epoch = worker.ingestion.claims.partitions[0].epoch
    await worker.ingestion.take(worker.logs.batch(0, epoch, 0, 4))
    await worker.ingestion.take(worker.logs.batch(0, epoch, 6, 10))
    await worker.settle()
    assert worker.broker.places == [{0: None}, {0: 0}]
    await worker.read(0)
    await worker.checkpoint(0)
    assert await worker.events() == 10


async def test_a_checkpoint_that_fails_half_way_leaves_nothing(
    worker: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.logs.append(0, *[event() for _ in range(10)])
    await worker.read(0)
    with monkeypatch.context() as patch:

        async def fail(*_: object) -> None:
            raise asyncpg.PostgresConnectionError("the connection is gone")

        patch.setattr(state, "open_days", fail)
        assert await worker.checkpoint(0) == [False]
        assert await worker.events() == 0
        assert await worker.value("select next_offset from ml_guard.stream_fence where partition = 0") == 0
    await worker.settle()
    await worker.read(0)
    assert await worker.checkpoint(0) == [True]
    assert await worker.events() == 10
    assert await worker.value("select sum(requests)::bigint from ml_guard.traffic_minute") == 10
    assert await worker.value("select count(*) from ml_guard.model") == 1


async def test_a_lost_reply_to_commit_counts_nothing_twice(
    worker: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction is in the database, but the worker sees an error."""
    worker.logs.append(0, *[event() for _ in range(10)])
    await worker.read(0)
    real = asyncpg.transaction.Transaction.__aexit__
    lost = []

    async def commit_and_fail(self: object, *error: object) -> None:
        await real(self, *error)  # type: ignore[arg-type]
        if not lost:
            lost.append(True)
            raise asyncpg.PostgresConnectionError("connection was closed in the middle of operation")

    with monkeypatch.context() as patch:
        patch.setattr(asyncpg.transaction.Transaction, "__aexit__", commit_and_fail)
        assert await worker.checkpoint(0) == [False]
        await worker.settle()
    assert await worker.events() == 10
    await worker.read(0)
    await worker.checkpoint(0)
    assert await worker.events() == 10
    assert worker.ingestion.claims.partitions[0].written == 10


async def test_one_model_over_all_partitions_is_merged_by_readers(worker: Bench) -> None:
    for partition in range(4):
        worker.logs.append(partition, *[event() for _ in range(partition + 1)])
    await worker.read()
    await worker.checkpoint()
    rows = await worker.fetch("select shard, n from ml_guard.day_sketch where kind = 'events' order by shard")
    assert [tuple(row) for row in rows] == [(0, 1), (1, 2), (2, 3), (3, 4)]


async def test_gaps_and_records_without_payload_hold_nothing_back(worker: Bench) -> None:
    worker.logs.append(0, event(), None, event())
    epoch = worker.ingestion.claims.partitions[0].epoch
    found = worker.logs.batch(0, epoch, 0)
    found.hi = 9  # control records up to the end of the log
    await worker.ingestion.take(found)
    await worker.checkpoint(0)
    fence = (await worker.fetch("select * from ml_guard.stream_fence where partition = 0"))[0]
    assert (fence["next_offset"], fence["records_decoded"], fence["records_empty"]) == (9, 2, 7)


async def test_a_checkpoint_makes_days_and_changes_known(worker: Bench) -> None:
    worker.logs.append(0, event())
    await worker.read(0)
    await worker.checkpoint(0)
    (change,) = await worker.fetch("select * from ml_guard.day_change")
    assert (change["project_id"], change["model_id"], change["endpoint"]) == ("p", "m", "predict")
    assert (change["shard"], change["next_offset"]) == (0, 1)
    (day,) = await worker.fetch("select * from ml_guard.day_close")
    assert (day["project_id"], str(day["day"]), day["status"]) == ("p", "2025-06-01", "open")


async def test_a_late_event_is_merged_into_its_day(make_bench: MakeBench) -> None:
    logs = FakeLogs()
    first: Bench = await make_bench(logs)
    await first.claim(0)
    logs.append(
        0, *[event(timestamp="2025-05-02T10:00:00Z", features={"a": 1.0, "c": "x"}) for _ in range(300)]
    )
    await first.read(0)
    await first.checkpoint(0)
    second: Bench = await make_bench(logs)
    await second.claim(0)
    logs.append(0, event(timestamp="2025-05-02T23:59:59Z", features={"a": 5.0, "c": "y"}))
    await second.read(0)
    await second.checkpoint(0)
    rows = await second.fetch(
        "select feature, n, maximum, last_event_at from ml_guard.day_sketch order by feature"
    )
    assert [(row["feature"], row["n"]) for row in rows] == [("@events", 301), ("a", 301), ("c", 301)]
    assert rows[1]["maximum"] == 5.0
    assert rows[0]["last_event_at"].isoformat() == "2025-05-02T23:59:59+00:00"


async def test_a_mistake_in_folding_costs_memory_and_no_record(
    worker: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    worker.logs.append(0, *[event(features={"secret": "Jane Doe"}) for _ in range(10)])
    await worker.read(0)
    with monkeypatch.context() as patch:

        def fail(*_: object) -> None:
            raise ValueError("Jane Doe")

        patch.setattr(folding, "fold", fail)
        assert await worker.checkpoint(0) == [False]
    assert "ValueError" in caplog.text
    assert "Jane" not in caplog.text
    await worker.settle()
    await worker.read(0)
    await worker.checkpoint(0)
    assert await worker.events() == 10


async def test_a_database_that_is_away_at_a_rebalance_is_waited_for_afterwards(
    worker: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.logs.append(0, *[event() for _ in range(10)])
    with monkeypatch.context() as patch:

        async def fail(*_: object, **__: object) -> None:
            raise OSError("the database is away")

        patch.setattr(fence, "claim", fail)
        assert await worker.claim(0) == {0: None}
        assert worker.ingestion.claims.waits_for_database(10)
    await worker.settle()
    assert worker.broker.places[-1] == {0: 0}
    await worker.read(0)
    await worker.checkpoint(0)
    assert await worker.events() == 10


async def test_a_partition_that_nobody_claimed_is_claimed_by_the_heartbeat(worker: Bench) -> None:
    worker.ingestion.claims.drop(2)
    await worker.ingestion.claims.beat(1)
    await worker.settle()
    assert 2 in worker.ingestion.claims.partitions
    assert worker.broker.places[-1] == {2: 0}


async def test_the_group_is_told_nothing_during_a_rebalance_and_all_of_it_afterwards(worker: Bench) -> None:
    """A commit in the middle of a rebalance is refused and begins another one."""
    await worker.claim(0)
    worker.logs.append(0, event())
    await worker.read(0)
    assert await worker.checkpoint(0) == [True]
    broker = worker.ingestion.claims.broker
    assert isinstance(broker, FakeBroker)
    broker.own = set()
    await worker.ingestion._send_hints()
    assert broker.hints == []
    broker.own = {0}
    await worker.ingestion._send_hints()
    assert broker.hints == [{0: 1}]
