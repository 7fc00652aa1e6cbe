"""A worker process on real Kafka: dead letters, control records, rebalances, a log that lost its beginning."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from bench.events import PROJECTS, event_json, expected, make_projects, produce
from bench.fleet import Fleet
from bench.observed import differences, imbalances, observe
from embedded.doctor import examine
from stream.migrate import read
from stream.settings import Settings
from stream.store.pool import connect
from tests.conftest import as_role

pytestmark = [pytest.mark.stack, pytest.mark.timeout(150)]
NUMBERS = range(8_000)


@asynccontextmanager
async def started(producer: AIOKafkaProducer) -> AsyncIterator[AIOKafkaProducer]:
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


@pytest.fixture
async def fleet(kafka: str, database_url: str, topic: str, tmp_path: Path) -> AsyncIterator[Fleet]:
    await make_projects(database_url, PROJECTS)
    with Fleet(kafka, as_role(database_url, "ml_guard_worker"), topic, tmp_path) as workers:
        yield workers


async def check(fleet: Fleet, numbers: range) -> None:
    connection = await asyncpg.connect(fleet.database_url)
    try:
        assert differences(expected(np.array(numbers)), await observe(connection)) == []
        assert await imbalances(connection) == []
    finally:
        await connection.close()


async def test_a_worker_that_is_told_to_end_writes_what_it_has_and_the_other_goes_on(
    fleet: Fleet, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    first = fleet.start(TMPDIR=str(temporary))
    await fleet.reading()
    producing = asyncio.ensure_future(produce(fleet.kafka, fleet.topic, NUMBERS, rate=2_000))
    second = fleet.start(TMPDIR=str(temporary))
    await fleet.shared_by(first, second)  # the same command once more, and the partitions are divided
    assert fleet.terminate(first) == 0
    await fleet.shared_by(second)
    third = fleet.start(TMPDIR=str(temporary))
    await fleet.shared_by(second, third)
    await producing
    await fleet.drained()
    for process in (second, third):
        assert fleet.terminate(process) == 0
    await check(fleet, NUMBERS)
    assert len(list(temporary.iterdir())) == 2, (
        "three workers leave Faust's empty folder and the sign of life"
    )


async def test_dead_letters_are_in_their_topic_with_the_original_bytes(fleet: Fleet) -> None:
    """Those too that a bug of ours fails on, while it folds them or while it writes what they came to."""
    bad = b'{"project_id": "kills_a", "model_id": "churn", "latency_ms": "slow"}'
    bug = b'{"project_id": "kills_a", "model_id": "bug"}'
    folding = fleet.start(ML_GUARD_FAILPOINT="folding:bug")
    async with started(AIOKafkaProducer(bootstrap_servers=fleet.kafka)) as producer:
        for value in (event_json(0), bad, b"\xff\xfe", bug, event_json(1)):
            await producer.send_and_wait(fleet.topic, value, partition=2)
        await fleet.drained()
        assert fleet.terminate(folding) == 0
        encoding = fleet.start(ML_GUARD_FAILPOINT="encoding:bug")
        for value in (event_json(2), bug, event_json(3)):
            await producer.send_and_wait(fleet.topic, value, partition=3)
        await fleet.drained()
    consumer = AIOKafkaConsumer(
        f"{fleet.topic}.dead", bootstrap_servers=fleet.kafka, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        letters = [await asyncio.wait_for(consumer.getone(), 15) for _ in range(4)]
    finally:
        await consumer.stop()
    found = {letter.key: letter for letter in letters}
    first = found[f"{fleet.topic}/2/1/0".encode()]
    assert first.value == bad
    headers = dict(first.headers)
    assert (headers["reason"], headers["project_id"]) == (b"invalid_event", b"kills_a")
    assert found[f"{fleet.topic}/2/2/0".encode()].value == b"\xff\xfe"
    for place, worker in (("2/3", folding), ("3/1", encoding)):
        letter = found[f"{fleet.topic}/{place}/0".encode()]
        assert (letter.value, dict(letter.headers)["reason"]) == (bug, b"internal_error")
        offset = place[2:]
        assert f"1 events make this worker's own code fail, the first at offset {offset}" in fleet.log_of(
            worker
        )
    connection = await asyncpg.connect(fleet.database_url)
    try:
        assert (
            await connection.fetchval("select sum(n)::int from ml_guard.day_sketch where kind = 'events'")
            == 4
        )
        assert await imbalances(connection) == []
    finally:
        await connection.close()


async def test_a_batch_that_was_lost_on_its_way_is_read_again_although_none_follows(fleet: Fleet) -> None:
    worker = fleet.start(ML_GUARD_FAILPOINT="losing")
    await fleet.reading()
    await produce(fleet.kafka, fleet.topic, range(40))
    await fleet.drained()
    assert fleet.terminate(worker) == 0, "the watchdog did not have to end it"
    assert "lies still although its log goes on; it is claimed again" in fleet.log_of(worker)
    await check(fleet, range(40))


async def test_transactions_control_records_and_all_hold_nothing_back(fleet: Fleet) -> None:
    """Aborted events are not counted, and the fence reaches the end of a log that ends with a control record."""
    fleet.start()
    transactional = AIOKafkaProducer(bootstrap_servers=fleet.kafka, transactional_id=fleet.topic)
    async with started(transactional) as producer:
        async with producer.transaction():
            for number in range(8):
                await producer.send(fleet.topic, event_json(number), partition=number % 4)
        await producer.begin_transaction()
        for number in range(8, 16):
            await producer.send(fleet.topic, event_json(number), partition=number % 4)
        await producer.flush()
        await producer.abort_transaction()
    fences = await fleet.drained()
    assert set(fences.values()) == {6}
    await check(fleet, range(8))


async def test_retention_that_passed_the_fence_stops_one_partition_until_it_is_accepted(fleet: Fleet) -> None:
    worker = fleet.start()
    await produce(fleet.kafka, fleet.topic, range(400))
    await fleet.drained()
    fleet.terminate(worker)

    await produce(fleet.kafka, fleet.topic, range(400, 800))
    admin = AIOKafkaAdminClient(bootstrap_servers=fleet.kafka)
    await admin.start()
    await admin.delete_records({TopicPartition(fleet.topic, 1): RecordsToDelete(before_offset=150)})
    await admin.close()
    fleet.start()
    pool = await connect(fleet.database_url)
    try:
        await _until(pool, "select count(*) = 3 from ml_guard.stream_fence where next_offset = 200")
        reason = await pool.fetchval("select stopped_reason from ml_guard.stream_fence where partition = 1")
        assert "offsets 100 to 149" in str(reason)
        refused = await accept_loss(fleet, answer="n\n")
        assert refused[0] == 2
        assert "offsets 100 to 149" in " ".join(refused[2].split())
        code, out, _ = await accept_loss(fleet, "--json", answer="y\n")
        assert code == 0
        assert [(one["partition"], one["lost"], one["next_offset"]) for one in json.loads(out)] == [
            (1, 50, 150)
        ]
        await fleet.drained()
        events = await pool.fetchval("select sum(n)::bigint from ml_guard.day_sketch where kind = 'events'")
        assert events == 750
        code, out, _ = await accept_loss(fleet, "--yes")
        assert (code, out.strip()) == (0, "Nothing to accept: every partition fits its log.")
    finally:
        pool.terminate()


async def test_a_worker_that_is_newer_than_the_schema_says_so_and_an_older_one_works(
    fleet: Fleet, database_url: str
) -> None:
    pool = await connect(database_url)
    try:
        newest = await pool.fetchrow(
            "delete from ml_guard.migration where number = $1 returning *", read()[-1].number
        )
        assert newest is not None
        newer = fleet.start()
        assert await asyncio.to_thread(newer.wait, 60) == 1
        log = "".join(path.read_text() for path in fleet.log_dir.iterdir())
        assert f"the database lacks {newest['number']:03}_{newest['name']}" in log
        assert "run `ml-guard migrate` first" in log
        assert "Traceback" not in log
        await pool.execute("insert into ml_guard.migration values ($1, $2, $3, $4, $5)", *newest)
        await pool.execute(
            "insert into ml_guard.migration (number, name, sha256, seconds) values (999, 'n', '', 0)"
        )
        fleet.start()
        await produce(fleet.kafka, fleet.topic, range(40))
        await fleet.drained()
        await check(fleet, range(40))
    finally:
        pool.terminate()


async def test_a_worker_with_another_topic_does_not_start_until_the_database_was_given_to_it(
    fleet: Fleet, kafka: str, tmp_path: Path
) -> None:
    first = fleet.start()
    await produce(fleet.kafka, fleet.topic, range(200))
    await fleet.drained()
    renamed = Fleet(kafka, fleet.database_url, f"{fleet.topic}.new", tmp_path / "renamed")
    with renamed:
        refused = renamed.start()
        assert await asyncio.to_thread(refused.wait, 60) == 1
        log = renamed.log_of(refused)
        assert (
            f"the topic {fleet.topic} (4 partitions, 200 records), and ML_GUARD_TOPIC is {renamed.topic}"
            in log
        )
        assert "Traceback" not in log
        said = "\n".join(finding.seen for finding in await examine(Settings(**_settings(renamed))))
        assert f"ML_GUARD_TOPIC is {renamed.topic}: a database serves one topic" in said
        code, _, err = await accept_loss(renamed, "--topic", fleet.topic, "--yes")
        assert code == 2
        assert f"stop the workers of {fleet.topic}" in " ".join(err.split())

        assert fleet.terminate(first) == 0
        pool = await connect(fleet.database_url)
        await pool.execute("update ml_guard.stream_fence set heartbeat_at = now() - interval '1 minute'")
        pool.terminate()
        code, out, err = await accept_loss(renamed, "--topic", fleet.topic, "--json", answer="y\n")
        assert code == 0, err
        assert [(one["topic"], one["lost"], one["next_offset"]) for one in json.loads(out)] == [
            (fleet.topic, 0, None)
        ] * 4
        worker = renamed.start()
        await produce(renamed.kafka, renamed.topic, range(200, 300))
        await renamed.drained()
        await check(renamed, range(300))
        returned = fleet.start()
        assert await asyncio.to_thread(returned.wait, 60) == 1
        assert f"ML_GUARD_TOPIC={renamed.topic}" in fleet.log_of(returned)
        assert renamed.terminate(worker) == 0


def _settings(fleet: Fleet) -> dict[str, str]:
    names = ("kafka", "database_url", "topic", "dead_topic", "group")
    return {name: fleet.environment()[f"ML_GUARD_{name.upper()}"] for name in names}


async def accept_loss(fleet: Fleet, *words: str, answer: str = "") -> tuple[int | None, str, str]:
    """What `ml-guard accept-loss` says to somebody who answers this."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from ml_guard.cli import main; main()", "accept-loss", *words),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=fleet.environment(),
    )
    out, err = await process.communicate(answer.encode())
    return process.returncode, out.decode(), err.decode()


async def _until(pool: asyncpg.Pool[asyncpg.Record], query: str) -> None:
    async with asyncio.timeout(40):
        while not await pool.fetchval(query):
            await asyncio.sleep(0.1)
