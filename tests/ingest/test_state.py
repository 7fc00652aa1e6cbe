"""Memory is bounded, and what leaves it comes back as it was."""

from __future__ import annotations

import numpy as np
import pytest

from stream.sketches import NumericSketch
from tests.ingest.conftest import Bench, FakeLogs, MakeBench, event

MODELS = 30


async def test_model_days_that_leave_memory_lose_nothing(make_bench: MakeBench) -> None:
    logs = FakeLogs()
    small: Bench = await make_bench(logs, state_bytes=1024 * 1024)
    small.ingestion.cache.limit = 60_000
    await small.claim(0)
    for turn in range(6):
        logs.append(
            0,
            *[
                event(model_id=f"m{i % MODELS}", features={"a": float(turn * 300 + i), "c": f"x{i % 7}"})
                for i in range(300)
            ],
        )
        await small.read(0)
        await small.checkpoint(0)
        assert small.ingestion.cache.nbytes <= 60_000
    assert len(small.ingestion.cache) < MODELS
    rows = await small.fetch(
        "select feature, sum(n)::bigint as n, sum(mean * n) as total from ml_guard.day_sketch group by 1 order by 1"
    )
    assert [(row["feature"], row["n"]) for row in rows] == [("@events", 1800), ("a", 1800), ("c", 1800)]
    assert rows[1]["total"] == pytest.approx(sum(range(1800)), rel=1e-9)


async def test_what_is_not_written_yet_never_leaves(make_bench: MakeBench) -> None:
    worker: Bench = await make_bench()
    worker.ingestion.cache.limit = 1
    await worker.claim(0)
    worker.logs.append(0, *[event(model_id=f"m{i}") for i in range(20)])
    await worker.read(0)
    partition = worker.ingestion.claims.partitions[0]
    async with partition.folding:
        await worker.ingestion.folder.fold(partition)
    assert worker.ingestion.cache.evict() == 0
    await worker.checkpoint(0)
    assert len(worker.ingestion.cache) == 0
    assert await worker.events() == 20


async def test_a_sketch_that_was_written_in_parts_has_the_ranks_of_one(make_bench: MakeBench) -> None:
    values = np.random.default_rng(3).lognormal(0, 1, 20_000)
    logs = FakeLogs()
    for begin in range(0, 20_000, 5_000):
        worker: Bench = await make_bench(logs)
        await worker.claim(0)
        logs.append(0, *[event(features={"a": v}) for v in values[begin : begin + 5_000].tolist()])
        await worker.read(0)
        await worker.checkpoint(0)
    row = (await worker.fetch("select n, mean, m2, sketch from ml_guard.day_sketch where feature = 'a'"))[0]
    assert row["n"] == 20_000
    assert row["mean"] == pytest.approx(values.mean(), rel=1e-9)
    assert row["m2"] / row["n"] == pytest.approx(values.var(), rel=1e-9)
    sketch = NumericSketch.from_bytes(row["sketch"])
    for p in (0.05, 0.5, 0.95):
        rank = (values <= sketch.quantiles([p])[0]).mean()
        assert abs(rank - p) < 3 * sketch.rank_error


async def test_a_value_decides_its_kind_by_its_type(worker: Bench) -> None:
    worker.logs.append(
        0,
        event(features={"a": 1, "b": "1", "c": True, "d": None}),
        event(features={"a": "1", "b": "1", "c": False}),
        event(features={"a": 2.5, "b": "nan", "c": 1}),
    )
    await worker.read(0)
    await worker.checkpoint(0)
    rows = await worker.fetch(
        "select feature, kind, n from ml_guard.day_sketch where kind <> 'events' order by feature, kind"
    )
    assert [tuple(row) for row in rows] == [
        ("a", "categorical", 1),
        ("a", "numeric", 2),
        ("b", "categorical", 3),
        ("c", "boolean", 2),
        ("c", "numeric", 1),
    ]


async def _baseline(worker: Bench, version: int, edge: float) -> None:
    await worker.fetch("update ml_guard.baseline set active = false")
    await worker.fetch(
        """insert into ml_guard.baseline (project_id, model_id, endpoint, version, day_starts, days,
               window_start, window_end, events)
           values ('p', 'm', 'predict', $1, '{}', '{}', now(), now(), 10)""",
        version,
    )
    await worker.fetch(
        """insert into ml_guard.baseline_feature (project_id, model_id, endpoint, version, feature, kind, n, missing,
               edges, shares, share_errors, warning, drift)
           values ('p', 'm', 'predict', $1, 'a', 'numeric', 10, 0, array[$2::float8], '{0.5, 0.5, 0}', '{0, 0, 0}',
                   0.1, 0.25)""",
        version,
        edge,
    )
    assert await worker.catalog.poll()


async def test_a_day_counts_against_the_version_of_its_first_event(make_bench: MakeBench) -> None:
    logs = FakeLogs()
    worker: Bench = await make_bench(logs)
    await worker.claim(0)
    await _baseline(worker, 1, 5.0)
    logs.append(0, *[event(features={"a": float(i)}) for i in range(10)])
    await worker.read(0)
    await worker.checkpoint(0)
    await _baseline(worker, 2, 100.0)
    heir: Bench = await make_bench(logs)
    await heir.claim(0)
    logs.append(0, event(features={"a": 7.0}), event(timestamp="2025-05-31T10:00:00Z", features={"a": 7.0}))
    await heir.read(0)
    await heir.checkpoint(0)
    rows = await heir.fetch(
        "select day_start::date::text as day, baseline_version, n, counts from ml_guard.bin_count order by day"
    )
    assert [tuple(row) for row in rows] == [("2025-05-31", 2, 1, [1, 0]), ("2025-06-01", 1, 11, [6, 5])]
    same = await heir.value(
        """select bool_and(s.n = b.n and s.baseline_version = b.baseline_version)
             from ml_guard.day_sketch s join ml_guard.bin_count b
                  using (project_id, model_id, endpoint, day_start, feature, kind, shard)"""
    )
    assert same


async def test_a_day_that_began_without_a_baseline_stays_without(make_bench: MakeBench) -> None:
    """In the memory of the worker that began it, and in that of the next one."""
    logs = FakeLogs()
    worker: Bench = await make_bench(logs)
    await worker.claim(0)
    logs.append(0, event(features={"a": 1.0}))
    await worker.read(0)
    await worker.checkpoint(0)
    await _baseline(worker, 1, 5.0)
    logs.append(0, event(features={"a": 1.0}))
    await worker.read(0)
    await worker.checkpoint(0)
    heir: Bench = await make_bench(logs)
    await heir.claim(0)
    logs.append(0, event(features={"a": 1.0}))
    await heir.read(0)
    assert await heir.checkpoint(0) == [True]
    assert await heir.value("select count(*) from ml_guard.bin_count") == 0
    assert await heir.value("select count(baseline_version) from ml_guard.day_sketch") == 0
    assert await heir.events() == 3
