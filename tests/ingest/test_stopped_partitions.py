"""A fence that does not fit its log stops its partition with a sentence; accepting the loss is a command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from stream.closing.close import Closed, Closer
from stream.closing.reading import StateReader
from stream.closing.steps import Rules
from stream.ingest.misfit import StillReadError, accept_loss, accept_topic
from stream.settings import Settings
from stream.store.lease import CLOSER, take
from stream.store.one_topic import OtherTopicError
from tests.ingest.conftest import NOW, TOPIC, Bench, FakeLogs, MakeBench, event


def _recreated(logs: FakeLogs) -> None:
    logs.identity = "log-2"
    logs.records = {partition: [] for partition in range(4)}


def _retention(logs: FakeLogs) -> None:
    logs.first[0] = 15
    logs.append(0, *[event() for _ in range(20)])


def _cut(logs: FakeLogs) -> None:
    logs.end[0] = 4


CASES: dict[str, tuple[Callable[[FakeLogs], None], str, int, int]] = {
    "recreated": (_recreated, "deleted and created again", 0, 0),
    "retention": (_retention, "retention has removed", 5, 15),
    "cut": (_cut, "the log was cut", 0, 4),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_fence_that_does_not_fit_stops_its_partition_until_the_loss_is_accepted(
    make_bench: MakeBench, case: str
) -> None:
    change, words, lost, goes_on = CASES[case]
    logs = FakeLogs()
    before: Bench = await make_bench(logs)
    logs.append(0, *[event() for _ in range(10)])
    logs.append(1, *[event() for _ in range(10)])
    await before.claim(0)
    await before.read(0)
    await before.checkpoint(0)

    change(logs)
    worker: Bench = await make_bench(logs)
    assert await worker.claim(0, 1) == {0: None, 1: 0}
    reason = await worker.value("select stopped_reason from ml_guard.stream_fence where partition = 0")
    assert words in reason
    assert "ml-guard accept-loss" in reason

    if logs.records[1]:
        await worker.read(1)
        await worker.checkpoint(1)
        assert await worker.events() == 20

    found = await worker.broker.logs(TOPIC, [0])
    accepted = await accept_loss(worker.pool, TOPIC, 0, found[0])
    assert accepted is not None
    assert (accepted.lost, accepted.next_offset) == (lost, goes_on)
    await worker.ingestion.claims.beat(1)
    await worker.settle()
    assert worker.broker.places[-1] == {0: goes_on}
    fence = (await worker.fetch("select * from ml_guard.stream_fence where partition = 0"))[0]
    counted = sum(fence[f"records_{name}"] for name in ("decoded", "dead", "duplicate", "lost", "empty"))
    assert fence["next_offset"] - fence["first_offset"] == counted == 10 + lost
    assert fence["stopped_reason"] is None


async def test_a_topic_with_fewer_partitions_than_before_is_noticed_and_can_be_accepted(
    make_bench: MakeBench,
) -> None:
    logs = FakeLogs()
    before: Bench = await make_bench(logs)
    await before.claim(0, 3)
    del logs.records[3]
    worker: Bench = await make_bench(logs)
    assert await worker.claim(0) == {0: 0}
    reason = await worker.value("select stopped_reason from ml_guard.stream_fence where partition = 3")
    assert "partition 3 of log is gone" in reason
    accepted = await accept_loss(worker.pool, TOPIC, 3, None)
    assert accepted is not None
    assert accepted.next_offset is None
    assert await worker.value("select count(*) from ml_guard.stream_fence where partition = 3") == 0


@asynccontextmanager
async def _two_topics(make_bench: MakeBench) -> AsyncIterator[tuple[Bench, Bench]]:
    """Workers of the topics `log` and `new` over one database, which did not know of each other when they started."""
    yield await make_bench(), await make_bench(topic="new")


async def _closes(worker: Bench, topic: str) -> list[Closed]:
    """A pass of the closer of a worker with this topic, the day after."""
    async with worker.pool.acquire() as connection:
        await connection.execute("update ml_guard.lease set expires_at = '-infinity'")
        lease = await take(connection, CLOSER, topic, timedelta(hours=1))
        assert lease is not None
        with ThreadPoolExecutor(1) as executor:
            rules, later = Rules.of(Settings()), NOW + timedelta(days=1)
            closer = Closer(StateReader(), executor, lambda: later, worker.ends, topic, rules)
            return await closer.step(connection, lease)


async def test_of_two_first_workers_with_two_topics_one_reads_and_closes(make_bench: MakeBench) -> None:
    async with _two_topics(make_bench) as (one, other):
        places = await asyncio.gather(one.claim(), other.claim())
        reads, refused = (one, other) if places[0][0] is not None else (other, one)
        assert sorted(map(str, (set(found.values()) for found in places))) == ["{0}", "{None}"]
        assert [row[0] for row in await one.fetch("select distinct topic from ml_guard.stream_fence")] == [
            reads.ingestion.topic
        ]
        said = str(refused.ingestion.claims.refused)
        assert f"ML_GUARD_TOPIC is {refused.ingestion.topic}: a database serves one topic" in said
        assert f"`ml-guard accept-loss --topic {reads.ingestion.topic}`" in said
        assert reads.ingestion.claims.refused is None

        reads.logs.append(0, *[event()] * 3)
        await reads.read(0)
        assert await reads.checkpoint(0) == [True]
        with pytest.raises(OtherTopicError) as closing:
            await _closes(refused, refused.ingestion.topic)
        assert "3 records" in str(closing.value)
        assert await one.value("select status from ml_guard.day_close") == "open"
        assert [done.revision for done in await _closes(reads, reads.ingestion.topic)] == [1]


async def test_a_database_goes_over_to_a_topic_that_was_renamed_and_both_ledgers_balance(
    make_bench: MakeBench,
) -> None:
    async with _two_topics(make_bench) as (old, new):
        await old.claim()
        for partition in (0, 1):
            old.logs.append(partition, *[event()] * 10)
        await old.read(0, 1)
        await old.checkpoint(0, 1)
        await old.fetch(
            """update ml_guard.day_close set status = 'closing', barrier = '{"0": 10, "1": 90}'"""
        )
        old.logs.append(1, *[event()] * 5)
        logs, own = await old.broker.logs(TOPIC, range(4)), await new.broker.logs("new", range(4))
        await old.fetch("update ml_guard.stream_fence set heartbeat_at = now()")
        with pytest.raises(StillReadError, match="stop the workers of log"):
            await accept_topic(new.pool, "new", TOPIC, logs, own)
        assert len(await old.fetch("select from ml_guard.stream_fence where topic = $1", TOPIC)) == 4

        await old.fetch("update ml_guard.stream_fence set heartbeat_at = now() - interval '1 minute'")
        accepted = await accept_topic(new.pool, "new", TOPIC, logs, own)
        assert [(one.partition, one.lost) for one in accepted] == [(0, 0), (1, 5), (2, 0), (3, 0)]
        assert "has 5 records that were not" in accepted[1].reason
        assert await new.value("select barrier from ml_guard.day_close") == "{}"
        assert await accept_topic(new.pool, "new", TOPIC, logs, own) == []

        assert set((await old.claim()).values()) == {None}, (
            "the database is the new topic's, before it has a worker"
        )
        assert set((await new.claim()).values()) == {0}
        new.logs.append(1, *[event()] * 7)
        await new.read(1)
        assert await new.checkpoint(1) == [True]
        assert await new.events() == 27
        assert await new.ledger() == [("p", 27, 0, 0)]
        assert await new.value("select bool_and(balanced) from ml_guard.ledger_partitions")
        assert await new.value("select sum(abs(difference)) from ml_guard.ledger_days") == 0


async def test_there_is_nothing_to_accept_where_the_fence_fits(worker: Bench) -> None:
    found = await worker.broker.logs(TOPIC, [0])
    assert await accept_loss(worker.pool, TOPIC, 0, found[0]) is None


async def test_an_offset_out_of_range_while_reading_is_looked_into(worker: Bench) -> None:
    worker.logs.append(0, *[event() for _ in range(10)])
    await worker.read(0)
    await worker.checkpoint(0)
    worker.logs.first[0] = 12
    worker.logs.append(0, *[event() for _ in range(5)])
    worker.ingestion.claims.out_of_range(0, 10)
    await worker.settle()
    assert worker.broker.places == [{0: None}, {0: None}]
    assert "10 to 11" in worker.ingestion.claims.stopped[0]


async def test_barriers_that_a_new_log_can_never_reach_are_rewritten(make_bench: MakeBench) -> None:
    logs = FakeLogs()
    worker: Bench = await make_bench(logs)
    logs.append(0, *[event() for _ in range(10)])
    await worker.claim(0)
    await worker.read(0)
    await worker.checkpoint(0)
    await worker.fetch("""update ml_guard.day_close set status = 'closing', barrier = '{"0": 900, "1": 7}'""")
    _recreated(logs)
    found = await worker.broker.logs(TOPIC, [0])
    accepted = await accept_loss(worker.pool, TOPIC, 0, found[0])
    assert accepted is not None
    assert accepted.barriers_rewritten == 1
    assert await worker.value("select barrier ->> '0' from ml_guard.day_close") == "0"


async def test_state_of_a_format_that_a_worker_does_not_know_stops_its_partition_until_another_takes_it(
    make_bench: MakeBench,
) -> None:
    logs = FakeLogs()
    before: Bench = await make_bench(logs)
    for partition in (0, 1):
        logs.append(partition, *[event(features={"a": 1.0})] * 5)
    await before.claim(0, 1)
    await before.read(0, 1)
    await before.checkpoint(0, 1)
    format_of = (
        "update ml_guard.day_sketch set sketch = set_byte(sketch, 0, $1) where feature = 'a' and shard = 0"
    )
    await before.fetch(format_of, 2)

    for partition in (0, 1):
        logs.append(partition, *[event(features={"a": 2.0})] * 3)
    old: Bench = await make_bench(logs)
    await old.claim(0, 1)
    await old.read(0, 1)
    assert await old.checkpoint(0, 1) == [False, True]
    await old.settle()
    assert await old.events() == 5 + 8
    said = await old.value("select stopped_reason from ml_guard.stream_fence where partition = 0")
    assert "from offset 5 on" in said
    assert "numeric sketch has format 2, this build reads 1" in said
    await old.ingestion.claims.beat(0)
    await old.settle()
    assert 0 in old.ingestion.claims.stopped, "it does not try again and again"

    await old.fetch(format_of, 1)  # as if the next worker knew it
    new: Bench = await make_bench(logs)
    assert await new.claim(0) == {0: 5}
    await new.read(0)
    assert await new.checkpoint(0) == [True]
    assert await new.events() == 8 + 8
    assert await new.value("select count(*) from ml_guard.ledger_days where not balanced") == 0
