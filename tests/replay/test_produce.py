"""Do the records lie in Kafka where the producer says, in the order in which they were given?"""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from ml_guard.errors import ConnectionLostError
from ml_guard.replay.produce import produce
from ml_guard.replay.record import Record


@pytest.mark.stack
async def test_every_record_lies_at_the_place_that_was_told(kafka: str, topic: str) -> None:
    records = [Record(b"%d" % number * 50, number, slot=number * 7 % 256) for number in range(5_000)]
    told: list[int] = []
    sent = await produce(records, kafka, topic, progress=told.append)
    assert sum(told) == len(records)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, partition) for partition in range(4)])
        found: dict[tuple[int, int], bytes] = {}
        while len(found) < len(records):
            for place, some in (await consumer.getmany(timeout_ms=2_000)).items():
                found.update({(place.partition, record.offset): record.value for record in some})
    finally:
        await consumer.stop()
    assert [found[place] for place in sent.positions] == [record.value for record in records]
    assert all(place[0] == record.slot % 4 for place, record in zip(sent.positions, records, strict=True))
    assert sent.ends == dict.fromkeys(range(4), 1250)


@pytest.mark.stack
async def test_the_pace_that_is_asked_for_is_kept(kafka: str, topic: str) -> None:
    import time

    begin = time.monotonic()
    await produce([Record(b"{}", k, k, events=10) for k in range(100)], kafka, topic, rate=1_000)
    assert 0.7 < time.monotonic() - begin < 5


async def test_a_broker_that_is_not_there_is_named() -> None:
    with pytest.raises(ConnectionLostError, match=r"Kafka at 127\.0\.0\.1:1 does not answer: .*ml-guard up"):
        await produce([Record(b"{}", 0, 0)], "127.0.0.1:1")


@pytest.mark.stack
async def test_a_topic_that_is_not_there_is_named(kafka: str) -> None:
    with pytest.raises(ConnectionLostError, match="has no topic nothing-here"):
        await produce([Record(b"{}", 0, 0)], kafka, "nothing-here")
