"""How do the records get into Kafka, in order, at the pace asked for, and at which offsets do they lie then?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ml_guard.errors import ConnectionLostError, MissingExtraError
from ml_guard.replay.record import Record
from ml_guard.transports.kafka_security import options_of_environment
from ml_guard.transports.kafka_trouble import told

BATCH_BYTES = 512 * 1024
"""Of one request to the broker: large enough that the round trips do not count, below the record limit."""
PACE_S = 0.1
"""How often the pace is looked at, when one is asked for."""
TOPIC_S = 5.0
"""How long a topic that was just created may take to be known to the broker that is asked."""

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Sent:
    """Where the records lie: per record its partition and offset, and the offset behind the last of each partition."""

    positions: tuple[tuple[int, int], ...]
    ends: dict[int, int]


async def produce(
    records: Sequence[Record],
    kafka: str,
    topic: str = "ml_guard.events",
    *,
    rate: float | None = None,
    progress: Progress | None = None,
) -> Sent:
    """Send the records, each acknowledged by every replica.

    Args:
        records: in the order in which they are to be sent; the order holds within a partition.
        kafka: the bootstrap servers; ML_GUARD_KAFKA_* of the environment say how they are spoken to.
        rate: events per second at most; none for as fast as it goes.
        progress: called with the number of events that the broker has acknowledged since the last call.

    Raises:
        ConnectionLostError: the broker cannot be reached, or the topic is not there.
    """
    try:
        from aiokafka import AIOKafkaProducer
        from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError
    except ImportError:
        raise MissingExtraError("replaying needs Kafka's client: pip install 'ml-guard[replay]'") from None
    largest = max((len(record.value) for record in records), default=0)
    security = options_of_environment()
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka,
        **security,
        acks="all",
        max_batch_size=BATCH_BYTES,
        max_request_size=max(2 * largest, 2 * BATCH_BYTES),
        # Brokers hold their limit against what is sent, and a record that is too large on purpose must reach the worker.
        compression_type="gzip" if largest > BATCH_BYTES else None,
        request_timeout_ms=30_000,
    )
    try:
        await producer.start()
    except (KafkaError, OSError) as error:
        await producer.stop()
        raise ConnectionLostError(
            f"{await told(kafka, security, error)}; start the stack (`ml-guard up`), or name the broker "
            "with --kafka or ML_GUARD_KAFKA"
        ) from error
    try:
        try:
            partitions = await asyncio.wait_for(producer.partitions_for(topic), TOPIC_S)
        except (asyncio.TimeoutError, UnknownTopicOrPartitionError):
            raise ConnectionLostError(
                f"Kafka at {kafka} has no topic {topic}; create it with `ml-guard migrate --topics`"
            ) from None
        return await _Sender(producer, topic, len(partitions), rate, progress).send(records)
    except KafkaError as error:
        raise ConnectionLostError(f"Kafka at {kafka} did not take the records: {error}") from error
    finally:
        await producer.stop()


class _Sender:
    """Fills one batch a partition, and sends each when it is full or due."""

    def __init__(
        self, producer: Any, topic: str, partitions: int, rate: float | None, progress: Progress | None
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._partitions = partitions
        self._rate = rate
        self._progress = progress or (lambda events: None)
        self._open: dict[int, tuple[Any, list[int]]] = {}
        self._records: Sequence[Record] = ()
        self._positions: list[tuple[int, int]] = []

    async def send(self, records: Sequence[Record]) -> Sent:
        self._records, self._positions = records, [(-1, -1)] * len(records)
        loop = asyncio.get_running_loop()
        begin, events = loop.time(), 0
        for index, record in enumerate(records):
            await self._add(index, record)
            events += record.events
            if self._rate is not None and events / self._rate > loop.time() - begin + PACE_S:
                await self._flush_all()
                await asyncio.sleep(max(0.0, events / self._rate - (loop.time() - begin)))
        await self._flush_all()
        ends: dict[int, int] = {}
        for partition, offset in self._positions:
            ends[partition] = max(ends.get(partition, 0), offset + 1)
        return Sent(tuple(self._positions), ends)

    async def _add(self, index: int, record: Record) -> None:
        partition = record.slot % self._partitions
        for _ in range(2):
            batch, members = self._open.setdefault(partition, (self._producer.create_batch(), []))
            if batch.append(key=None, value=record.value, timestamp=None) is not None:
                members.append(index)
                return
            await self._flush(partition)
        raise ValueError(
            f"a record of {len(record.value)} bytes does not fit into a request of {BATCH_BYTES}"
        )

    async def _flush_all(self) -> None:
        for partition in list(self._open):
            await self._flush(partition)

    async def _flush(self, partition: int) -> None:
        batch, members = self._open.pop(partition)
        answer = await (await self._producer.send_batch(batch, self._topic, partition=partition))
        for place, index in enumerate(members):
            self._positions[index] = (partition, answer.offset + place)
        self._progress(sum(self._records[index].events for index in members))
