"""An event that makes our own code fail stops nobody: it is found, buried as `internal_error`, and the rest counts."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from stream.ingest import decode, folding
from stream.ingest.decode import WHOLE, Aside
from stream.ingest.isolation import TRIES, Isolation
from stream.ingest.records import PartitionBatch
from stream.ingest.work import Partition, Work
from stream.sketches import CategorySketch
from tests.ingest.conftest import Bench, FakeLogs, batch, event
from tests.ingest.test_poison import rolled_up

BUG = event(features={"bug": "Jane Doe"})
UNDECODABLE = event(model_id="bug-of-the-decoder", features={"name": "Jane Doe"})


@pytest.fixture
def bugs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folding fails at a feature, decoding at a model; both with a message that tells a value."""
    real_fold, real_decode = folding.fold, decode._decode

    def fold(state: Any, group: Any, most: int) -> int:
        for one in group.events:
            if "bug" in one.features:
                raise ZeroDivisionError(f"no {one.features['bug']}")
        return real_fold(state, group, most)

    def decoding(value: Any) -> Any:
        if b"bug-of-the-decoder" in bytes(value):
            raise ZeroDivisionError(bytes(value).decode())
        return real_decode(value)

    monkeypatch.setattr(folding, "fold", fold)
    monkeypatch.setattr(decode, "_decode", decoding)


async def read_all(worker: Bench, partition: int = 0) -> None:
    """Read and write, and claim anew after each failure, until all is behind the fence."""
    query = f"select next_offset from ml_guard.stream_fence where partition = {partition}"
    async with asyncio.timeout(40):
        while await worker.value(query) < len(worker.logs.records[partition]):
            await worker.settle()
            await worker.read(partition)
            await worker.settle()
            await worker.checkpoint(partition)


