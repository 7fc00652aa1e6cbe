"""Do the counts of a client that knows Kafka only reach the server: once each, and never at the price of an event?"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bench.fleet import Fleet
from bench.observed import imbalances
from ml_guard.reporting import HEADER
from stream.client_reports import MOST_COUNTS, read
from stream.ingest.records import PartitionBatch
from stream.store import client_counts
from tests.conftest import as_role
from tests.ingest.conftest import NOW, TOPIC, Bench, add_project, event

DAY = NOW.date().isoformat()


def count(events: int, project: str = "p", reason: str = "queue_full", **more: Any) -> dict[str, Any]:
    return {
        "project_id": project,
        "day": DAY,
        "outcome": "dropped" if reason else "sent",
        "reason": reason,
        "events": events,
        **more,
    }


def report(*counts: dict[str, Any], client_id: str = "client-0001") -> bytes:
    return json.dumps({"client_id": client_id, "counts": counts}).encode()


async def take(worker: Bench, *records: bytes | tuple[bytes, ...], partition: int = 0) -> None:
    """A batch of events (bytes) and of records without a value that hold a report (a tuple of it)."""
    lo = worker.ingestion.claims.partitions[partition].next_offset
    worker.logs.append(partition, *(None if isinstance(record, tuple) else record for record in records))
    batch = worker.logs.batch(partition, worker.ingestion.claims.partitions[partition].epoch, lo)
    batch.reports = {lo + at: record[0] for at, record in enumerate(records) if isinstance(record, tuple)}
    await worker.ingestion.take(batch)


async def told(worker: Bench) -> dict[tuple[str, str], int]:
    rows = await worker.fetch("select project_id, reason, events from ml_guard.client_days")
    return {(row["project_id"], row["reason"]): row["events"] for row in rows}


async def test_reports_that_are_repeated_late_or_unreadable_count_once_and_touch_no_event(
    worker: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    old = (NOW - timedelta(days=30)).date().isoformat()
    await take(worker, event(), (report(count(10)),), (b"{",), event(), (report(count(7)),))
    await take(worker, (report(count(3, "")),), (report(count(5), client_id="client-0002"),), partition=1)
    assert await worker.checkpoint(0, 1) == [True, True]
    other = [count(1, "nobody-made-it"), count(4, reason="gremlins"), count(9, day=old)]
    await take(worker, (report(count(9), *other),), (report(count(10)),), event(), partition=2)
    assert await worker.checkpoint(2) == [True]
    assert await told(worker) == {("p", "queue_full"): 15, ("", "queue_full"): 3, ("p", "other"): 4}
    assert (await worker.events(), await worker.ledger()) == (3, [("p", 3, 0, 0)])
    async with worker.pool.acquire() as connection:
        assert await imbalances(connection) == []
    counts = await worker.fetch(
        "select sum(records_empty)::int, sum(records_decoded)::int from ml_guard.stream_fence"
    )
    assert tuple(counts[0]) == (7, 3)
    (said,) = [record.message for record in caplog.records if "no report" in record.message]
    assert "offset 2" in said


async def test_a_project_that_is_deleted_meanwhile_gets_no_row(
    worker: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await add_project(worker.pool, "leaving")
    await take(worker, (report(count(2, "leaving"), count(1)),))
    await worker.ingestion.folder.fold(worker.ingestion.claims.partitions[0])
    async with worker.pool.acquire() as connection:
        await connection.execute("delete from ml_guard.project where project_id = 'leaving'")
    assert await worker.checkpoint(0) == [False]
    assert "deleted meanwhile: leaving" in caplog.text
    assert await told(worker) == {}


def test_reports_stay_with_their_records_when_a_batch_is_cut() -> None:
    values: list[bytes | None] = [b"one", None, None]
    batch = PartitionBatch(TOPIC, 0, 1, 5, 8, range(5, 8), [1, 2, 3], values, 10, {6: b"first", 7: b"second"})
    assert (batch.part(0, 2).reports, batch.part(0, 2).nbytes) == ({6: b"first"}, 8)
    assert batch.from_offset(7).reports == {7: b"second"}


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        report(client_id="short"),
        report(client_id="client\u0000-1"),
        report(count(-1)),
        report(count(10**16)),
        report(count(1, day="yesterday")),
        report(count(1, outcome="eaten")),
        report(count(1, "x" * 257)),
        report(*[count(1)] * (MOST_COUNTS + 1)),
        report(count(1), client_id="client-0001") + b" " * 2**20,
    ],
)
def test_what_is_no_report_is_none(bad: bytes) -> None:
    assert read(bad, max_bytes=2**20) is None


CLIENT = textwrap.dedent("""
import sys
from ml_guard import MLGuardClient
client = MLGuardClient(
    kafka=sys.argv[1], kafka_options={"topic": sys.argv[2]}, project_id="p", model_id="m", max_queue=100)
taken = sum(client.ingest_event(y_pred=1) for _ in range(150))
for _ in range(4):
    client.ingest_event(y_proba=7)
print(taken)
""")


@pytest.mark.stack
@pytest.mark.timeout(150)
async def test_a_process_that_knows_kafka_only_tells_the_server_what_it_lost(
    kafka: str, database_url: str, topic: str, tmp_path: Path
) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("insert into ml_guard.project (project_id) values ('p')")
    await connection.execute(
        "insert into ml_guard.project_zone (project_id, effective_from, zone) values ('p', '-infinity', 'UTC')"
    )
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", CLIENT, kafka, topic],
        capture_output=True,
        text=True,
        check=True,
    )
    taken = int(done.stdout)
    wanted = {("sent", ""): taken, ("dropped", "invalid"): 4, ("dropped", "queue_full"): 150 - taken}
    reports = await reports_of(kafka, topic)
    assert reports
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    for partition, (key, headers) in enumerate([*reversed(reports), *reports, (b"x", [(HEADER, b"\0")])]):
        await producer.send_and_wait(topic, key=key, headers=headers, partition=partition % 4)
    await producer.stop()
    with Fleet(kafka, as_role(database_url, "ml_guard_worker"), topic, tmp_path) as fleet:
        process = fleet.start()
        await fleet.drained()
        assert fleet.terminate(process) == 0
        assert fleet.log_of(process).count("hold no report of a client") == 1
    try:
        rows = await client_counts.days(connection, project_ids=["p"], limit=100)
        assert {(row["outcome"], row["reason"]): row["events"] for row in rows} == {
            key: events for key, events in wanted.items() if events
        }
        assert {row["day"] for row in rows} <= {datetime.now(UTC).date() - timedelta(days=n) for n in (0, 1)}
        assert await imbalances(connection) == []
        merged = "select sum(n)::int from ml_guard.day_sketch where kind = 'events'"
        assert await connection.fetchval(merged) == taken
    finally:
        await connection.close()


async def reports_of(kafka: str, topic: str) -> list[tuple[bytes, list[tuple[str, bytes]]]]:
    """Key and headers of every record without a value."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        places = [TopicPartition(topic, partition) for partition in range(4)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        found = []
        for place in places:
            while await consumer.position(place) < ends[place]:
                for records in (await consumer.getmany(place, timeout_ms=200)).values():
                    found += [(r.key, list(r.headers)) for r in records if r.value is None]
        return found
    finally:
        await consumer.stop()
