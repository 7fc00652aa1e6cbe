"""Whatever bytes are in a record, the good events around it are counted as if it were not there."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from stream.closing.reading import StateReader
from stream.closing.rollup import Roller
from stream.store.lease import CLOSER, take
from tests.ingest.conftest import Bench, MakeBench, batch, event

DEPTH = 200_000
MIB = 1_048_576


def raw(**fields: bytes) -> bytes:
    """An event whose fields are spelled by hand."""
    given = {"project_id": b'"p"', "model_id": b'"m"', "timestamp": b'"2025-06-01T11:00:00Z"', **fields}
    return b"{" + b",".join(b'"%s":%s' % (name.encode(), text) for name, text in given.items()) + b"}"


NESTED = b"[" * DEPTH + b"]" * DEPTH
STRANGE = {
    "nothing": b"",
    "null": b"null",
    "a number": b"7",
    "an empty array": b"[]",
    "invalid UTF-8": b"\xff\xfe\x00",
    "invalid UTF-8 in a name": raw(model_id=b'"\xc3\x28"'),
    "a lone surrogate in a name": raw(model_id=b'"\\ud800"'),
    "a lone surrogate in a label": raw(features=b'{"c": "\\udfff"}'),
    "a lone surrogate as a feature": raw(features=b'{"\\ud800": 1}'),
    "a NUL in the project": raw(project_id=b'"p\\u0000"'),
    "a NUL in the model": raw(model_id=b'"m\\u0000"'),
    "a NUL in the endpoint": raw(endpoint=b'"e\\u0000"'),
    "a NUL in a feature": raw(features=b'{"a\\u0000b": 1}'),
    "a NUL in a label": raw(features=b'{"c": "x\\u0000y"}'),
    "a NUL in the event's id": raw(event_id=b'"x\\u0000"'),
    "a NUL in a batch's id": b'{"batch_id":"b\\u0000","project_id":"p","events":[' + event() + b"]}",
    "deeply nested": NESTED,
    "deeply nested features": raw(features=NESTED),
    "a deeply nested label": raw(features=b'{"c": ' + NESTED + b"}"),
    "deeply nested events": b'{"batch_id":"b","project_id":"p","events":' + NESTED + b"}",
    "NaN": raw(latency_ms=b"NaN"),
    "Infinity": raw(features=b'{"a": Infinity}'),
    "minus Infinity": raw(y_pred=b"-Infinity"),
    "a number beyond doubles": raw(features=b'{"a": 1e999}'),
    "a whole number beyond doubles": raw(features=b'{"a": ' + b"9" * 400 + b"}"),
    "the largest doubles": raw(features=b'{"a": 1.7976931348623157e308, "b": -1.7976931348623157e308}'),
    "the smallest double": raw(features=b'{"a": 5e-324}'),
    "the largest latency": raw(latency_ms=b"1.7976931348623157e308"),
    "a year before there were any": raw(timestamp=b'"0001-01-01T00:00:00Z"'),
    "the last year": raw(timestamp=b'"9999-12-31T23:59:59Z"'),
    "a timestamp beyond all": raw(timestamp=b"1e300"),
    "a timestamp before all": raw(timestamp=b"-1e300"),
    "the earliest second": raw(timestamp=b"-62135596800"),
    "forty days late": raw(timestamp=b'"2025-04-22T11:00:00Z"'),
    "a year ahead": raw(timestamp=b'"2026-06-01T11:00:00Z"'),
    "an unknown version": raw(version=b"99", schema_version=b'"99"'),
    "10,000 features": event(features={f"f{i}": i for i in range(10_000)}),
    "a label of a megabyte": event(features={"c": "x" * (MIB - 500)}),
    "a record beyond its limit": event(features={"c": "x" * (3 * MIB)}),
    "a batch of 5,000 bad events": batch(*[event(latency_ms=-1)] * 5_000),
    "a batch in a batch": batch(batch(event()), event()),
}


async def rolled_up(worker: Bench) -> int:
    """How many requests there are when everything is rolled up."""
    async with worker.pool.acquire() as connection:
        await connection.execute("update ml_guard.lease set expires_at = '-infinity'")
        lease = await take(connection, CLOSER, "test", timedelta(hours=1))
        assert lease is not None
        executor = ThreadPoolExecutor(1)
        roller = Roller(StateReader(), executor, set())
        while (done := await roller.step(connection, lease)).model_days or done.changed:
            pass
        executor.shutdown()
        assert await connection.fetchval("select count(*) from ml_guard.day_change where shard >= 0") == 0
        return int(await connection.fetchval("select sum(requests)::bigint from ml_guard.metric_day"))


def good(count: int) -> Iterator[bytes]:
    for i in range(count):
        yield event(model_id="good", features={"a": float(i), "c": f"x{i % 3}"})


GOOD = """select feature, kind, n, minimum, maximum, mean from ml_guard.day_sketch
           where model_id = 'good' order by feature, kind"""


@pytest.mark.parametrize("name", STRANGE)
async def test_a_strange_record_changes_nothing_around_it(worker: Bench, name: str) -> None:
    events = list(good(40))
    worker.logs.append(0, *events)  # partition 0: without it, partition 1: with it
    worker.logs.append(1, *events[:20], STRANGE[name], *events[20:])
    await worker.read(0, 1)
    assert await worker.checkpoint(0, 1) == [True, True]
    for shard in (0, 1):
        rows = await worker.fetch(GOOD.replace("order by", f"and shard = {shard} order by"))
        assert [tuple(row) for row in rows] == [
            ("@events", "events", 40, None, None, None),
            ("a", "numeric", 40, 0.0, 39.0, pytest.approx(19.5)),
            ("c", "categorical", 40, None, None, None),
        ]
    fence = (await worker.fetch("select * from ml_guard.stream_fence where partition = 1"))[0]
    decoded, dead, empty = fence["records_decoded"], fence["records_dead"], fence["records_empty"]
    assert decoded + dead + empty == fence["next_offset"] == 41
    merged = await worker.value("select sum(n)::bigint from ml_guard.day_sketch where kind = 'events'")
    ledger = await worker.ledger()
    assert sum(row[1] - row[2] - row[3] for row in ledger) == merged
    assert sum(row[2] for row in ledger) == len(worker.dead.letters)
    assert merged > 80 or worker.dead.letters, "it is neither counted nor buried"
    assert await rolled_up(worker) == merged


async def test_labels_beyond_the_limit_show_and_workers_with_several_limits_agree(
    make_bench: MakeBench,
) -> None:
    few: Bench = await make_bench(max_labels=1_000)
    many: Bench = await make_bench(few.logs, max_labels=3_000)
    often = Counter({"CA": 4_000, "US": 2_500})
    drawn = {
        0: often + Counter(f"a{i}" for i in range(2_500)),
        1: often + Counter(f"b{i}" for i in range(400)),
    }
    for worker, shard in ((few, 0), (many, 1)):
        await worker.claim(shard)
        events = [event(features={"c": label, "yes": True}) for label in drawn[shard].elements()]
        for begin in range(0, len(events), 500):
            worker.logs.append(shard, batch(*events[begin : begin + 500]))
        await worker.read(shard)
        assert await worker.checkpoint(shard) == [True]
    truth = drawn[0] + drawn[1]
    assert await rolled_up(many) == truth.total()
    rows = await many.fetch(
        "select * from ml_guard.daily_features where feature in ('c', 'yes') order by feature"
    )
    row, exact = map(dict, rows)
    assert (row["n"], row["exact"]) == (truth.total(), False)
    assert (exact["exact"], exact["not_kept"], exact["label_error"]) == (True, 0, 0)
    assert row["distinct_count"] <= 3_072, "the larger map has both"
    not_kept = [label for label in truth if label.startswith(("a", "b"))]
    assert 2_500 - 1_536 <= row["not_kept"] <= truth.total() - row["label_error"]
    assert 0 < row["label_error"] < 100 < len(not_kept)
    top = {one["label"]: one for one in json.loads(row["top"])}
    for label in often:
        assert (
            top[label]["lower"]
            <= truth[label]
            <= top[label]["upper"]
            == top[label]["lower"] + row["label_error"]
        )


@pytest.mark.chaos
async def test_a_million_distinct_categories_are_counted_within_bounds(worker: Bench) -> None:
    total, in_a_record, records = 1_000_000, 500, 20
    for begin in range(0, total, in_a_record * records):
        for first in range(begin, begin + in_a_record * records, in_a_record):
            labels = range(first, first + in_a_record)
            worker.logs.append(0, batch(*[event(features={"c": f"user-{i}"}) for i in labels]))
        await worker.read(0)
        assert await worker.checkpoint(0) == [True]
        assert worker.ingestion.cache.nbytes < 20 * MIB
    (row,) = await worker.fetch(
        "select n, length(sketch) as size from ml_guard.day_sketch where feature = 'c'"
    )
    assert (row["n"], await worker.events()) == (total, total)
    assert row["size"] < MIB
    worker.logs.append(0, event(features={"long": "x" * 257}), event(features={"long": "x" * 256}))
    await worker.read(0)
    assert await worker.checkpoint(0) == [True]
    counted = worker.ingestion.measures.registry.get_sample_value
    assert counted("ml_guard_worker_labels_shortened_total") == 1
    estimated = counted("ml_guard_worker_labels_estimated_total")
    assert estimated is not None
    assert total - 12_288 <= estimated <= total