@pytest.mark.usefixtures("bugs")
async def test_events_that_our_own_code_fails_on_are_buried_and_all_others_count(
    worker: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    singles = [event(features={"a": float(i)}) for i in range(1_500)]
    singles[700] = singles[1_100] = BUG
    singles[300] = UNDECODABLE
    many = batch(*[event()] * 20, BUG, *[event()] * 20, batch_id="b")
    worker.logs.append(0, *singles, many, *singles[:10], many)
    await read_all(worker)
    found = {(letter.offset, letter.index): letter for letter in worker.dead.letters}
    assert sorted(found) == [(300, 0), (700, 0), (1_100, 0), (1_500, 20)]
    assert len(worker.dead.letters) == len(found)
    assert {letter.reason for letter in found.values()} == {"internal_error"}
    assert [found[place].payload for place in sorted(found)] == [UNDECODABLE, BUG, BUG, BUG]
    assert {letter.project_id for letter in found.values()} == {"p"}

    good = 1_497 + 40 + 10
    assert await worker.events() == await rolled_up(worker) == good
    assert await worker.ledger() == [("p", good + 4 + 41, 4, 41)]
    fence = (await worker.fetch("select * from ml_guard.stream_fence where partition = 0"))[0]
    decoded, dead, duplicate = (fence[f"records_{what}"] for what in ("decoded", "dead", "duplicate"))
    assert (decoded, dead, duplicate) == (1_497 + 1 + 10, 3, 1)
    (told,) = [record.getMessage() for record in caplog.records if "internal_error" in record.getMessage()]
    assert "partition 0: 5 events" in told, "the retry has one too; it is a duplicate, and no dead letter"
    assert "in decoding" in told
    assert "Jane Doe" not in caplog.text


async def test_what_fails_by_chance_is_read_again_and_buries_nothing(
    worker: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures, real = iter(range(TRIES - 1)), folding.fold

    def fold(*arguments: Any) -> int:
        if next(failures, None) is not None:
            raise ZeroDivisionError
        return real(*arguments)

    monkeypatch.setattr(folding, "fold", fold)
    worker.logs.append(0, *[event()] * 10)
    await read_all(worker)
    assert await worker.events() == 10
    assert worker.dead.letters == []


async def test_events_whose_counts_cannot_be_written_are_found_and_buried_as_well(
    worker: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = CategorySketch.to_bytes

    def to_bytes(sketch: CategorySketch) -> bytes:
        for item in sketch.items():
            if item.label == "Jane Doe":
                raise ZeroDivisionError(item.label)
        return real(sketch)

    monkeypatch.setattr(CategorySketch, "to_bytes", to_bytes)
    singles = [event(features={"c": f"c{i % 7}"}) for i in range(1_500)]
    bad = event(features={"c": "Jane Doe"})
    singles[40] = singles[1_100] = bad
    worker.logs.append(0, *singles, batch(*[event()] * 5, bad, event(), batch_id="b"))
    worker.logs.append(1, event())
    await read_all(worker)
    await read_all(worker, 1)
    assert sorted((letter.offset, letter.index) for letter in worker.dead.letters) == [
        (40, 0), (1_100, 0), (1_500, 5)
    ]  # fmt: skip
    assert {(letter.reason, letter.payload) for letter in worker.dead.letters} == {("internal_error", bad)}
    assert all(letter.detail.endswith("feature c of m/predict") for letter in worker.dead.letters)
    assert await worker.events() == await rolled_up(worker) == 1_498 + 6 + 1
    assert await worker.ledger() == [("p", 1_505 + 3, 3, 0)]
    assert "what it has counted cannot be written: ZeroDivisionError at to_bytes" in caplog.text
    assert "Jane Doe" not in caplog.text


@pytest.mark.parametrize("stage", ["fold", "rows"])
async def test_what_no_event_fails_on_alone_stops_its_partition_in_a_sentence(
    worker: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, stage: str
) -> None:
    """A bug that only what is in memory has: the search, which begins with what is stored, does not see it."""
    real_fold, real_rows = folding.fold, Work.traffic_rows

    def fold(state: Any, group: Any, most: int) -> Any:
        if stage == "fold" and state.events >= 5 and group.model[1] == "m":
            raise ZeroDivisionError("Jane Doe")
        return real_fold(state, group, most)

    def traffic_rows(work: Work) -> Any:
        if stage == "rows" and ("p", "m", "predict") in work.models:
            raise ZeroDivisionError("Jane Doe")
        return real_rows(work)

    monkeypatch.setattr(folding, "fold", fold)
    monkeypatch.setattr(Work, "traffic_rows", traffic_rows)
    worker.logs.append(0, *[event()] * 5, *[event()] * 5)
    worker.logs.append(1, *[event(model_id="good")] * 3)
    claims = worker.ingestion.claims
    async with asyncio.timeout(40):
        while 0 not in claims.stopped:
            await worker.settle()
            if 0 in claims.partitions:
                await worker.read(0, hi=5)
                await worker.ingestion._fold_or_give_up(claims.partitions[0])
                if 0 in claims.partitions and claims.partitions[0].next_offset == 5:
                    await worker.read(0)
            await worker.settle()
            if 0 in claims.partitions:
                await worker.checkpoint(0)
    said = await worker.value("select stopped_reason from ml_guard.stream_fence where partition = 0")
    assert said == claims.stopped[0]
    place = {"fold": "fold", "rows": "traffic_rows"}[stage]
    assert f"from offset 0 on make this worker's own code fail (ZeroDivisionError in {place}, line " in said
    assert "Jane Doe" not in said + caplog.text
    assert (worker.dead.letters, await worker.events()) == ([], 0)
    await worker.read(1)
    assert await worker.checkpoint(1) == [True]
    assert await worker.events() == 3


async def test_events_that_fail_only_together_go_together() -> None:
    async def fails(some: PartitionBatch, aside: Aside) -> Exception | None:
        left = {
            value for at, value in zip(some.offsets, some.values, strict=True) if (at, WHOLE) not in aside
        }
        return ZeroDivisionError() if {b"x", b"y"} <= left else None

    logs, isolation = FakeLogs(), Isolation()
    logs.append(0, b"a", b"x", b"y", b"b", b"c", b"d", b"e", b"f")
    whole = logs.batch(0, 1, 0)
    for _ in range(TRIES):
        await isolation.failed(Partition(0, 1, 0, 0, 0), whole, lambda _: 1, fails)
    aside = isolation.still_aside(Partition(0, 1, 0, 0, 0))
    assert sorted(offset for offset, _ in aside) == [0, 1, 2, 3]
    assert await fails(whole, aside) is None
    assert isolation.still_aside(Partition(0, 1, 8, 8, 8)) == {}


REFUSING = """
create function ml_guard.refuse() returns trigger language plpgsql as
$$ begin raise exception 'Jane Doe' using errcode = 'numeric_value_out_of_range'; end $$;
create trigger refuse before insert on ml_guard.ledger_day for each row
    when (new.project_id = 'p' and new.shard = 0) execute function ml_guard.refuse()
"""


async def test_what_the_database_refuses_for_its_value_is_not_tried_for_ever(
    worker: Bench, module_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    worker.logs.append(0, *[event()] * 5)
    worker.logs.append(1, *[event()] * 3)
    claims = worker.ingestion.claims
    owner = await asyncpg.connect(module_database_url)
    await owner.execute(REFUSING)
    try:
        async with asyncio.timeout(40):
            while 0 not in claims.stopped:
                await worker.settle()
                if 0 in claims.partitions:
                    await worker.read(0)
                    await worker.checkpoint(0)
    finally:
        await owner.execute("drop function ml_guard.refuse() cascade")
        await owner.close()
    said = await worker.value("select stopped_reason from ml_guard.stream_fence where partition = 0")
    assert said == claims.stopped[0]
    assert "from offset 0 on" in said
    assert "NumericValueOutOfRangeError" in said
    assert "Jane Doe" not in said + caplog.text
    await worker.read(1)
    assert await worker.checkpoint(1) == [True]
    assert await worker.events() == 3
