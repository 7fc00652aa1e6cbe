"""Are records counted whatever a producer or broker has packed them with, and is nothing skipped that cannot be unpacked?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import numpy as np
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bench.events import PROJECTS, event_json, expected, make_projects
from bench.fleet import Fleet
from bench.observed import differences, imbalances, observe
from stream.ingest.packed import PLAIN_BYTES
from tests.ingest.test_transport import encoded, with_headers

pytestmark = [pytest.mark.stack, pytest.mark.timeout(150)]
CODECS = ("gzip", "snappy", "lz4", "zstd")
OF_A_PARTITION = 500


@pytest.fixture
async def fleet(kafka: str, database_url: str, topic: str, tmp_path: Path) -> AsyncIterator[Fleet]:
    await make_projects(database_url, PROJECTS)
    with Fleet(kafka, database_url, topic, tmp_path) as workers:
        yield workers


async def send(fleet: Fleet, partition: int, numbers: range, codec: str | None) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=fleet.kafka, compression_type=codec, linger_ms=20)
    await producer.start()
    try:
        sent = [await producer.send(fleet.topic, event_json(n), partition=partition) for n in numbers]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def counted(fleet: Fleet, numbers: range) -> None:
    connection = await asyncpg.connect(fleet.database_url)
    try:
        assert differences(expected(np.array(numbers)), await observe(connection)) == []
        assert await imbalances(connection) == []
    finally:
        await connection.close()


def numbers_of(partition: int) -> range:
    return range(partition * OF_A_PARTITION, (partition + 1) * OF_A_PARTITION)


async def test_a_worker_without_a_codec_stops_those_partitions_and_one_that_has_it_goes_on(
    fleet: Fleet, tmp_path: Path
) -> None:
    """A plain record stands before the packed ones: it is counted, and reading stops behind it."""
    for partition, codec in enumerate(CODECS):
        first, *rest = numbers_of(partition)
        await send(fleet, partition, range(first, first + 1), None)
        await send(fleet, partition, range(rest[0], rest[-1] + 1), codec)
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "cramjam.py").write_text("raise ImportError(__name__)")
    without = fleet.start(PYTHONPATH=str(tmp_path / "bare"))
    connection = await asyncpg.connect(fleet.database_url)
    try:
        async with asyncio.timeout(60):
            while True:
                rows = await connection.fetch(
                    """select next_offset, stopped_reason from ml_guard.stream_fence order by "partition" """
                )
                stopped = [row["stopped_reason"] for row in rows]
                if len(rows) == 4 and all(stopped[1:]) and rows[0]["next_offset"] == OF_A_PARTITION:
                    break
                assert without.poll() is None, fleet.logs()
                await asyncio.sleep(0.1)
        assert [row["next_offset"] for row in rows] == [OF_A_PARTITION, 1, 1, 1]
        assert stopped[0] is None
        for codec, reason in zip(CODECS[1:], stopped[1:], strict=True):
            assert (
                f"offset 1 on cannot be unpacked: Libraries for {codec} compression codec not found" in reason
            )
            assert "Install `cramjam`" in reason
    finally:
        await connection.close()
    assert fleet.terminate(without) == 0
    fleet.start()
    await fleet.drained()
    await counted(fleet, range(4 * OF_A_PARTITION))
    connection = await asyncpg.connect(fleet.database_url)
    assert not await connection.fetchval("select count(stopped_reason) from ml_guard.stream_fence")
    await connection.close()


@pytest.mark.parametrize("codec", CODECS)
async def test_what_the_broker_has_packed_itself_is_counted_too(fleet: Fleet, codec: str) -> None:
    """Kafka's own codecs are others than the client's, and frame some of them otherwise."""
    fleet.topic += f"-{codec}"
    admin = AIOKafkaAdminClient(bootstrap_servers=fleet.kafka)
    await admin.start()
    settings = {"compression.type": codec, "message.timestamp.type": "LogAppendTime"}
    await admin.create_topics(
        [NewTopic(fleet.topic, 4, 1, topic_configs=settings), NewTopic(f"{fleet.topic}.dead", 1, 1)]
    )
    await admin.close()
    for partition in range(4):
        await send(fleet, partition, numbers_of(partition), None)
    fleet.start()
    await fleet.drained()
    await counted(fleet, range(4 * OF_A_PARTITION))


async def test_a_batch_beyond_memory_and_headers_names_that_are_no_text_stop_nothing(fleet: Fleet) -> None:
    """Brokers take both: kilobytes that unpack to more than a worker should hold, and a name of any bytes."""
    packed = bytes(encoded(0, [b" " * (PLAIN_BYTES + 1)], codec=4))
    events: list[bytes | None] = [event_json(n) for n in numbers_of(1)]
    named = with_headers(events, [[("NAME", b"x")]] * OF_A_PARTITION, None, b"\xff\xfe\xfd\xfc")
    for partition in (0, 2, 3):
        await send(fleet, partition, numbers_of(partition), None)
    producer = AIOKafkaProducer(bootstrap_servers=fleet.kafka)
    await producer.start()
    try:
        for partition, data in ((0, packed), (1, bytes(8) + named[8:])):
            batch = producer.create_batch()
            batch.append(key=None, value=b"", timestamp=None)
            batch.close()
            batch._buffer = data
            await (await producer.send_batch(batch, fleet.topic, partition=partition))
    finally:
        await producer.stop()
    await send(fleet, 0, range(4 * OF_A_PARTITION, 4 * OF_A_PARTITION + 10), None)
    fleet.start()
    await fleet.drained()
    connection = await asyncpg.connect(fleet.database_url)
    try:
        letters = await connection.fetch(
            'select partition, "offset", reason, detail from ml_guard.dead_letter'
        )
        stopped = await connection.fetchval("select count(stopped_reason) from ml_guard.stream_fence")
        merged = "select sum(n)::bigint from ml_guard.day_sketch where kind = 'events'"
        assert await connection.fetchval(merged) == 4 * OF_A_PARTITION + 10
        assert await imbalances(connection) == []
    finally:
        await connection.close()
    assert stopped == 0
    said = f"{len(packed)} bytes come to more than {PLAIN_BYTES} when they are unpacked"
    assert list(map(tuple, letters)) == [(0, OF_A_PARTITION, "record_too_large", said)]
