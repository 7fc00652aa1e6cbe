"""Where do the logs end, and what bytes lie at an offset? What the API reads of Kafka; it joins no group."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from api.problems import Problem

ANSWER_S = 3.0
BELIEVED_S = 1.0
"""How long end offsets are believed: probes and scrapes, however many, ask the broker once a second."""

READ_S = 20.0


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as it lies in Kafka."""

    value: bytes
    headers: Mapping[str, bytes]


class Broker:
    """Connected when it is first needed, and anew after a failure."""

    def __init__(self, kafka: Mapping[str, Any], topic: str) -> None:
        self._kafka, self._topic = kafka, topic
        self._consumer: AIOKafkaConsumer | None = None
        self._lock = asyncio.Lock()
        self._at = float("-inf")
        self._ends: Mapping[int, int] | Problem = {}

    async def close(self) -> None:
        """Disconnect."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await _stop(consumer)

    async def end_offsets(self) -> Mapping[int, int]:
        """The last stable end of every partition of the event topic. Raises `broker_unavailable`."""
        async with self._lock:
            if time.monotonic() - self._at > BELIEVED_S:
                try:
                    async with self._answering(ANSWER_S):
                        self._ends = await self._asked_ends()
                except Problem as problem:
                    self._ends = problem
                    await self.close()
                self._at = time.monotonic()
            if isinstance(self._ends, Problem):
                raise self._ends
            return self._ends

    async def records(self, topic: str, places: Iterable[tuple[int, int]]) -> dict[tuple[int, int], Stored]:
        """The records at these (partition, offset) of a topic; those that retention took are left out."""
        found: dict[tuple[int, int], Stored] = {}
        async with self._answering(READ_S):
            consumer = await self._connected()
            try:
                for partition, offset in sorted(set(places)):
                    record = await _record_at(consumer, TopicPartition(topic, partition), offset)
                    if record is not None:
                        found[partition, offset] = record
            finally:
                await _stop(consumer)
        return found

    async def kept_ms(self, *topics: str) -> dict[str, int | None]:
        """How long each of these topics keeps a record, in milliseconds; None: for good."""
        async with self._answering(READ_S):
            admin = AIOKafkaAdminClient(**self._kafka)
            try:
                await admin.start()
                answers = await admin.describe_configs(
                    [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
                )
            finally:
                await admin.close()
        kept: dict[str, int | None] = {}
        for answer in answers:
            for _error, _message, _kind, topic, entries in answer.resources:
                values = {entry[0]: entry[1] for entry in entries}
                kept_ms = int(values.get("retention.ms", -1))
                kept[topic] = None if kept_ms < 0 else kept_ms
        return kept

    async def _asked_ends(self) -> Mapping[int, int]:
        if self._consumer is None:
            self._consumer = await self._connected()
        cluster = await self._consumer._client.fetch_all_metadata()
        numbers = cluster.partitions_for_topic(self._topic)
        if not numbers:
            raise Problem("broker_unavailable", f"Kafka has no topic {self._topic}; `ml-guard up` makes it.")
        ends = await self._consumer.end_offsets(
            [TopicPartition(self._topic, number) for number in sorted(numbers)]
        )
        return {place.partition: offset for place, offset in ends.items()}

    @asynccontextmanager
    async def _answering(self, timeout_s: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(timeout_s):
                yield
        except (KafkaError, OSError, TimeoutError) as error:
            raise Problem(
                "broker_unavailable", f"Kafka does not answer ({type(error).__name__}).", retry_after_s=2
            ) from error

    async def _connected(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            **self._kafka,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            client_id="ml_guard-api",
        )
        try:
            await consumer.start()
        except BaseException:
            await _stop(consumer)
            raise
        return consumer


async def _record_at(consumer: AIOKafkaConsumer, place: TopicPartition, offset: int) -> Stored | None:
    if consumer.assignment() != {place}:
        consumer.assign([place])
        consumer.seek(place, offset)
    elif await consumer.position(place) != offset:
        consumer.seek(place, offset)
    try:
        record = await consumer.getone(place)
    except OffsetOutOfRangeError:
        return None
    if record.offset != offset:
        return None
    return Stored(record.value or b"", dict(record.headers))


async def _stop(consumer: AIOKafkaConsumer) -> None:
    with contextlib.suppress(Exception):
        await asyncio.wait_for(consumer.stop(), ANSWER_S)
