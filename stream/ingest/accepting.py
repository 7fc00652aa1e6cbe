"""Which partitions stand still because their fence does not fit their log, and how does a person accept what is lost?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from stream import kafka
from stream.ingest.log import Log, read_logs, read_partitions
from stream.ingest.misfit import AcceptedLoss, accept_loss, accept_topic, forgotten, misfit
from stream.settings import Settings
from stream.store import fence
from stream.store.fence import Fence
from stream.store.pool import Pool, connect


class NoTopicError(Exception):
    """The topic is not there, so nobody can tell what is lost."""

    retriable = True


async def misfits(settings: Settings) -> dict[int, str]:
    """The partitions whose fence does not fit their log, each with what happened.

    Raises
    ------
    NoTopicError, NoBrokerError
    """
    async with _both(settings) as (_, fences, logs):
        found = {
            number: misfit(settings.topic, fences[number], logs.get(number)) for number in sorted(fences)
        }
    return {number: reason for number, reason in found.items() if reason is not None}


async def accept(settings: Settings, partitions: set[int]) -> list[AcceptedLoss]:
    """Accept the losses of these partitions; their workers go on within seconds.

    Raises
    ------
    NoTopicError, NoBrokerError
    """
    async with _both(settings) as (pool, _, logs):
        accepted = [
            await accept_loss(pool, settings.topic, number, logs.get(number)) for number in sorted(partitions)
        ]
    return [one for one in accepted if one is not None]


async def left_of(settings: Settings, other: str) -> dict[int, str]:
    """What it means, for each partition of another topic, that the database becomes that of the settings' topic.

    Raises
    ------
    NoBrokerError
    """
    async with _asked(settings) as (pool, consumer):
        fences, logs = await _of(pool, consumer, other)
    return {
        number: forgotten(settings.topic, other, fences[number], logs.get(number))
        for number in sorted(fences)
    }


async def accept_other(settings: Settings, other: str) -> list[AcceptedLoss]:
    """Make the database, which is another topic's, that of the settings' topic.

    Raises
    ------
    NoTopicError, NoBrokerError
    StillReadError
        If workers still read the other topic.
    """
    async with _asked(settings) as (pool, consumer):
        own = await read_logs(consumer, settings.topic, await _partitions(consumer, settings.topic))
        _, logs = await _of(pool, consumer, other)
        return await accept_topic(pool, settings.topic, other, logs, own)


@asynccontextmanager
async def _both(settings: Settings) -> AsyncIterator[tuple[Pool, Mapping[int, Fence], Mapping[int, Log]]]:
    """The fences, and the logs that they belong to."""
    async with _asked(settings) as (pool, consumer):
        await _partitions(consumer, settings.topic)
        yield pool, *await _of(pool, consumer, settings.topic)


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    existing = await read_partitions(consumer, topic)
    if not existing:
        raise NoTopicError(
            f"the topic {topic} is not there: create it with `ml-guard migrate --topics`, then accept"
        )
    return existing


async def _of(pool: Pool, consumer: AIOKafkaConsumer, topic: str) -> tuple[dict[int, Fence], dict[int, Log]]:
    """The fences of a topic, and the logs that are there of them."""
    async with pool.acquire() as connection:
        fences = await fence.read(connection, topic)
    existing = await read_partitions(consumer, topic)
    return fences, await read_logs(consumer, topic, fences.keys() & existing)


@asynccontextmanager
async def _asked(settings: Settings) -> AsyncIterator[tuple[Pool, AIOKafkaConsumer]]:
    client = kafka.connection(settings)
    consumer = AIOKafkaConsumer(**client, isolation_level="read_committed")
    pool = await connect(settings.database_url)
    try:
        try:
            await consumer.start()
        except (KafkaError, OSError) as error:
            raise await kafka.no_broker(client, error) from error
        yield pool, consumer
    finally:
        await consumer.stop()
        pool.terminate()
