"""What cannot be folded goes to the dead letter topic with its reason, and never stops a partition."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest

from stream.ingest import ingestion
from stream.ingest.fold import LEFT_OUT
from tests.ingest.conftest import NOW, Bench, MakeBench, add_project, batch, event

LATER = (NOW + timedelta(days=2)).isoformat()
LONG_AGO = (NOW - timedelta(days=40)).isoformat()

POISON = {
    "invalid_json": b'{"project_id": "p", ',
    "invalid_event": event(latency_ms="fast"),
    "invalid_timestamp": event(timestamp="yesterday"),
    "naive_timestamp": event(timestamp="2025-06-01T10:00:00"),
    "future_timestamp": event(timestamp=LATER),
    "beyond_retention": event(timestamp=LONG_AGO),
    "unknown_project": event(project_id="nobody"),
    "too_many_features": event(features={f"f{i}": i for i in range(6)}),
    "record_too_large": event(features={"text": "x" * 3000}),
}


async def _strict(make_bench: MakeBench) -> Bench:
    made: Bench = await make_bench(retention_days=30, max_features=5, max_record_bytes=2048)
    await made.claim()
    return made


@pytest.mark.parametrize("reason", POISON)
async def test_poison_is_buried_with_its_reason_and_the_rest_is_folded(
    make_bench: MakeBench, reason: str
) -> None:
    worker = await _strict(make_bench)
    worker.logs.append(0, event(), POISON[reason], event())
    await worker.read(0)
    assert await worker.checkpoint(0) == [True]

    (letter,) = worker.dead.letters
    assert (letter.reason, letter.offset, letter.index, letter.payload) == (reason, 1, 0, POISON[reason])
    assert await worker.events() == 2
    index = await worker.fetch("select * from ml_guard.dead_letter")
    assert [(row["partition"], row["offset"], row["event_index"], row["reason"]) for row in index] == [
        (0, 1, 0, reason)
    ]
    assert await worker.value("select next_offset from ml_guard.stream_fence where partition = 0") == 3


async def test_every_reason_at_once_balances_both_ledgers(make_bench: MakeBench) -> None:
    worker = await _strict(make_bench)
    good = [event() for _ in range(20)]
    in_a_batch = [POISON[reason] for reason in POISON if reason not in ("invalid_json", "record_too_large")]
    worker.logs.append(0, *good[:10], *POISON.values(), None, *good[10:], batch(*in_a_batch, event()))
    await worker.read(0)
    await worker.checkpoint(0)

    assert await worker.events() == 21
    fence = (await worker.fetch("select * from ml_guard.stream_fence where partition = 0"))[0]
    decoded, dead, empty = fence["records_decoded"], fence["records_dead"], fence["records_empty"]
    assert decoded + dead + empty == fence["next_offset"] == 20 + len(POISON) + 2
    assert empty == 1
    merged = {"p": await worker.events()}
    for project, counted, buried, duplicate in await worker.ledger():
        assert counted == merged.get(project, 0) + buried + duplicate
    assert sum(row[2] for row in await worker.ledger()) == len(worker.dead.letters)


async def test_a_bad_event_spares_the_rest_of_its_batch(worker: Bench) -> None:
    bad = event(latency_ms=-1)
    worker.logs.append(0, batch(event(), bad, event(), batch_id="b"))
    await worker.read(0)
    await worker.checkpoint(0)
    (letter,) = worker.dead.letters
    assert (letter.offset, letter.index, letter.project_id) == (0, 1, "p")
    assert json.loads(letter.payload) == json.loads(bad)
    assert await worker.events() == 2


async def test_a_feature_name_that_begins_with_an_at_sign_is_refused_among_good_ones(worker: Bench) -> None:
    names = event(features={"age": 1.0})
    worker.logs.append(0, names, event(features={"age": 1.0, "@y_pred": 2.0}), names)
    await worker.read(0)
    await worker.checkpoint(0)
    assert [(letter.offset, letter.reason) for letter in worker.dead.letters] == [(1, "invalid_event")]
    assert await worker.value("select count(*) from ml_guard.day_sketch where feature = '@y_pred'") == 0
    assert await worker.events() == 2


async def test_a_project_made_a_moment_ago_is_not_unknown_even_if_it_was_before(worker: Bench) -> None:
    worker.logs.append(0, event(project_id="new"))
    await worker.read(0)
    await worker.checkpoint(0)
    await add_project(worker.pool, "new")
    worker.logs.append(0, event(project_id="new"))
    await worker.read(0)
    await worker.checkpoint(0)
    assert [(letter.offset, letter.reason) for letter in worker.dead.letters] == [(0, "unknown_project")]
    assert await worker.events("new") == 1


async def test_models_beyond_the_cap_are_buried_and_known_ones_go_on(make_bench: MakeBench) -> None:
    worker: Bench = await make_bench(max_models=2)
    await worker.claim()
    worker.logs.append(0, *[event(model_id=f"m{i % 4}") for i in range(40)])
    await worker.read(0)
    await worker.checkpoint(0)
    assert {letter.reason for letter in worker.dead.letters} == {"cap_exceeded"}
    assert len(worker.dead.letters) == 20
    assert await worker.events() == 20
    assert await worker.ledger() == [("p", 40, 20, 0)]
    assert await worker.value("select count(*) from ml_guard.model") == 2


async def test_features_beyond_the_cap_are_not_kept_and_their_events_are(make_bench: MakeBench) -> None:
    worker: Bench = await make_bench(max_model_features=3)
    await worker.claim()
    worker.logs.append(0, *[event(features={f"f{i}": 1.0}) for i in range(10)])
    await worker.read(0)
    await worker.checkpoint(0)
    assert await worker.events() == 10
    assert await worker.value("select count(*) from ml_guard.day_sketch where kind = 'numeric'") == 3
    assert worker.ingestion.folder.beyond[LEFT_OUT] == 7


async def test_the_future_is_measured_from_the_arrival(worker: Bench) -> None:
    arrived = NOW - timedelta(days=30)
    soon = (arrived + timedelta(days=2)).isoformat()
    worker.logs.append(0, event(timestamp=soon), at=arrived)
    await worker.read(0)
    await worker.checkpoint(0)
    assert [letter.reason for letter in worker.dead.letters] == ["future_timestamp"]


async def test_a_flood_of_poison_waits_for_the_broker_and_not_in_memory(
    worker: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingestion, "DEAD_BYTES", 10_000)
    monkeypatch.setattr(ingestion, "FOLD_RECORDS", 50)
    worker.logs.append(0, *[b"x" * 200] * 400)
    writing = asyncio.ensure_future(worker.ingestion.run())
    partition = worker.ingestion.claims.partitions[0]
    try:
        for lo in range(0, 400, 50):
            await worker.ingestion.take(worker.logs.batch(0, partition.epoch, lo, lo + 50))
            assert partition.work.dead_bytes <= 10_000
    finally:
        writing.cancel()
    await worker.checkpoint(0)
    assert len(worker.dead.letters) == 400
