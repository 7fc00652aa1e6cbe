"""The topic is created anew, grown, shrunk, or its group's offsets are reset: the fence decides, and says so."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.structs import OffsetAndMetadata

from bench.events import produce
from bench.fleet import Fleet
from stream.ingest.log import Log, read_logs, read_partitions
from stream.ingest.misfit import accept_loss
from stream.store.pool import connect
from tests.chaos.lasting import lasting
from tests.chaos.site import check, until, value

pytestmark = [pytest.mark.stack, pytest.mark.chaos, pytest.mark.timeout(lasting(400, 600))]
STOPPED = "select count(*) from ml_guard.stream_fence where stopped_reason is not null and topic = $1"


async def recreate(fleet: Fleet, partitions: int) -> None:
    """Delete the topic and create it again."""
    admin = AIOKafkaAdminClient(bootstrap_servers=fleet.kafka)
    await admin.start()
    try:
        await admin.delete_topics([fleet.topic])
        await until(lambda: _gone(admin, fleet.topic), "deleted")
        settings = {"message.timestamp.type": "LogAppendTime"}
        await admin.create_topics([NewTopic(fleet.topic, partitions, 1, topic_configs=settings)])
    finally:
        await admin.close()


async def _gone(admin: AIOKafkaAdminClient, topic: str) -> bool:
    return topic not in await admin.list_topics()


async def logs(fleet: Fleet) -> dict[int, Log]:
    """What the topic's partitions are now."""
    consumer = AIOKafkaConsumer(bootstrap_servers=fleet.kafka)
    await consumer.start()
    try:
        return await read_logs(consumer, fleet.topic, await read_partitions(consumer, fleet.topic))
    finally:
        await consumer.stop()


async def stopped(fleet: Fleet) -> int:
    return int(await value(fleet.database_url, STOPPED, fleet.topic))


@pytest.mark.parametrize("partitions", [4, 2], ids=["recreated", "shrunk"])
async def test_a_topic_that_was_made_anew_stops_every_partition_until_it_is_accepted(
    fleet: Fleet, partitions: int
) -> None:
    first = fleet.start()
    await produce(fleet.kafka, fleet.topic, range(800))
    await fleet.drained()
    fleet.terminate(first)
    before = await logs(fleet)
    await recreate(fleet, partitions)
    assert {log.identity for log in (await logs(fleet)).values()} != {log.identity for log in before.values()}
    await produce(fleet.kafka, fleet.topic, range(800, 2_400), partitions=partitions)

    fleet.start()
    await until(lambda: _all_stopped(fleet), "every partition stands still")
    await check(fleet.database_url, range(800))
    reasons = await value(
        fleet.database_url,
        "select string_agg(stopped_reason, ' ') from ml_guard.stream_fence where topic = $1",
        fleet.topic,
    )
    assert "was deleted and created again" in reasons
    assert ("fewer partitions" in reasons) == (partitions < 4)
    assert "ml-guard accept-loss" in reasons

    pool, found = await connect(fleet.database_url), await logs(fleet)
    try:
        for partition in range(4):
            accepted = await accept_loss(pool, fleet.topic, partition, found.get(partition))
            assert accepted is not None
    finally:
        pool.terminate()
    await fleet.drained()
    await check(fleet.database_url, range(2_400))


async def _all_stopped(fleet: Fleet) -> bool:
    return await stopped(fleet) == 4


async def test_partitions_that_a_topic_gains_are_read_from_their_start(fleet: Fleet) -> None:
    fleet.start()
    await produce(fleet.kafka, fleet.topic, range(800))
    await fleet.drained()
    admin = AIOKafkaAdminClient(bootstrap_servers=fleet.kafka)
    await admin.start()
    try:
        await admin.create_partitions({fleet.topic: NewPartitions(6)})
    finally:
        await admin.close()
    await until(lambda: _has(fleet, 6), "six partitions")
    await produce(fleet.kafka, fleet.topic, range(800, 2_000), partitions=6)
    fences = await fleet.drained()
    assert sorted(fences) == list(range(6))
    assert await stopped(fleet) == 0
    await check(fleet.database_url, range(2_000))


async def _has(fleet: Fleet, partitions: int) -> bool:
    return len(await fleet.end_offsets()) == partitions


@pytest.mark.parametrize("to", ["start", "end"])
async def test_offsets_of_the_group_that_are_reset_change_nothing(fleet: Fleet, to: str) -> None:
    first = fleet.start()
    await produce(fleet.kafka, fleet.topic, range(800))
    await fleet.drained()
    fleet.terminate(first)
    await produce(fleet.kafka, fleet.topic, range(800, 1_600))
    ends = await fleet.end_offsets()
    wanted = {TopicPartition(fleet.topic, p): 0 if to == "start" else end for p, end in ends.items()}
    consumer = AIOKafkaConsumer(bootstrap_servers=fleet.kafka, group_id=fleet.topic, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(list(wanted))
        await consumer.commit({tp: OffsetAndMetadata(offset, "") for tp, offset in wanted.items()})
        assert {tp: await consumer.committed(tp) for tp in wanted} == wanted
    finally:
        await consumer.stop()
    fleet.start()
    await asyncio.wait_for(fleet.drained(), 120)
    await check(fleet.database_url, range(1_600))
