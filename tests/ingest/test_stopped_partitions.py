"""A fence that does not fit its log stops its partition with a sentence; accepting the loss is a command."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stream.ingest.misfit import accept_loss
from tests.ingest.conftest import TOPIC, Bench, FakeLogs, MakeBench, event


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
